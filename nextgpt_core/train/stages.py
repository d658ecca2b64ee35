"""The three stages as data (paper, sections 4 and 5): what learns, from which losses, how fast. The loop is the same for all of them."""

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


# In the paper's order the encoder side comes first. Here the language model first learns to read word embeddings in the place of media
# (stand_ins.py), so that no step waits for the encoders and the input projections begin where words already are.
# Captioning refines them at the end.
STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        # Instruction tuning of the upper layers.
        Stage(
            name="instruction",
            dataset="mosit",
            rates={"lora": 1e-3, "output_projections": 5e-4, "tokens": 1e-3},
            alignment=0.02,
            caption=0.5,
            noise=0.5,
            stand_ins=True,
            frozen_layers=18,
        ),
        # Instruction tuning again, now on what the encoders really give.
        Stage(
            name="media",
            dataset="mosit",
            rates={"lora": 6e-4, "output_projections": 5e-4, "tokens": 5e-4},
            alignment=0.04,
            caption=0.5,
            noise=0.15,
            frozen_layers=12,
            seed=9,
        ),
        # Encoder side: the model, frozen again, names what the projected features show.
        Stage(name="encoder", dataset="captions", rates={"input_projection": 5e-4}, noise=0.15),
        # Decoder side: the states at the signal tokens are pulled to the decoder's own text embedding; nothing upstream of them
        # changes, so they are computed once.
        Stage(name="decoder", dataset="states", rates={"output_projections": 1e-3}, alignment=1.0, noise=0.15, decay=0.02),
    )
}
