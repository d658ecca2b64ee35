"""The process in which files from outside are read: `python -m nextgpt_core.modalities.helper BYTES`, started by reading.py.

It reads requests (a line of JSON each) and answers facts (their length, JSON), then the bytes of one array. It trusts its requests, and
whoever started it trusts none of its answers.
"""

import errno
import json
import math
import os
import struct
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import AvifImagePlugin, IcoImagePlugin, Jpeg2KImagePlugin, QoiImagePlugin, TiffImagePlugin, WebPImagePlugin  # noqa: F401  # ahead

from nextgpt_core.errors import MediaError, MediaTooLarge, UnsupportedMedia
from nextgpt_core.modalities import MODALITIES
from nextgpt_core.modalities.base import ReadApart
from nextgpt_core.modalities.limits import Limits, display_name
from nextgpt_core.modalities.preview import converted
from nextgpt_core.modalities.sniff import recognise

try:
    import resource
except ImportError:  # Windows: the clock of reading.py ends what takes too long, and its look at the memory what takes too much
    resource = None  # type: ignore[assignment]

READERS = {name: spec for name, spec in MODALITIES.items() if isinstance(spec, ReadApart)}
Facts = dict[str, Any]
Result = tuple[Facts, np.ndarray]
NOTHING = np.zeros(0, np.uint8)


def main() -> None:
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    confine(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    sink.write(b"!")
    sink.flush()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        allow_seconds(request["seconds"])
        facts, array = answer(request)
        head = json.dumps({**facts, "array": [str(array.dtype), list(array.shape)]}).encode()
        sink.write(struct.pack("<I", len(head)) + head)
        sink.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        sink.flush()


def answer(request: Facts) -> Result:
    """Do what is asked. Whatever goes wrong becomes a sentence."""
    path = Path(request["path"])
    limits = Limits(**request["limits"]) if request["limits"] else None
    try:
        return TASKS[request["task"]](path, request["modality"], limits)
    except MediaError as error:
        return {"error": type(error).__name__, "sentence": str(error)}, NOTHING
    except Exception as error:  # a library's own; readers know most of them
        if _is_out_of_memory(error):
            refusal: MediaError = MediaTooLarge(f"{display_name(path)} needs too much memory to read; please send a smaller copy.")
            return {"error": "MediaTooLarge", "sentence": str(refusal)}, NOTHING
        refusal = UnsupportedMedia(f"{display_name(path)} is damaged and cannot be read; please send it again or in another format.")
        return {"error": "UnsupportedMedia", "sentence": str(refusal), "unexpected": traceback.format_exc()[-500:]}, NOTHING


def look(path: Path, modality: str, limits: Limits | None) -> Result:
    """All that is to be known of a file that was just chosen."""
    found = recognise(path)
    spec = READERS[found.modality]
    facts = spec.describe_here(path, limits or spec.limits)
    return {"found": asdict(found), "facts": facts, "provenance": spec.provenance_here(path)}, NOTHING


def load(path: Path, modality: str, limits: Limits | None) -> Result:
    spec = READERS[modality]
    return spec.pack(spec.load_here(path, limits or spec.limits))


def describe(path: Path, modality: str, limits: Limits | None) -> Result:
    spec = READERS[modality]
    return spec.describe_here(path, limits or spec.limits), NOTHING


def provenance(path: Path, modality: str, _: Limits | None) -> Result:
    return {"provenance": READERS[modality].provenance_here(path)}, NOTHING


def preview(path: Path, modality: str, _: Limits | None) -> Result:
    return {}, np.frombuffer(converted(path, modality), np.uint8)


TASKS: dict[str, Callable[[Path, str, Limits | None], Result]] = {
    "sniff": lambda path, *_: (asdict(recognise(path)), NOTHING),
    "look": look,
    "load": load,
    "describe": describe,
    "provenance": provenance,
    "preview": preview,
}


def confine(memory: int) -> None:
    """No more than `memory` bytes beyond what is taken now, no file written, no core dumped."""
    if resource is None:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    except (OSError, ValueError):
        pass  # macOS has no such limit: reading.py looks at the memory


def allow_seconds(seconds: int) -> None:
    """So much more processor time; the system ends the process after that, also one whose parent is gone."""
    if resource is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + seconds, hard))


def _is_out_of_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            return True
        error = error.__cause__ or error.__context__
    return False


if __name__ == "__main__":
    main()
