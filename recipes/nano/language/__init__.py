"""Training of nano's language side."""
