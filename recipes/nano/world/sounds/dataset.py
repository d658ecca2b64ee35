"""Rendered sounds on disk: every kind a few dozen times, as int16 that is mapped rather than read."""

import json
from dataclasses import asdict

import numpy as np

from recipes.nano.paths import DATA
from recipes.nano.world.sounds.blocks import SAMPLES
from recipes.nano.world.sounds.catalogue import SOUNDS, SoundScene, caption, render_many, sample_sound

FOLDER = DATA
PER_KIND = {"train": 64, "heldout": 8}
SEEDS = {"train": 0, "heldout": 1}
CHUNK = 600  # scenes of one fluidsynth run


def sound_set(split: str) -> tuple[np.ndarray, list[SoundScene]]:
    """("train" or "heldout") -> int16 [n, 40960] (mapped from disk, rendered at the first call) and the scenes, in the same order.

    The order is mixed, kind by kind in turn, so that any part of it is balanced.
    """
    path, index = FOLDER / f"sounds_{split}.npy", FOLDER / f"sounds_{split}.jsonl"
    if not index.exists():
        rng = np.random.default_rng(SEEDS[split])
        scenes = [sample_sound(rng, kind.name, heldout=split == "heldout") for _ in range(PER_KIND[split]) for kind in SOUNDS]
        path.parent.mkdir(parents=True, exist_ok=True)
        out = np.lib.format.open_memmap(path, mode="w+", dtype=np.int16, shape=(len(scenes), SAMPLES))
        for begin in range(0, len(scenes), CHUNK):
            out[begin : begin + CHUNK] = np.round(render_many(scenes[begin : begin + CHUNK]) * 32767)
        out.flush()
        lines = [json.dumps({**asdict(scene), "caption": caption(scene)}) for scene in scenes]
        index.write_text("\n".join(lines) + "\n")
    scenes = []
    for line in index.read_text().splitlines():
        row = json.loads(line)
        del row["caption"]
        scenes.append(SoundScene(**row))
    return np.load(path, mmap_mode="r"), scenes
