"""Encoders: from a loaded picture, sound or video to a few vectors. A new one is one file here and one line in the table."""

from collections.abc import Callable
from typing import Any

from nextgpt_core.encoders.imagebind import ImageBindEncoder
from nextgpt_core.encoders.nano import NanoEncoder

# name in a preset -> load(path)
ENCODERS: dict[str, Callable[..., Any]] = {
    "imagebind": ImageBindEncoder.from_folder,
    "nano": NanoEncoder.from_folder,
}
