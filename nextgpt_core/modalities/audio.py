"""Sounds: any common format -> mono float32 at 16 kHz; WAV with provenance out."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from nextgpt_core.errors import UnsupportedMedia
from nextgpt_core.messages import Media
from nextgpt_core.modalities.base import ReadApart
from nextgpt_core.modalities.containers import refuse_long
from nextgpt_core.modalities.limits import Limits, display_name, duration, used_part
from nextgpt_core.modalities.provenance import decode_provenance, encode_provenance
from nextgpt_core.modalities.reading import Answer
from nextgpt_core.modalities.soundtrack import MAX_SAMPLES, RATES, mono, soundtrack

RATE = 16_000  # Hz; every encoder here listens at this rate
QUIET = 1e-4  # peaks below -80 dB count as silence
CHUNKS = 10_000  # of a WAV file that are looked at for its comment


@dataclass(frozen=True, eq=False)
class AudioClip:
    """A mono sound: float32 [n] in -1..1 at `rate` Hz."""

    samples: np.ndarray
    rate: int = RATE

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    def resampled(self, rate: int) -> "AudioClip":
        return self if rate == self.rate else AudioClip(soxr.resample(self.samples, self.rate, rate).astype(np.float32), rate)


class AudioSpec(ReadApart):
    """How sounds are read, described and written."""

    name = "audio"
    noun = "sound"
    signal = "AUD"
    suffixes: tuple[str, ...] = (
        *(".wav", ".mp3", ".mp2", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".ac3", ".aif", ".aiff", ".caf", ".weba", ".wma"),
    )
    mime_types: tuple[str, ...] = ("audio/*",)
    save_suffix = ".wav"
    limits = Limits(max_bytes=2**31, max_seconds=30.0, max_file_seconds=24 * 3600.0)

    def load_here(self, path: Path, limits: Limits) -> AudioClip:
        """The first `max_seconds` of a file -> AudioClip at 16 kHz: channels averaged, broken samples muted, peaks kept below 1."""
        source = soundtrack(path, limits)
        most = MAX_SAMPLES // source.channels if limits.max_seconds is None else max(1, round(limits.max_seconds * source.rate))
        samples = mono(source, most)
        if samples.size == 0:
            raise UnsupportedMedia(f"{display_name(path)} holds no sound at all; please record or choose another one.")
        if not np.isfinite(samples).any():
            raise UnsupportedMedia(f"{display_name(path)} holds no valid samples; please export the sound again.")
        samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
        samples /= max(1.0, float(np.abs(samples).max()))
        clip = AudioClip(samples.astype(np.float32), source.rate).resampled(RATE)
        return AudioClip(np.clip(clip.samples, -1.0, 1.0), RATE) if clip.samples.size else AudioClip(np.zeros(1, np.float32), RATE)

    def describe_here(self, path: Path, limits: Limits) -> dict[str, Any]:
        source = soundtrack(path, limits)
        clip = self.load_here(path, limits)  # seconds of work at most: only the used part is read
        ended = limits.max_seconds is None or clip.seconds < limits.max_seconds - 0.05
        seconds = clip.seconds if ended else max(clip.seconds, source.seconds())
        refuse_long(seconds, path, limits)
        note = None
        if float(np.abs(clip.samples).max()) < QUIET:
            note = "This sound is silent."
        elif seconds > clip.seconds + 0.05:
            note = used_part(clip.seconds, self.noun)
        facts = {"seconds": seconds, "used_seconds": clip.seconds, "rate": source.rate, "channels": source.channels}
        return {**facts, "summary": duration(seconds), "note": note}

    def provenance_here(self, path: Path) -> dict[str, Any] | None:
        try:
            return decode_provenance(_read_comment(path))
        except (OSError, ValueError, struct.error):
            return None

    def save(self, content: np.ndarray | AudioClip, path: Path, *, provenance: dict[str, Any]) -> Media:
        """float32 [n] (at `provenance["rate"]` Hz, 16 kHz if not said) or an AudioClip -> 16-bit WAV with an INFO comment."""
        clip = content if isinstance(content, AudioClip) else AudioClip(np.asarray(content), int(provenance.get("rate", RATE)))
        samples = np.clip(np.nan_to_num(clip.samples.reshape(-1).astype(np.float32)), -1.0, 1.0)
        with soundfile.SoundFile(path, "w", samplerate=clip.rate, channels=1, subtype="PCM_16", format="WAV") as file:
            file.write(samples)
        _append_comment(path, encode_provenance(provenance))
        return Media("audio", path, {**provenance, "seconds": len(samples) / clip.rate, "rate": clip.rate})

    def pack(self, content: AudioClip) -> tuple[dict[str, Any], np.ndarray]:
        return {"rate": content.rate}, content.samples

    def unpack(self, answer: Answer) -> AudioClip:
        samples, rate = answer.array, int(answer.facts["rate"])
        if samples.dtype != np.float32 or samples.ndim != 1 or samples.size == 0 or rate not in RATES or not np.isfinite(samples).all():
            raise ValueError("this is no sound")
        return AudioClip(samples, rate)


def _append_comment(path: Path, text: str) -> None:
    """Add a LIST/INFO/ICMT chunk to a WAV file. (soundfile can, too, but cuts what is longer than two kilobytes.)"""
    comment = text.encode("ascii") + b"\0"
    comment += b"\0" * (len(comment) % 2)
    info = b"INFOICMT" + struct.pack("<I", len(comment)) + comment
    with path.open("r+b") as file:
        end = file.seek(0, 2)
        file.write(b"LIST" + struct.pack("<I", len(info)) + info)
        file.seek(4)
        file.write(struct.pack("<I", end + 8 + len(info) - 8))


def _read_comment(path: Path) -> str | None:
    """The INFO comment of a WAV file, found by walking its chunks."""
    with path.open("rb") as file:
        riff, _, wave = struct.unpack("<4sI4s", file.read(12))
        for _ in range(CHUNKS if (riff, wave) == (b"RIFF", b"WAVE") else 0):
            if len(head := file.read(8)) < 8:
                break
            kind, size = struct.unpack("<4sI", head)
            if kind == b"LIST" and file.read(8) == b"INFOICMT":
                (length,) = struct.unpack("<I", file.read(4))
                return file.read(min(length, 2**20)).rstrip(b"\0").decode("ascii", "replace")
            file.seek(size + size % 2 - (8 if kind == b"LIST" else 0), 1)
    return None


AUDIO = AudioSpec()
