"""How fast a person is answered: first token, picture, sound and video turns (medians), start-up and memory.

    python -m benchmarks.turns [--preset nano] [--repeat 5] [--json FILE]

Floors for nano on two cores: first token 1.5 s, picture and sound 6 s, video 20 s, 2.5 GB resident.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


@dataclass(frozen=True)
class Floor:
    """What a figure should stay below."""

    limit: float
    unit: str


FLOORS = {
    "first token": Floor(1.5, "s"),
    "text turn": Floor(0, "s"),
    "picture seen": Floor(0, "s"),
    "picture turn": Floor(6, "s"),
    "sound turn": Floor(6, "s"),
    "video turn": Floor(20, "s"),
    "engine start": Floor(15, "s"),
    "resident memory": Floor(2.5, "GB"),
}
WISHES = {
    "text turn": ("Why is the sky blue?", "What is a good name for a kitten?", "How do birds fly?", "Tell me a joke."),
    "picture turn": ("Draw a red apple.", "show me a dog", "a picture of two cats please", "draw a house on a blue background"),
    "sound turn": ("Play a violin.", "let me hear rain", "the sound of a dog barking please", "I want to hear a siren"),
    "video turn": ("Film a rocket moving up.", "a video of a dog spinning", "animate a soccer ball bouncing", "Film a growing tree."),
}
FORCED = {"picture turn": "image", "sound turn": "audio", "video turn": "video"}


def main() -> int:
    """Measure, print a table, optionally write JSON; returns 0 where every floor holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="nano")
    parser.add_argument("--repeat", type=int, default=5, help="turns per figure")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()

    figures: dict[str, list[float]] = {"engine start": start_up(options.preset, min(3, options.repeat))}
    figures |= turns(options.preset, options.repeat)
    figures["resident memory"] = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6]  # kB on Linux
    medians = {name: statistics.median(values) for name, values in figures.items() if values}
    print(f"{'figure':<18}{'median':>10}{'worst':>10}{'floor':>10}")
    for name, floor in FLOORS.items():
        if name in medians:
            shown = f"{floor.limit:.1f} {floor.unit}" if floor.limit else ""
            print(f"{name:<18}{medians[name]:>8.2f} {floor.unit}{max(figures[name]):>8.2f} {floor.unit}{shown:>10}")
    if options.json:
        options.json.write_text(json.dumps({"preset": options.preset, "figures": figures, "medians": medians}, indent=1), encoding="utf-8")
    return int(any(floor.limit and medians.get(name, 0.0) > floor.limit for name, floor in FLOORS.items()))


def start_up(preset: str, repeat: int) -> list[float]:
    """Seconds from a new Python process to an engine that can answer."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from nextgpt_core.engine import Engine; Engine.load({preset!r})"
    found = []
    for _ in range(repeat):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        found.append(time.perf_counter() - begin)
    return found


def turns(preset: str, repeat: int) -> dict[str, list[float]]:
    """Seconds of whole turns by kind, of the first token in all of them, and of the first token after a picture was sent."""
    from nextgpt_core.engine import Engine
    from nextgpt_core.messages import Message

    engine = Engine.load(preset)
    found: dict[str, list[float]] = {name: [] for name in ("first token", "picture seen", *WISHES)}
    with tempfile.TemporaryDirectory() as folder:
        one_turn(engine, [Message("user", ("Hello!",))], Path(folder), seed=0)  # first use of every kernel
        for kind, wishes in WISHES.items():
            if FORCED.get(kind, "") not in ("", *engine.model.decoders):
                continue
            for i in range(repeat):
                messages = [Message("user", (wishes[i % len(wishes)],))]
                first, whole, _ = one_turn(engine, messages, Path(folder), seed=i, answer_with=FORCED.get(kind))
                found[kind].append(whole)
                found["first token"].append(first)
        for i in range(repeat):
            picture = seen_picture(Path(folder), i)
            first, _, _ = one_turn(engine, [Message("user", (picture, "what is this?"))], Path(folder), seed=i)
            found["picture seen"].append(first)
    return found


def one_turn(
    engine: Any, messages: Sequence[Any], folder: Path, *, seed: int, answer_with: str | None = None
) -> tuple[float, float, list[Any]]:
    """Seconds to the first token, seconds of the whole turn, and its events."""
    from nextgpt_core.messages import SignalSpan, TextDelta, TurnSettings

    wanted = None if answer_with is None else frozenset({"text", answer_with})
    settings = TurnSettings(seed=seed, max_new_tokens=80, answer_with=wanted)
    begin, first, events = time.perf_counter(), 0.0, []
    for event in engine.turn(messages, settings, out_dir=folder):
        if not first and isinstance(event, TextDelta | SignalSpan):
            first = time.perf_counter() - begin
        events.append(event)
    whole = time.perf_counter() - begin
    return first or whole, whole, events


def seen_picture(folder: Path, number: int) -> Any:
    """A new picture of 1024 x 768 pixels, as a phone would send it."""
    import numpy as np

    from nextgpt_core.modalities import MODALITIES

    noise = np.random.default_rng(number).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    return MODALITIES["image"].save(noise.repeat(32, 0).repeat(32, 1), folder / f"seen-{number}.png", provenance={})


if __name__ == "__main__":
    sys.exit(main())
