"""Weight files: strict load and save, part by part. What does not fit is named and refused, never filled with random numbers."""

import hashlib
import json
import logging
import pickle
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nextgpt_core.errors import CheckpointError, CheckpointMismatch, CheckpointMissing

log = logging.getLogger(__name__)
AnyModule = TypeVar("AnyModule", bound=nn.Module)
MANIFEST_FILE = "manifest.json"
_EQUAL = "equal"  # key of the metadata that names tensors stored under another name
_LARGE = 1 << 15  # elements
_NESTED = ("module", "state_dict", "model_state_dict")  # DeepSpeed, Lightning, many others
_OLD_PICKLE = b"\x80"  # how a pickle begins that is not in a zip


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file. Raises CheckpointMissing or CheckpointMismatch with what to do."""
    if not path.is_file():
        raise CheckpointMissing(f"{path} is not there.")
    try:
        with safe_open(path, framework="pt") as file:
            equal = json.loads((file.metadata() or {}).get(_EQUAL, "{}"))
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, error) from error
    return tensors | {key: tensors[first] for key, first in equal.items() if first in tensors}


def read_metadata(path: Path) -> dict[str, str]:
    """What a safetensors file says of itself. Raises CheckpointMismatch."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def read_pickle(path: Path) -> dict[str, Tensor]:
    """All tensors of a torch pickle (.pt, .pth, .bin), memory-mapped, without executing code in it.

    Raises CheckpointMissing, or CheckpointMismatch for anything that is more than a table of tensors.
    """
    if not path.is_file():
        raise CheckpointMissing(f"{path} is not there; give the path of the file as it was published.")
    try:
        # Only torch's zip format (1.6 and later) can be mapped; older files are read whole.
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise CheckpointMismatch(
            f"{path} is not a table of weights alone: it is another kind of file, or holds more, which could run code; it was not loaded."
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        raise _damaged(path, error) from error
    if isinstance(found, Mapping):  # training programs put the state dict beside the optimizer's
        found = next((found[key] for key in _NESTED if isinstance(found.get(key), Mapping)), found)
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise CheckpointMismatch(f"{path} is not a plain table of weights; give a state dict.")
    return {key: value.detach() for key, value in found.items()}


def refuse_damaged(path: Path) -> None:
    """Raise CheckpointMismatch where a weight file is not whole: a safetensors header says how long the file must be, the zip of a torch
    pickle ends in a table of contents. Files of torch before 1.6 have neither, only a beginning. Tensors are not read."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt"):
                pass
            return
        with path.open("rb") as file:
            start = file.read(1)
        if start != _OLD_PICKLE and not zipfile.is_zipfile(path):
            raise ValueError("it ends too early" if start == b"P" else "it is no file of weights")
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> CheckpointMismatch:
    reason = str(error).partition(". ")[0] or "it ends too early"  # libraries add advice that is not for whoever reads this
    return CheckpointMismatch(f"{path} is damaged ({reason}); fetch or copy it again.")


def load_strict(module: AnyModule, path: Path, *, ignore: Iterable[str] = ()) -> AnyModule:
    """Load a file into a module: every key and shape must match, save those in `ignore`. Stored float16 becomes the module's dtype."""
    assign_strict(module, read_tensors(path), name=str(path), ignore=ignore)
    return module


def assign_strict(module: nn.Module, tensors: Mapping[str, Tensor], *, name: str, ignore: Iterable[str] = ()) -> None:
    """The strict half of `load_strict`, for tensors that are already in memory."""
    ignored = set(ignore)
    wanted = {key: value for key, value in module.state_dict().items() if key not in ignored}
    found = {key: value for key, value in tensors.items() if key not in ignored}
    refuse_mismatch({key: tuple(value.shape) for key, value in wanted.items()}, found, name=name)
    with torch.no_grad():
        for key, value in wanted.items():
            value.copy_(found[key])


def assemble(
    build: Callable[[], AnyModule], tensors: dict[str, Tensor], *, name: str, dtype: torch.dtype = torch.float32, ignore: Iterable[str] = ()
) -> AnyModule:
    """Build a module around loaded tensors: strict as `assign_strict`, but its random start is never computed nor held in memory.

    Floating tensors become `dtype`; those of another dtype leave `tensors` as they are converted.
    """
    with init_empty_weights(include_buffers=False):
        module = build()
    ignored = set(ignore)
    wanted = {key: tuple(value.shape) for key, value in module.state_dict().items() if key not in ignored}
    for key in [key for key in tensors if key in ignored]:
        del tensors[key]
    refuse_mismatch(wanted, tensors, name=name)
    for key in list(tensors):
        if tensors[key].is_floating_point():
            tensors[key] = tensors[key].to(dtype)
    module.load_state_dict(tensors, strict=not ignored, assign=True)
    return module.eval().requires_grad_(False)


def refuse_mismatch(wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, Tensor], *, name: str) -> None:
    """Raise CheckpointMismatch naming what is missing, unexpected or of another shape; return quietly otherwise."""
    problems = [f"missing {key}" for key in wanted if key not in found]
    problems += [f"unexpected {key}" for key in found if key not in wanted]
    problems += [
        f"{key} is {list(found[key].shape)}, expected {list(shape)}"
        for key, shape in wanted.items()
        if key in found and tuple(found[key].shape) != tuple(shape)
    ]
    if problems:
        more = f" and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise CheckpointMismatch(f"{name}: {'; '.join(problems[:8])}{more}.")


def save_tensors(
    tensors: Mapping[str, Tensor], path: Path, *, dtype: torch.dtype | None = None, metadata: dict[str, str] | None = None
) -> None:
    """Write tensors (floating ones as `dtype`) through a temporary file, so that no half-written file is left.

    Large tensors that are equal are stored once (projections that share their weights); `read_tensors` gives each under its name again.
    Raises CheckpointError where the disk is full or must not be written to.
    """
    out: dict[str, Tensor] = {}
    places: set[int] = set()  # of what is in `out`
    for key, value in tensors.items():
        value = (value.detach().to(dtype) if dtype is not None and value.is_floating_point() else value.detach()).contiguous()
        storage = value.untyped_storage()
        if storage.nbytes() != value.nbytes or storage.data_ptr() in places:  # the library refuses tensors that share their memory
            value = value.clone()
        places.add(value.untyped_storage().data_ptr())
        out[key] = value
    if equal := _repeated(out):
        out = {key: value for key, value in out.items() if key not in equal}
        metadata = {**(metadata or {}), _EQUAL: json.dumps(equal)}
    partial = path.with_suffix(path.suffix + ".partial")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file(out, partial, metadata=metadata)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Make a CheckpointError of what the system says while `path` is written: no room, no permission."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} could not be written ({error}); make room, or allow it to be written to, and try again.") from error


def _repeated(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Name -> name of an equal tensor before it, for tensors worth the trouble."""
    seen: dict[tuple[Any, ...], str] = {}
    equal = {}
    for key, value in tensors.items():
        if value.numel() >= _LARGE:
            content = hashlib.sha256(value.cpu().reshape(-1).view(torch.uint8).numpy().tobytes()).digest()
            first = seen.setdefault((tuple(value.shape), value.dtype, content), key)
            if first != key:
                equal[key] = first
    return equal


def sha256(path: Path) -> str:
    """The SHA-256 of a file as hexadecimal text, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def fingerprint(path: Path) -> str:
    """What tells one file of weights from another without reading it all: a hash of its length and of 64 pieces spread over it."""
    size, piece = path.stat().st_size, 1 << 14
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for number in range(64):
            file.seek(max(0, size - piece) * number // 63)
            digest.update(file.read(piece))
    return digest.hexdigest()


def write_manifest(folder: Path, names: Iterable[str], facts: Mapping[str, Any]) -> Path:
    """Record size and SHA-256 of files in a folder, with what else is worth knowing of them -> the manifest's path."""
    parts = {name: {"bytes": (folder / name).stat().st_size, "sha256": sha256(folder / name)} for name in names}
    return _write_json(folder, {**facts, "parts": parts})


def write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Put what has become known into a folder's manifest; a folder that cannot be written to is left as it is."""
    try:
        _write_json(folder, {**read_manifest(folder), **facts})
    except OSError as error:
        log.warning("%s is not kept in %s (%s)", ", ".join(facts), folder / MANIFEST_FILE, error)


def _write_json(folder: Path, content: Mapping[str, Any]) -> Path:
    partial = folder / f"{MANIFEST_FILE}.partial"
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return partial.replace(folder / MANIFEST_FILE)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Raises CheckpointMissing or CheckpointMismatch."""
    path = folder / MANIFEST_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointMissing(f"{path} is not there; run `python3 launch.py convert` on the published file.") from error
    except ValueError as error:
        raise CheckpointMismatch(f"{path} cannot be read ({error}); convert the published file again.") from error
    if not isinstance(found, dict) or not isinstance(found.get("parts"), dict):
        raise CheckpointMismatch(f"{path} lists no parts; convert the published file again.")
    return found


def update_manifest(folder: Path, names: Iterable[str]) -> None:
    """Record files that were written over, trained further for instance, so that they are what the folder's manifest says."""
    known = read_manifest(folder)
    facts = {key: value for key, value in known.items() if key != "parts"}
    write_manifest(folder, {**known["parts"], **dict.fromkeys(names)}, {**facts, "changed_here": True})


def verify_manifest(folder: Path) -> list[str]:
    """What differs between a folder and its manifest, one sentence each; empty when every file is whole."""
    problems = []
    for name, wanted in read_manifest(folder)["parts"].items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{path} is not there.")
        elif path.stat().st_size != wanted["bytes"]:
            problems.append(f"{path} has {path.stat().st_size} bytes, expected {wanted['bytes']}.")
        elif sha256(path) != wanted["sha256"]:
            problems.append(f"{path} is not the file that was converted (its SHA-256 differs).")
    return problems
