"""The recipe of the bundled weights in order: `launch.py train nano [STAGE…]`. Each step resumes and exports into checkpoints/nano."""

import argparse
import importlib
import inspect
import logging
from collections.abc import Sequence
from functools import partial

# step -> (module below nextgpt_core.train.nano, function, its arguments); CPU minutes are the functions' defaults
STEPS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "llm": ("convert_llm", "convert", ()),
    "image-encoder": ("image_encoder", "train_image_encoder", ()),
    "audio-encoder": ("audio_encoder", "train_audio_encoder", ()),
    "video-encoder": ("video_encoder", "train_video_encoder", ()),
    "audio-autoencoder": ("audio_autoencoder", "train_autoencoder", ()),
    "instruction": ("language", "run", ("instruction",)),
    "media": ("language", "run", ("media",)),
    "encoder": ("language", "run", ("encoder",)),
    "decoder": ("language", "run", ("decoder",)),  # also writes down what the three decoders below will be given
    "image-decoder": ("picture_unet", "train_picture_unet", ()),
    "audio-decoder": ("audio_denoiser", "train_audio_unet", ()),
    "video-decoder": ("film_unet", "train_film_unet", ()),
    "image-judge": ("picture_judge", "train_picture_judge", ()),
    "audio-judge": ("audio_judge", "train_audio_judge", ()),
    "video-judge": ("film_judge", "train_film_judge", ()),
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
    for step in options.steps or STEPS:
        logging.info("stage %s", step)
        _step(step, options.scale)()
    return 0


def _step(name: str, scale: float) -> "partial[object]":
    """A step with `scale` times the minutes that it would take, and when it is only tried out with fewer dialogues as well."""
    module, function, values = STEPS[name]
    call = partial(getattr(importlib.import_module(f"nextgpt_core.train.nano.{module}"), function), *values)
    takes = inspect.signature(call).parameters
    minutes = {key: item.default for key, item in takes.items() if key.endswith("minutes")}
    fewer = {"dialogues": max(_FEW, int(scale * _MANY))} if "dialogues" in takes and scale < _TRIAL else {}
    return partial(call, **{key: scale * value for key, value in minutes.items() if value is not None}, **fewer)
