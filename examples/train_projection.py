"""Training a projection for a part of one's own: the language model learns to read the encoder of examples/own_encoder.py from six pairs.

.venv/bin/python -m examples.train_projection

Everything but the input projection is nano's and stays as it is. This is the paper's first stage, within a minute.
"""

from pathlib import Path

import torch
from PIL import Image

from examples.own_encoder import write_preset
from nextgpt_core import Engine, Media, Message, TurnDone, TurnSettings
from nextgpt_core.build import build_encoder, build_template, build_trainable
from nextgpt_core.config import load_preset
from nextgpt_core.modalities import MODALITIES
from nextgpt_core.train.data import collate, encode_dialogue
from nextgpt_core.train.loop import Losses, batch_embeddings, batch_losses, train
from nextgpt_core.train.session import Budget
from nextgpt_core.train.stages import Stage

MADE = Path("made")
QUESTION = "What colour is this?"
COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 160, 60),
    "blue": (40, 70, 220),
    "yellow": (240, 220, 50),
    "black": (10, 10, 10),
    "white": (245, 245, 245),
}


def painted(name: str, colour: tuple[int, ...]) -> Media:
    """A picture of one colour."""
    path = MADE / f"{name}.png"
    Image.new("RGB", (64, 64), colour).save(path)
    return Media("image", path)


if __name__ == "__main__":
    torch.manual_seed(0)
    preset = load_preset(write_preset(MADE / "colours"))
    model = build_trainable(preset)  # the language model, and untrained parts around it
    model.load_trained(load_preset("nano").folder, parts=("tokens", "lora", "output_projections"))
    encoder, template = build_encoder(preset), build_template(preset, model)

    # 1. Dialogues, in the form in which users will be answered; encoders are frozen, so each file is looked at once.
    samples = [
        encode_dialogue(
            [Message("user", (painted(name, colour), QUESTION)), Message("assistant", (f"This is {name}.",))],
            template=template,
            signals=model.signals,
            features=lambda media: encoder.encode("image", MODALITIES["image"].load(media.path)),
            conditions=lambda media: torch.empty(0),  # no file is made in these
            vectors_of=encoder.tokens,
        )
        for name, colour in COLOURS.items()
    ]
    batch = collate(samples)

    # 2. What is to learn, and from which losses. The noise on the features stands for the shades that are not among the six.
    stage = Stage(name="colours", dataset="", rates={"input_projection": 5e-3}, noise=0.1)

    def losses_of(step: int) -> Losses:
        return batch_losses(model, batch, model.llm(batch_embeddings(model, batch, noise=stage.noise, seed=step)))

    train(model, stage, losses_of, folder=MADE / "training", budget=Budget(steps=15))  # resumable; the curve is in log.csv
    model.save_trained(preset.folder)

    # 3. The preset is complete, and works like any other wherever its encoder is in the table.
    engine = Engine.load(preset.folder)
    for name, colour in {"another red": (180, 20, 40), "another blue": (30, 50, 170), "another yellow": (230, 200, 20)}.items():
        message = Message("user", (painted(name, colour), QUESTION))
        *_, done = engine.turn([message], TurnSettings(answer_with=frozenset({"text"})), out_dir=MADE)
        assert isinstance(done, TurnDone)
        print(f"{name}: {done.message.text}")
