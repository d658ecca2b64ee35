"""Training of nano's decoders."""
