"""Damaged files of every format: each ends as media or as one of our sentences about it, within a second of processor time and 200 MB."""

import random
import sys
from pathlib import Path

import psutil
import pytest

from nextgpt_core.errors import MediaError
from nextgpt_core.modalities import MODALITIES, look
from tests.modalities.seeds import SEEDS, seed

ROUNDS, MORE = 4, 60  # damaged files of each format: quickly, and where there is time
MEGABYTES, SECONDS = 200, 1.0
SPLICES = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\1\0\0", b"\xff\xff\xff\x7f", b"\x80\0\0\0")


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Bits turned, numbers made huge, pieces cut out, doubled or replaced; headers more often than the rest."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at = chance.randrange(len(found) if chance.random() < 0.5 else min(len(found), 600))
        kind = chance.randrange(7)
        if kind == 0:
            found[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            found[at] = chance.randrange(256)
        elif kind == 2:
            found[at : at + 4] = chance.choice(SPLICES)
        elif kind == 3:
            del found[at : at + chance.randrange(1, 64)]
        elif kind == 4:
            found[at:at] = found[at : at + chance.randrange(1, 64)]
        elif kind == 5:
            del found[max(1, at) :]
        else:
            found[at : at + 16] = chance.randbytes(16)
        found = found or bytearray(b"\0")
    return bytes(found)


def helpers() -> dict[int, tuple[float, int]]:
    """Each helper's processor seconds, and the most memory that it ever had in MB (what it has now, where the system tells no more)."""
    found = {}
    for one in psutil.Process().children():
        peak = one.memory_info().rss >> 20
        if sys.platform == "linux":
            peak = int(Path(f"/proc/{one.pid}/status").read_text().partition("VmHWM:")[2].split()[0]) >> 10
        found[one.pid] = sum(one.cpu_times()[:2]), peak
    return found


def look_and_load(path: Path) -> None:
    """What the page and then a turn do with a file; what is raised must be about it, and say what to do."""
    before = helpers()
    try:
        MODALITIES[look(path).found.modality].load(path)
    except MediaError as error:
        sentence = str(error)
        assert path.name in sentence and "; please" in sentence and sentence.endswith(".")
        assert sentence.isprintable() and len(sentence) < 200
    for process, (seconds, peak) in helpers().items():
        if process in before:
            assert seconds - before[process][0] < SECONDS, f"{path.name} took {seconds - before[process][0]:.1f} s"
            assert peak - before[process][1] < MEGABYTES, f"{path.name} took {peak - before[process][1]} MB"


@pytest.mark.parametrize("name", SEEDS)
def test_the_undamaged_file_is_read(tmp_path: Path, name: str) -> None:
    path = seed(tmp_path, name)
    assert look(path).found.modality == SEEDS[name][0]
    MODALITIES[SEEDS[name][0]].load(path)


@pytest.mark.parametrize("name", SEEDS)
def test_damaged_files_end_as_media_or_a_sentence(tmp_path: Path, name: str) -> None:
    data = seed(tmp_path, name).read_bytes()
    for number in range(ROUNDS):
        path = tmp_path / f"{number}-{name}"
        path.write_bytes(damaged(data, random.Random(f"{name} {number}")))
        look_and_load(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", SEEDS)
def test_many_damaged_files_end_as_media_or_a_sentence(tmp_path: Path, name: str) -> None:
    data = seed(tmp_path, name).read_bytes()
    for number in range(ROUNDS, MORE):
        path = tmp_path / f"{number}-{name}"
        path.write_bytes(damaged(data, random.Random(f"{name} {number}")))
        look_and_load(path)


def test_noise_behind_every_mark_is_refused(tmp_path: Path) -> None:
    chance = random.Random(0)
    for name in SEEDS:
        path = tmp_path / f"noise-{name}"
        path.write_bytes(seed(tmp_path, name).read_bytes()[:16] + chance.randbytes(3000))
        look_and_load(path)
