"""What fits where: sizes of parts, a plan for a GPU's memory, and putting the parts in their places."""
