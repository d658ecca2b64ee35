"""The stages of nano's language side, after the paper's three (sections 4 and 5)."""

from nextgpt_core.train.stages import Stage

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
