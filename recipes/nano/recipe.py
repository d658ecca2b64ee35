"""The recipe of the bundled weights in order: `launch.py train nano [STAGE…]`. Each step resumes and exports into checkpoints/nano."""

import argparse
import inspect
import logging
from collections.abc import Callable, Sequence
from functools import partial

from recipes.nano.decoders.audio import train_audio_unet
from recipes.nano.decoders.audio_autoencoder import train_autoencoder
from recipes.nano.decoders.image import train_image_unet
from recipes.nano.decoders.video import train_video_unet
from recipes.nano.encoders.audio import train_audio_encoder
from recipes.nano.encoders.image import train_image_encoder
from recipes.nano.encoders.video import train_video_encoder
from recipes.nano.evaluation.judges.audio import train_audio_judge
from recipes.nano.evaluation.judges.image import train_image_judge
from recipes.nano.evaluation.judges.video import train_video_judge
from recipes.nano.language import convert_llm, training

# CPU minutes are the functions' defaults.
STEPS: dict[str, Callable[..., object]] = {
    "llm": convert_llm.convert,
    "image-encoder": train_image_encoder,
    "audio-encoder": train_audio_encoder,
    "video-encoder": train_video_encoder,
    "audio-autoencoder": train_autoencoder,
    "instruction": partial(training.run, "instruction"),
    "media": partial(training.run, "media"),
    "encoder": partial(training.run, "encoder"),
    "decoder": partial(training.run, "decoder"),  # also writes down what the three decoders below will be given
    "image-decoder": train_image_unet,
    "audio-decoder": train_audio_unet,
    "video-decoder": train_video_unet,
    "image-judge": train_image_judge,
    "audio-judge": train_audio_judge,
    "video-judge": train_video_judge,
}

_TRIAL = 0.1  # a smaller share of the time only tries the recipe out
_FEW, _MANY = 300, 5_000  # dialogues of a dataset: in the smallest trial, and for the whole time


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named steps, or all of them in order."""
    parser = argparse.ArgumentParser(prog="launch.py train", description="Make the bundled weights again from public packages.")
    parser.add_argument("preset", choices=["nano"])
    parser.add_argument("steps", nargs="*", metavar="STAGE", help=f"of {', '.join(STEPS)}; default: all, in this order")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the recipe's time that each stage gets; 0.02 tries it out")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.steps if name not in STEPS]:
        parser.error(f"there is no stage '{unknown[0]}'; the stages are {', '.join(STEPS)}.")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for name in options.steps or STEPS:
        logging.info("stage %s", name)
        scaled(STEPS[name], options.scale)()
    return 0


def scaled(step: Callable[..., object], scale: float) -> "partial[object]":
    """A step with `scale` times the minutes that it would take, and when it is only tried out with fewer dialogues as well."""
    takes = inspect.signature(step).parameters
    minutes = {name: scale * item.default for name, item in takes.items() if name.endswith("minutes") and item.default is not None}
    fewer = {"dialogues": max(_FEW, int(scale * _MANY))} if "dialogues" in takes and scale < _TRIAL else {}
    return partial(step, **minutes, **fewer)
