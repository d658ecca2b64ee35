"""Sounds: any common format -> mono float32 at 16 kHz; WAV with provenance out."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import soxr
from av.error import FFmpegError

from nextgpt_core.errors import MediaTooLarge, UnsupportedMedia
from nextgpt_core.messages import Media
from nextgpt_core.modalities.base import Limits, check_size, decode_provenance, display_name, duration, encode_provenance

RATE = 16_000  # Hz; every encoder here listens at this rate
RATES = range(1_000, 800_000)  # a header outside of it is broken
MAX_CHANNELS = 64
QUIET = 1e-4  # peaks below -80 dB count as silence


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


@dataclass(frozen=True)
class _Header:
    rate: int
    channels: int
    seconds: float | None  # streams recorded by a browser do not say


class AudioSpec:
    """How sounds are read, described and written."""

    name = "audio"
    noun = "sound"
    signal = "AUD"
    suffixes: tuple[str, ...] = (".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".caf", ".weba", ".wma")
    mime_types: tuple[str, ...] = ("audio/*",)
    save_suffix = ".wav"
    limits = Limits(max_bytes=2**31, max_seconds=30.0, max_file_seconds=24 * 3600.0)

    def load(self, path: Path, *, limits: Limits | None = None) -> AudioClip:
        """The first `max_seconds` of a file -> AudioClip at 16 kHz: channels averaged, broken samples muted, peaks kept below 1."""
        limits = limits or self.limits
        header = read_header(path, limits)
        wanted = None if limits.max_seconds is None else max(1, round(limits.max_seconds * header.rate))
        blocks: list[np.ndarray] = []
        have = 0
        for block in read_blocks(path):  # mono, at the file's own rate
            blocks.append(block if wanted is None else block[: wanted - have])
            have += len(blocks[-1])
            if wanted is not None and have >= wanted:
                break
        if have == 0:
            raise UnsupportedMedia(f"{display_name(path)} holds no sound at all; please record or choose another one.")
        samples = np.concatenate(blocks)
        if not np.isfinite(samples).any():
            raise UnsupportedMedia(f"{display_name(path)} holds no valid samples; please export the sound again.")
        samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
        samples /= max(1.0, float(np.abs(samples).max()))
        clip = AudioClip(samples.astype(np.float32), header.rate).resampled(RATE)
        return AudioClip(np.clip(clip.samples, -1.0, 1.0), RATE) if clip.samples.size else AudioClip(np.zeros(1, np.float32), RATE)

    def describe(self, path: Path, *, limits: Limits | None = None) -> dict[str, Any]:
        limits = limits or self.limits
        header = read_header(path, limits)
        clip = self.load(path, limits=limits)  # seconds of work at most: only the used part is read
        seconds = clip.seconds if header.seconds is None else header.seconds
        note = None
        if float(np.abs(clip.samples).max()) < QUIET:
            note = "This sound is silent."
        elif seconds > clip.seconds + 0.05:
            note = f"The first {clip.seconds:.0f} s of this sound are used."
        facts = {"seconds": seconds, "used_seconds": clip.seconds, "rate": header.rate, "channels": header.channels}
        return {**facts, "summary": duration(seconds), "note": note}

    def save(self, content: np.ndarray | AudioClip, path: Path, *, provenance: dict[str, Any]) -> Media:
        """float32 [n] (at `provenance["rate"]` Hz, 16 kHz if not said) or an AudioClip -> 16-bit WAV with an INFO comment."""
        clip = content if isinstance(content, AudioClip) else AudioClip(np.asarray(content), int(provenance.get("rate", RATE)))
        samples = np.clip(np.nan_to_num(clip.samples.reshape(-1).astype(np.float32)), -1.0, 1.0)
        with soundfile.SoundFile(path, "w", samplerate=clip.rate, channels=1, subtype="PCM_16", format="WAV") as file:
            file.write(samples)
        _append_comment(path, encode_provenance(provenance))
        return Media("audio", path, {**provenance, "seconds": len(samples) / clip.rate, "rate": clip.rate})

    def read_provenance(self, path: Path) -> dict[str, Any] | None:
        try:
            return decode_provenance(_read_comment(path))
        except (OSError, ValueError, struct.error):
            return None


def read_header(path: Path, limits: Limits) -> _Header:
    """Rate, channels and length, checked. soundfile knows most formats; PyAV reads the rest (m4a, webm, …)."""
    check_size(path, limits)
    name = display_name(path)
    try:
        info = soundfile.info(str(path))
        header = _Header(info.samplerate, info.channels, info.frames / info.samplerate if info.samplerate else None)
    except (soundfile.SoundFileError, OSError, ValueError):
        header = _container_header(path)
    if header.rate not in RATES or not 1 <= header.channels <= MAX_CHANNELS:
        claim = f"{header.rate} Hz and {header.channels} channels"
        raise UnsupportedMedia(f"{name} claims {claim}, which cannot be read; please export it as WAV or MP3.")
    if limits.max_file_seconds is not None and (header.seconds or 0.0) > limits.max_file_seconds:
        raise MediaTooLarge(f"{name} is {duration(header.seconds or 0.0)} long, which is too much; please send the part that matters.")
    return header


def read_blocks(path: Path) -> Iterator[np.ndarray]:
    """Float32 mono blocks of about a second, at the file's own rate."""
    try:
        file = soundfile.SoundFile(str(path))
    except (soundfile.SoundFileError, OSError, ValueError):
        yield from _container_blocks(path)
        return
    with file:
        try:
            for block in file.blocks(blocksize=file.samplerate, dtype="float32", always_2d=True):
                yield block.mean(axis=1)
        except soundfile.SoundFileError as error:
            raise UnsupportedMedia(f"{display_name(path)} is damaged and cannot be heard; please send it again.") from error


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
        while (riff, wave) == (b"RIFF", b"WAVE") and len(head := file.read(8)) == 8:
            kind, size = struct.unpack("<4sI", head)
            if kind == b"LIST" and file.read(8) == b"INFOICMT":
                (length,) = struct.unpack("<I", file.read(4))
                return file.read(min(length, 2**20)).rstrip(b"\0").decode("ascii", "replace")
            file.seek(size + size % 2 - (8 if kind == b"LIST" else 0), 1)
    return None


def _container_header(path: Path) -> _Header:
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.audio:
                raise UnsupportedMedia(f"{display_name(path)} holds no sound; please choose another file.")
            stream = container.streams.audio[0]
            seconds = container.duration / av.time_base if container.duration else None
            return _Header(stream.rate or 0, stream.channels or 0, seconds)
    except (FFmpegError, OSError, ValueError) as error:
        raise UnsupportedMedia(f"{display_name(path)} is not a sound that can be read; please send it as WAV or MP3.") from error


def _container_blocks(path: Path) -> Iterator[np.ndarray]:
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            stream = container.streams.audio[0]
            floats = av.AudioResampler(format="fltp", rate=stream.rate)
            for frame in container.decode(stream):
                for part in floats.resample(frame):
                    yield part.to_ndarray().mean(axis=0, dtype=np.float32)
    except (FFmpegError, OSError, ValueError, IndexError) as error:
        raise UnsupportedMedia(f"{display_name(path)} is damaged and cannot be heard; please send it again.") from error


AUDIO = AudioSpec()
