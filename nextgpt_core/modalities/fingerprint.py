"""What tells a file's content from any other's."""

import hashlib
from collections import OrderedDict
from pathlib import Path
from threading import Lock

WHOLE = 64 * 2**20  # bytes; of a larger file, its ends and what the disk says of it
KNOWN = 1024  # files that are remembered

State = tuple[str, int, int, int, int, int]
_known: OrderedDict[State, str] = OrderedDict()
_lock = Lock()


def fingerprint(path: Path) -> str:
    """Of the content, hashed again when anything about the file has changed; a file that was replaced by one of the same size and time is
    another. Raises OSError where there is none."""
    found = path.stat()
    # The time of the last change to the file's entry is not for its owner to set; where there is none (Windows), the rest has to do.
    state = str(path), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    with _lock:
        if state in _known:
            _known.move_to_end(state)
            return _known[state]
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        if found.st_size > WHOLE:
            digest.update(repr(state).encode())
            digest.update(file.read(2**20))
            file.seek(-(2**20), 2)
        while block := file.read(2**20):
            digest.update(block)
    with _lock:
        _known[state] = digest.hexdigest()
        while len(_known) > KNOWN:
            _known.popitem(last=False)
    return digest.hexdigest()
