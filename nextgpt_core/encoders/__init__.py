"""Encoders: from a loaded picture, sound or video to a few vectors. A new one is one file here and one line in the table."""

from nextgpt_core.config import Preset, require_known
from nextgpt_core.encoders.base import Encoder
from nextgpt_core.encoders.imagebind import ImageBindEncoder
from nextgpt_core.encoders.nano import NanoEncoder

ENCODERS: dict[str, type[Encoder]] = {"imagebind": ImageBindEncoder, "nano": NanoEncoder}  # by name in a preset


def encoder_class(preset: Preset) -> type[Encoder]:
    """What a preset's encoder is made by. Raises ConfigError where there is none of that name."""
    require_known(preset.encoder.kind, ENCODERS, where=f"{preset.name}: encoder.kind")
    return ENCODERS[preset.encoder.kind]
