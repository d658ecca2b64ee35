"""Judges of made media, which share nothing with what they judge."""
