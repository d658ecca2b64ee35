"""The trained bridges between the frozen parts. A new kind of input projection is one class and one line in input.py's table."""
