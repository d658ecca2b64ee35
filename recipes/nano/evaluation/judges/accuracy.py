"""The judges of made media, and how good they are themselves on reference items that they were not trained on."""

import logging
from collections.abc import Collection
from types import ModuleType
from typing import Any

from nextgpt_core.errors import NextGPTError
from recipes.nano.evaluation.judges import attributes, audio, image, video

log = logging.getLogger(__name__)

# modality (or what is looked at in it) -> its judge, and the module whose `judge_accuracy(judge)` measures it
JUDGES: dict[str, tuple[Any, ModuleType]] = {
    "image": (image.ImageJudge, image),
    "audio": (audio.AudioJudge, audio),
    "video": (video.VideoJudge, video),
    "attributes": (attributes.AttributeJudge, attributes),
}


def load_judge(modality: str) -> Any:
    """A modality's judge: `name(contents [n, …])` gives a label each. Raises CheckpointMissing where it was not trained."""
    return JUDGES[modality][0].from_file()


def judge_accuracies(modalities: Collection[str]) -> dict[str, float]:
    """Modality -> its judge's accuracy on held-out reference items. A judge that is not there is left out."""
    found = {}
    for modality in sorted(modalities):
        try:
            found[modality] = float(JUDGES[modality][1].judge_accuracy(load_judge(modality)))
        except (NextGPTError, ImportError) as error:
            log.warning("no judge of %s: %s", modality, error)
    return found
