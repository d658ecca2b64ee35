"""The scorecard of nano."""
