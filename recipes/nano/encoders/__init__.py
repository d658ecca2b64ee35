"""Training of nano's encoders."""
