"""Is a preset complete? Every part's state, and what to do where one is not ready. Nothing is loaded."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nextgpt_core.checkpoints import MANIFEST_FILE, refuse_damaged, sha256, verify_manifest
from nextgpt_core.config import Preset, load_preset
from nextgpt_core.decoders import decoder_class
from nextgpt_core.decoders.reading import read_config
from nextgpt_core.encoders import encoder_class
from nextgpt_core.errors import CheckpointMismatch, ConfigError
from nextgpt_core.frozen import WEIGHTS, absent
from nextgpt_core.model import TRAINED_FILES
from nextgpt_core.published.fetch import read_sources
from nextgpt_core.published.fetched_files import read_record

_LANGUAGE_MODEL = (("config.json",), ("tokenizer.json", "tokenizer.model"), ("*.safetensors", "*.bin"))  # of each group one


@dataclass(frozen=True)
class State:
    """One part: ready, missing or damaged, and what to do about it."""

    part: str
    state: str
    advice: str = ""


def check(preset: str | Preset) -> list[State]:
    """The state of every part that a preset names. Files that were fetched or converted are compared with their hashes, others with the
    length that their header tells. Raises ConfigError for a part that is of no known kind."""
    found = load_preset(preset) if isinstance(preset, str) else preset
    fetched = {source.name for source in read_sources(found)}
    advice = f"run `python3 launch.py fetch {found.handle}`" if fetched else "the repository is incomplete; clone it again"

    parts: list[tuple[str, str, Callable[[Path], Sequence[tuple[str, ...]]]]] = [
        ("encoder", found.encoder.path, encoder_class(found).needed_files),
        ("language model", found.llm.path, lambda folder: _LANGUAGE_MODEL),
        *((f"{name} decoder", output.path, decoder_class(found, name).needed_files) for name, output in found.outputs.items()),
    ]
    states = [_folder_state(f"{part} ({path})", found.file(path), advice, needed=needed) for part, path, needed in parts]
    return states + _trained_states(found)


def _folder_state(part: str, folder: Path, advice: str, *, needed: Callable[[Path], Sequence[tuple[str, ...]]]) -> State:
    recorded = read_record(folder).get("files", {})
    for name, wanted in recorded.items():
        path = folder / name
        if not path.is_file():
            return State(part, "missing", f"{name} is gone: {advice}")
        if path.stat().st_size != wanted["bytes"] or sha256(path) != wanted["sha256"]:
            return State(part, "damaged", f"{name} has changed: remove it, then {advice}")
    try:
        lacking = absent([*needed(folder), *((shard,) for shard in _shards(folder))], folder)
    except (CheckpointMismatch, ConfigError) as error:  # one of the files that tell what else is needed
        return State(part, "damaged", str(error))
    if lacking:
        nothing = not folder.is_dir() or not any(folder.iterdir())
        return State(part, "missing", advice if nothing else f"{', '.join(dict.fromkeys(lacking))}: {advice}")
    weights = {path for form in WEIGHTS for path in folder.rglob(form)}
    return _whole_state(part, sorted(path for path in weights if path.relative_to(folder).as_posix() not in recorded))


def _shards(folder: Path) -> Iterator[str]:
    """Every file that the index of a model in several files names."""
    for index in sorted(folder.rglob("*.index.json")):
        inside = index.parent.relative_to(folder)
        yield from sorted({(inside / shard).as_posix() for shard in read_config(index).get("weight_map", {}).values()})


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
