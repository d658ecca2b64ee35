"""A stage of training as data (paper, sections 4 and 5): what learns, from which losses, how fast. The loop is the same for all of them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One row. `rates` names the trainable parts (keys of model.TRAINED_FILES) with their learning rates; nothing else changes."""

    name: str
    dataset: str  # a key of the recipe's table of datasets
    rates: Mapping[str, float]
    next_token: float = 1.0  # weight of the cross-entropy on what the assistant writes
    alignment: float = 0.0  # weight of the distance between projected and wanted conditions
    caption: float = 0.0  # weight of the caption's words in the states inside a span (see losses.py)
    positions: int = 640  # of a padded batch
    noise: float = 0.0  # deviation of what is added to encoder features (elements have unit variance), or share of the states' deviation
    warmup: float = 0.05  # share of the stage in which the rates rise
    clip: float = 1.0
    decay: float = 0.001  # AdamW's weight decay
    seed: int = 0  # of the dataset
    stand_ins: bool = False  # word embeddings take the place of projected media
    frozen_layers: int = 0  # the language model's lowest layers that do not learn (see split.py); their states are computed once
