"""Where the recipe reads and writes, whatever folder it is started from."""

from pathlib import Path

from nextgpt_core.config import CHECKPOINTS

ROOT = Path(__file__).resolve().parents[2]
PRESET = CHECKPOINTS / "nano"  # what is trained is exported here
RUNS = ROOT / "runs" / "nano"  # states and logs of trainings
CACHE = ROOT / ".cache"
SOURCES = CACHE / "sources"  # packages as they were fetched
DATA = CACHE / "nano"  # what was rendered or computed from them once
