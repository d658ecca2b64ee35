"""The recipe of checkpoints/nano, from public packages to the scorecard."""
