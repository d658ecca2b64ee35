"""Decoders: from a projected condition to a picture, sound or video. A new one is one file here and one line in the table."""

from nextgpt_core.config import Preset, require_known
from nextgpt_core.decoders.audioldm import AudioLDMDecoder
from nextgpt_core.decoders.base import Decoder
from nextgpt_core.decoders.stable_diffusion import StableDiffusionDecoder
from nextgpt_core.decoders.zeroscope import ZeroscopeDecoder
from nextgpt_core.errors import ConfigError

# By name in a preset.
DECODERS: dict[str, type[Decoder]] = {
    "stable_diffusion": StableDiffusionDecoder,
    "zeroscope": ZeroscopeDecoder,
    "audioldm": AudioLDMDecoder,
}


def decoder_class(preset: Preset, modality: str) -> type[Decoder]:
    """What a preset's decoder of a modality is made by. Raises ConfigError where there is none of that name, or it makes something else."""
    kind = preset.outputs[modality].decoder
    require_known(kind, DECODERS, where=f"{preset.name}: outputs.{modality}.decoder")
    if DECODERS[kind].modality != modality:
        raise ConfigError(f"{preset.name}: the decoder '{kind}' makes {DECODERS[kind].modality}, not {modality}.")
    return DECODERS[kind]
