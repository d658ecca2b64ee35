"""The sounds of nano's world and how they are rendered."""
