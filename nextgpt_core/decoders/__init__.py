"""Decoders: from a projected condition to a picture, sound or video. A new one is one file here and one line in the table."""

from collections.abc import Callable
from typing import Any

from nextgpt_core.decoders.audioldm import AudioLDMDecoder
from nextgpt_core.decoders.stable_diffusion import StableDiffusionDecoder
from nextgpt_core.decoders.zeroscope import ZeroscopeDecoder

# name in a preset -> load(path, *, dtype, tiling)
DECODERS: dict[str, Callable[..., Any]] = {
    "stable_diffusion": StableDiffusionDecoder.from_folder,
    "zeroscope": ZeroscopeDecoder.from_folder,
    "audioldm": AudioLDMDecoder.from_folder,
}
