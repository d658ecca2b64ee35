"""What nano knows: things, their drawings, motions and sounds."""
