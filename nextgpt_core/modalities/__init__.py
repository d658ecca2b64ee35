"""The modalities there are, by name. A new one is one file beside this and one line here."""

from nextgpt_core.modalities.audio import AUDIO, AudioClip
from nextgpt_core.modalities.base import ModalitySpec
from nextgpt_core.modalities.image import IMAGE
from nextgpt_core.modalities.limits import Limits
from nextgpt_core.modalities.reading import warm
from nextgpt_core.modalities.sniff import look, sniff
from nextgpt_core.modalities.video import VIDEO, VideoClip

MODALITIES: dict[str, ModalitySpec] = {spec.name: spec for spec in (IMAGE, VIDEO, AUDIO)}

__all__ = ["MODALITIES", "AudioClip", "Limits", "ModalitySpec", "VideoClip", "look", "sniff", "warm"]
