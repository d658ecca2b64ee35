"""How good the judges themselves are, on reference items that they were not trained on."""

import logging
from collections.abc import Callable, Collection

from nextgpt_core.errors import NextGPTError

log = logging.getLogger(__name__)


def judge_accuracies(modalities: Collection[str], *, quick: bool) -> dict[str, float]:
    """Modality -> its judge's accuracy on held-out reference items. A judge that is not there is left out."""
    found = {}
    for modality in sorted(modalities):
        try:
            found[modality] = _ACCURACIES[modality]()
        except (NextGPTError, ImportError) as error:
            log.warning("no judge of %s: %s", modality, error)
    return found


def _audio() -> float:
    from nextgpt_core.train.nano.audio_judge import AudioJudge, judge_accuracy

    return judge_accuracy(AudioJudge.from_file())


_ACCURACIES: dict[str, Callable[[], float]] = {"audio": _audio}
