"""Files that are read before the turn that needs them, so that no other turn waits for that: `prepare` keeps what `load` then gives."""

import time
from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock
from typing import Any

from nextgpt_core.errors import MediaError, MediaTooLarge
from nextgpt_core.messages import Media
from nextgpt_core.modalities import MODALITIES
from nextgpt_core.modalities.fingerprint import fingerprint
from nextgpt_core.modalities.limits import display_name
from nextgpt_core.modalities.reading import ReadersBusy, Stop

SECONDS = 120.0  # for the files of one message; the rest are refused
BYTES = 2**28  # of contents that wait for their turn; beyond that they are read again

Key = tuple[str, str, str]
_kept: OrderedDict[Key, tuple[Any, int]] = OrderedDict()  # content or MediaError, and its bytes; the newest last
_lock = Lock()


def prepare(files: Iterable[Media], *, cancelled: Stop = None) -> None:
    """Read files now that `load` will be asked for. What stands in a file's way is raised there. Raises Cancelled."""
    end = time.monotonic() + SECONDS
    for media in files:
        try:
            if time.monotonic() > end:
                raise MediaTooLarge(
                    f"{display_name(media.path)} was not read: the files before it took too long; please send it in a message of its own."
                )
            content = MODALITIES[media.modality].load(media.path, cancelled=cancelled)
            _keep(media, content, _size(content))
        except ReadersBusy:
            continue
        except MediaError as error:
            _keep(media, error, 0)


def load(media: Media, *, cancelled: Stop = None) -> Any:
    """A file's content, as its modality loads it; at once if it was prepared. Raises MediaError or Cancelled."""
    with _lock:
        content, _ = _kept.pop(_key(media), (None, 0))
    if isinstance(content, MediaError):
        raise content
    return MODALITIES[media.modality].load(media.path, cancelled=cancelled) if content is None else content


def forget(files: Iterable[Media]) -> None:
    """Drop what no turn came for."""
    with _lock:
        for media in files:
            _kept.pop(_key(media), None)


def _keep(media: Media, content: Any, size: int) -> None:
    with _lock:
        _kept[_key(media)] = content, size
        while sum(size for _, size in _kept.values()) > BYTES or len(_kept) > 1000:
            _kept.popitem(last=False)


def _size(content: Any) -> int:
    """Bytes of a picture's pixels, a sound's samples, a video's frames."""
    return sum(int(getattr(one, "nbytes", 0)) for one in (content, *getattr(content, "__dict__", {}).values()))


def _key(media: Media) -> Key:
    try:
        return media.modality, str(media.path), fingerprint(media.path)
    except OSError:
        return media.modality, str(media.path), ""
