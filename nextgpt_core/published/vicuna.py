"""Vicuna v0 is published as its difference to LLaMA, tensor by tensor. This adds the two, about a gigabyte at a time."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from nextgpt_core.checkpoints import read_pickle, read_tensors, save_tensors, sha256, writing
from nextgpt_core.errors import CheckpointError, CheckpointMismatch, CheckpointMissing
from nextgpt_core.published.fetched_files import read_record, write_record

_SHARD = 1_000_000_000  # bytes at which a file is written: what is summed stays in memory until then
_BUFFERS = ".rotary_emb.inv_freq"  # older transformers saved it; it is not a weight


def add_delta(base: Path, delta: Path, out: Path) -> Path:
    """base + delta -> a folder that transformers loads: float16 shards with an index, config.json and tokenizer.model of the base, and a
    record of their sizes and hashes.

    The delta's tables have a padding row that the base lacks; it is left out, as upstream's vocabulary has none. Every tensor of the base
    must find its difference; raises CheckpointMismatch otherwise, CheckpointError where the disk is too small, and writes nothing then.
    """
    weights = dict(_located(base))
    differences = dict(_located(delta))
    wanted = {key for key in weights if not key.endswith(_BUFFERS)}
    if wrong := sorted(wanted ^ {key for key in differences if not key.endswith(_BUFFERS)}):
        raise CheckpointMismatch(f"{delta} does not fit {base}: {', '.join(wrong[:4])} are in only one of them.")
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    needed = sum(path.stat().st_size for path in {weights[key] for key in wanted})
    if needed * 1.05 > (free := shutil.disk_usage(out.parent).free):
        raise CheckpointError(f"{out} needs {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; make room and fetch again.")
    with writing(out), tempfile.TemporaryDirectory(dir=out.parent, prefix=".vicuna-") as partial:
        folder = Path(partial) / out.name
        index: dict[str, str] = {}
        for number, summed in enumerate(_sums(weights, {key: shard for key, shard in differences.items() if key in wanted}), start=1):
            name = f"model-{number:05d}.safetensors"
            save_tensors(summed, folder / name)
            index |= dict.fromkeys(summed, name)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}), encoding="utf-8")
        for name in ("config.json", "tokenizer.model"):
            shutil.copy(base / name, folder / name)
        facts = {"made_of": {part.name: read_record(part).get("commit") for part in (base, delta)}, "complete": True}
        files = {path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in sorted(folder.iterdir())}
        write_record(folder, facts, files)
        folder.replace(out)
    return out


def _sums(weights: dict[str, Path], differences: dict[str, Path]) -> Iterator[dict[str, Tensor]]:
    """The sums, as many at a time as fill a file. What they are made of is mapped into memory, and read when its turn has come."""
    read = lru_cache(maxsize=4)(_read)  # neighbours lie in the same shards
    summed: dict[str, Tensor] = {}
    for key in sorted(differences, key=lambda key: differences[key]):
        summed[key] = _sum(key, read(weights[key])[key], read(differences[key])[key])
        if sum(value.nbytes for value in summed.values()) >= _SHARD:
            yield summed
            summed = {}
    if summed:
        yield summed


def _sum(key: str, base: Tensor, difference: Tensor) -> Tensor:
    rows = difference[: len(base)] if key in ("model.embed_tokens.weight", "lm_head.weight") else difference
    if rows.shape != base.shape:
        raise CheckpointMismatch(f"{key} is {list(base.shape)} in the base and {list(difference.shape)} in the difference.")
    return (base.float() + rows.float()).to(torch.float16)


def _located(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every tensor's name and the shard it lies in."""
    for name in ("model.safetensors", "pytorch_model.bin"):
        index = folder / f"{name}.index.json"
        if index.is_file():
            for key, shard in json.loads(index.read_text(encoding="utf-8"))["weight_map"].items():
                yield key, folder / shard
            return
        if (folder / name).is_file():
            for key in _read(folder / name):
                yield key, folder / name
            return
    raise CheckpointMissing(f"{folder} holds no weights; fetch it first.")


def _read(shard: Path) -> dict[str, Tensor]:
    return read_tensors(shard) if shard.suffix == ".safetensors" else read_pickle(shard)
