"""Weight files: strict load and save, part by part. What does not fit is named and refused, never filled with random numbers."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nextgpt_core.errors import CheckpointMismatch, CheckpointMissing


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file. Raises CheckpointMissing or CheckpointMismatch with what to do."""
    if not path.is_file():
        raise CheckpointMissing(f"{path} is not there; run `python3 launch.py check` to see what is missing.")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointMismatch(f"{path} is damaged ({error}); fetch or copy it again.") from error


def load_strict(module: nn.Module, path: Path, *, ignore: Iterable[str] = ()) -> None:
    """Load a file into a module: every key and shape must match, save those in `ignore`. Stored float16 becomes the module's dtype."""
    assign_strict(module, read_tensors(path), name=str(path), ignore=ignore)


def assign_strict(module: nn.Module, tensors: Mapping[str, Tensor], *, name: str, ignore: Iterable[str] = ()) -> None:
    """The strict half of `load_strict`, for tensors that are already in memory."""
    ignored = set(ignore)
    wanted = {key: value for key, value in module.state_dict().items() if key not in ignored}
    found = {key: value for key, value in tensors.items() if key not in ignored}
    problems = [f"missing {key}" for key in wanted if key not in found]
    problems += [f"unexpected {key}" for key in found if key not in wanted]
    problems += [
        f"{key} is {list(found[key].shape)}, expected {list(value.shape)}"
        for key, value in wanted.items()
        if key in found and found[key].shape != value.shape
    ]
    if problems:
        more = f" and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise CheckpointMismatch(f"{name}: {'; '.join(problems[:8])}{more}.")
    with torch.no_grad():
        for key, value in wanted.items():
            value.copy_(found[key])


def save_tensors(tensors: Mapping[str, Tensor], path: Path, *, dtype: torch.dtype | None = None, metadata: dict[str, str] | None = None) -> None:
    """Write tensors (floating ones as `dtype`) through a temporary file, so that no half-written file is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    out = {
        key: (value.detach().to(dtype) if dtype is not None and value.is_floating_point() else value.detach()).contiguous().clone()
        for key, value in tensors.items()
    }
    partial = path.with_suffix(path.suffix + ".partial")
    save_file(out, partial, metadata=metadata)
    partial.replace(path)
