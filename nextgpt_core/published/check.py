"""Is a preset complete? Every part's state, and what to do where one is not ready. Nothing is loaded."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nextgpt_core.checkpoints import MANIFEST_FILE, refuse_damaged, sha256, verify_manifest
from nextgpt_core.config import Preset, load_preset
from nextgpt_core.errors import CheckpointMismatch
from nextgpt_core.model import TRAINED_FILES
from nextgpt_core.published.fetch import read_sources
from nextgpt_core.published.fetched_files import read_record

# What must lie in a part's folder: of each group at least one.
_WEIGHTS = ("*.safetensors", "*.bin")
_DECODER = (
    ("scheduler/scheduler_config.json",),
    *((f"{part}/config.json",) for part in ("unet", "vae")),
    *(tuple(f"{part}/{form}" for form in _WEIGHTS) for part in ("unet", "vae")),
    ("unconditional.safetensors", "text_encoder/config.json"),
)
# Of the parts that a decoder's model_index.json names, those that are loaded where they are named; the last two only to make
# unconditional.safetensors.
_TOKENIZER = ("tokenizer/tokenizer.json", "tokenizer/vocab.json")
_NAMED: dict[str, tuple[tuple[str, ...], ...]] = {
    **{
        part: ((f"{part}/config.json",), tuple(f"{part}/{form}" for form in _WEIGHTS))
        for part in ("safety_checker", "vocoder", "text_encoder")
    },
    "tokenizer": (_TOKENIZER,),
}
_NEEDED: dict[str, tuple[tuple[str, ...], ...]] = {
    "imagebind": (("imagebind_huge.safetensors", "imagebind_huge.pth"),),
    "nano": (("image.safetensors",), ("video.safetensors",), ("audio.safetensors",)),
    "language model": (("config.json",), ("tokenizer.json", "tokenizer.model"), _WEIGHTS),
    "stable_diffusion": _DECODER,
    "zeroscope": _DECODER,
    "audioldm": (*_DECODER, ("vocoder/config.json", "decoder.json")),
}


@dataclass(frozen=True)
class State:
    """One part: ready, missing or damaged, and what to do about it."""

    part: str
    state: str
    advice: str = ""


def check(preset: str | Preset) -> list[State]:
    """The state of every part that a preset names. Files that were fetched or converted are compared with their hashes, others with the
    length that their header tells."""
    found = load_preset(preset) if isinstance(preset, str) else preset
    fetched = {source.name for source in read_sources(found)}
    states = []
    parts = {"encoder": (found.encoder.kind, found.encoder.path), "language model": ("language model", found.llm.path)}
    parts |= {f"{modality} decoder": (output.decoder, output.path) for modality, output in found.outputs.items()}
    for part, (kind, path) in parts.items():
        advice = f"run `python3 launch.py fetch {found.handle}`" if fetched else "the repository is incomplete; clone it again"
        states.append(_folder_state(f"{part} ({path})", found.file(path), advice, needed=_NEEDED.get(kind, ())))
    return states + _trained_states(found)


def _folder_state(part: str, folder: Path, advice: str, *, needed: tuple[tuple[str, ...], ...]) -> State:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return State(part, "missing", advice)
    recorded = read_record(folder).get("files", {})
    for name, wanted in recorded.items():
        path = folder / name
        if not path.is_file():
            return State(part, "missing", f"{name} is gone: {advice}")
        if path.stat().st_size != wanted["bytes"] or sha256(path) != wanted["sha256"]:
            return State(part, "damaged", f"{name} has changed: remove it, then {advice}")
    groups = (*needed, *_named(folder), *((shard,) for shard in _shards(folder)))
    if absent := [" or ".join(group) for group in groups if not any(any(folder.glob(form)) for form in group)]:
        return State(part, "missing", f"{', '.join(dict.fromkeys(absent))}: {advice}")
    weights = (path for path in folder.rglob("*") if path.suffix in (".safetensors", ".bin", ".pth"))
    return _whole_state(part, sorted(path for path in weights if path.relative_to(folder).as_posix() not in recorded))


def _named(folder: Path) -> Iterator[tuple[str, ...]]:
    """What must lie in a decoder's folder because its model_index.json names it."""
    index, settings = _json(folder / "model_index.json"), _json(folder / "decoder.json")
    for part, groups in _NAMED.items():
        made = part in ("text_encoder", "tokenizer") and (folder / "unconditional.safetensors").is_file()
        unwanted = part == "safety_checker" and not settings.get("safety", True)
        if (index.get(part) or [None])[0] and not made and not unwanted:
            yield from groups


def _shards(folder: Path) -> Iterator[str]:
    """Every file that the index of a model in several files names."""
    for index in sorted(folder.rglob("*.index.json")):
        inside = index.parent.relative_to(folder)
        yield from sorted({(inside / shard).as_posix() for shard in _json(index).get("weight_map", {}).values()})


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _whole_state(part: str, files: Iterable[Path]) -> State:
    for file in files:
        try:
            refuse_damaged(file)
        except CheckpointMismatch as error:
            return State(part, "damaged", str(error))
    return State(part, "ready")


def _trained_states(preset: Preset) -> list[State]:
    advice = f"run `python3 launch.py fetch {preset.handle}`, or `convert` on the published pytorch_model.pt"
    if (preset.folder / MANIFEST_FILE).is_file():
        problems = verify_manifest(preset.folder)
        return [State("trained parts", "damaged", f"{' '.join(problems)} Convert again.") if problems else State("trained parts", "ready")]
    if missing := [name for name in TRAINED_FILES.values() if not (preset.folder / name).is_file()]:
        return [State("trained parts", "missing", f"{', '.join(missing)}: {advice}")]
    return [_whole_state("trained parts", [preset.folder / name for name in TRAINED_FILES.values()])]


def main(arguments: Sequence[str]) -> int:
    """launch.py check PRESET"""
    parser = argparse.ArgumentParser(prog="launch.py check", description="What is there of a preset, what is missing, and what to do.")
    parser.add_argument("preset", nargs="?", default="nano", help="nano, 7b or a folder (default: %(default)s)")
    states = check(parser.parse_args(arguments).preset)
    for one in states:
        sys.stdout.write(f"{one.state:<8} {one.part}{': ' if one.advice else ''}{one.advice}\n")
    return 0 if all(one.state == "ready" for one in states) else 1
