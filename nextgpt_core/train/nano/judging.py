"""The judges of made media, and how good they are themselves on reference items that they were not trained on."""

import logging
from collections.abc import Collection
from importlib import import_module
from typing import Any

from nextgpt_core.errors import NextGPTError

log = logging.getLogger(__name__)

# modality (or what is looked at in it) -> module and class; each module also has `judge_accuracy(judge)`
JUDGES = {
    "image": ("nextgpt_core.train.nano.picture_judge", "PictureJudge"),
    "audio": ("nextgpt_core.train.nano.audio_judge", "AudioJudge"),
    "video": ("nextgpt_core.train.nano.film_judge", "FilmJudge"),
    "attributes": ("nextgpt_core.train.nano.attribute_judge", "AttributeJudge"),
}


def load_judge(modality: str) -> Any:
    """A modality's judge: `name(contents [n, …])` gives a label each. Raises CheckpointMissing where it was not trained."""
    module, kind = JUDGES[modality]
    return getattr(import_module(module), kind).from_file()


def judge_accuracies(modalities: Collection[str]) -> dict[str, float]:
    """Modality -> its judge's accuracy on held-out reference items. A judge that is not there is left out."""
    found = {}
    for modality in sorted(modalities):
        try:
            found[modality] = float(import_module(JUDGES[modality][0]).judge_accuracy(load_judge(modality)))
        except (NextGPTError, ImportError) as error:
            log.warning("no judge of %s: %s", modality, error)
    return found
