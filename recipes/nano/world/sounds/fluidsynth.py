"""Notes -> sound with Debian's fluidsynth and the FluidR3 GM soundfont: many clips in one run, through one MIDI file."""

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from nextgpt_core.errors import CheckpointMissing

SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
DRUMS = 9  # the MIDI channel of percussion
GAP = 0.06  # seconds between two clips, after everything was silenced


@dataclass(frozen=True)
class Note:
    """One key press: seconds from the clip's start, seconds held, MIDI key and velocity."""

    start: float
    length: float
    key: int
    velocity: int


@dataclass(frozen=True)
class Score:
    """The notes of one clip on one instrument. Drum kits are programs of channel DRUMS."""

    bank: int
    program: int
    notes: tuple[Note, ...]
    channel: int = 0


def play(scores: Sequence[Score], *, seconds: float, rate: int) -> np.ndarray:
    """Scores -> float32 [clips, seconds * rate]. Raises CheckpointMissing where fluidsynth or its soundfont is not installed."""
    if shutil.which("fluidsynth") is None or not SOUNDFONT.is_file():
        raise CheckpointMissing("Sounds are rendered with fluidsynth; install it with `apt-get install fluidsynth fluid-soundfont-gm`.")
    slot = seconds + GAP
    with tempfile.TemporaryDirectory() as folder:
        midi, raw = Path(folder) / "notes.mid", Path(folder) / "sound.raw"
        midi.write_bytes(_midi_file(scores, slot=slot, seconds=seconds))
        # Rendered at twice the rate and halved, because the soundfont's 44.1 kHz samples would alias. Effects off: clips stay apart.
        subprocess.run(
            ["fluidsynth", "-niq", "-R", "0", "-C", "0", "-g", "0.6", "-r", str(2 * rate), "-O", "s16", "-T", "raw"]
            + ["-o", "synth.dynamic-sample-loading=1", "-F", str(raw), str(SOUNDFONT), str(midi)],
            check=True,
            capture_output=True,
        )
        stereo = np.memmap(raw, dtype="<i2", mode="r").reshape(-1, 2)
        mono = np.zeros(round(len(scores) * slot * 2 * rate), dtype=np.float32)
        length = min(len(mono), len(stereo))
        mono[:length] = stereo[:length].astype(np.float32).mean(1) / 32768
    clips = np.zeros((len(scores), round(seconds * rate)), dtype=np.float32)
    for i in range(len(scores)):
        begin = round(i * slot * 2 * rate)
        clips[i] = resample_poly(mono[begin : begin + 2 * clips.shape[1]], 1, 2)
    return clips


def _midi_file(scores: Sequence[Score], *, slot: float, seconds: float) -> bytes:
    """A format-0 MIDI file with one tick per millisecond."""
    events: list[tuple[int, int, bytes]] = []  # (tick, order within the tick, message)
    for i, score in enumerate(scores):
        base, channel = i * slot, score.channel
        tick = round(1000 * base)
        events.append((tick, 0, bytes([0xB0 | channel, 0, score.bank])))
        events.append((tick, 1, bytes([0xC0 | channel, score.program])))
        for note in score.notes:
            on = round(1000 * (base + note.start))
            off = round(1000 * (base + min(note.start + note.length, seconds)))
            events.append((on, 3, bytes([0x90 | channel, note.key, note.velocity])))
            events.append((max(off, on + 1), 2, bytes([0x80 | channel, note.key, 0])))
        events.append((round(1000 * (base + seconds)), 4, bytes([0xB0 | channel, 120, 0])))  # all sound off
    events.append((round(1000 * (len(scores) * slot + 0.1)), 5, b"\xff\x2f\x00"))
    track, now = bytearray(), 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        track += _variable_length(tick - now) + message
        now = tick
    header = b"MThd" + struct.pack(">IHHH", 6, 0, 1, 500)  # 500 ticks per quarter at the default 120 per minute: 1 ms
    return header + b"MTrk" + struct.pack(">I", len(track)) + bytes(track)


def _variable_length(value: int) -> bytes:
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(0x80 | (value & 0x7F))
    return bytes(reversed(out))
