"""Reading the files of a decoder's folder: configs and weights as diffusers and transformers save them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import init_empty_weights
from torch import Tensor, nn

from nextgpt_core.checkpoints import read_pickle, read_tensors
from nextgpt_core.errors import CheckpointMismatch, CheckpointMissing

HUB_FILES = ("model.safetensors", "model.fp16.safetensors", "pytorch_model.bin")  # transformers' names
DIFFUSERS_FILES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.bin")


def hub_tensors(folder: Path) -> dict[str, Tensor]:
    """The weights of a part that transformers saved."""
    return first_of(folder, HUB_FILES)


def first_of(folder: Path, names: tuple[str, ...]) -> dict[str, Tensor]:
    weights = weights_file(folder, names)
    if weights is None:
        raise CheckpointMissing(f"{folder / names[0]} is not there.")
    return read_pickle(weights) if weights.suffix == ".bin" else read_tensors(weights)


def weights_file(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def modern_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """VAEs published before diffusers 0.17 (Stable Diffusion 1.5's among them) call the parts of their attention by older names."""
    older = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
    renamed = {}
    for key, value in tensors.items():
        name = key
        if ".attentions." in key:
            for old, new in older.items():
                name = name.replace(old, new)
        renamed[name] = value
    return renamed


def spelled_for(build: Callable[[], nn.Module], tensors: dict[str, Tensor], published: str, here: str) -> dict[str, Tensor]:
    """transformers 5 calls the layers of CLIP without a prefix that every published file has: `published` becomes `here` if it must."""
    with init_empty_weights():
        wanted = build().state_dict()
    if any(key.startswith(published) for key in wanted):
        return tensors
    return {here + key.removeprefix(published) if key.startswith(published) else key: value for key, value in tensors.items()}


def read_config(path: Path, *, optional: bool = False) -> dict[str, Any]:
    """One JSON object of a part's folder; an `optional` one that is absent is empty. Raises CheckpointMissing or CheckpointMismatch."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if optional:
            return {}
        raise CheckpointMissing(f"{path} is not there.") from error
    except (ValueError, OSError) as error:
        raise CheckpointMismatch(f"{path} cannot be read ({error}); fetch or copy it again.") from error
    if not isinstance(found, dict):
        raise CheckpointMismatch(f"{path} must hold one JSON object.")
    return found
