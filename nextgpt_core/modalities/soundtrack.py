"""The samples of a sound file, block by block: soundfile reads what is stored as plain samples, PyAV what is compressed, of which soundfile
believes the length that a header tells."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
import soundfile

from nextgpt_core.errors import UnsupportedMedia
from nextgpt_core.modalities.containers import (
    DAMAGE,
    Length,
    Nameless,
    claimed_seconds,
    opened_container,
    packets_of,
    refuse_long,
    usable_stream,
)
from nextgpt_core.modalities.limits import Limits, display_name

RATES = range(1_000, 800_000)  # a header outside of it is broken
MAX_CHANNELS = 64
MAX_SAMPLES = 500_000_000  # of all channels, that are decoded
BLOCK = 2**20  # samples of all channels, at once
CANCELLED = 0.01  # of what the channels have, in their mean: less, and they cancel each other out
BAD_PACKETS = 1000  # are passed over
COMPRESSED = ("MP3", "OGG", "FLAC")
SOUNDFILE_ERRORS = (soundfile.SoundFileError, OSError, ValueError, TypeError)

Block = tuple[np.ndarray, np.ndarray]  # float32 [n], the channels' mean; float32 [channels, n]


class Soundtrack(Protocol):
    """A sound in a file."""

    rate: int  # Hz
    channels: int
    claim: float  # seconds that its header tells

    def blocks(self) -> Iterator[Block]:
        """From its beginning, at its own rate."""
        ...

    def seconds(self) -> float:
        """How long it really is, as far as that can be told without decoding it."""
        ...


class Stored:
    """Plain samples, by soundfile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with soundfile.SoundFile(Nameless(path)) as file:
            self.rate, self.channels, self.format = file.samplerate, file.channels, file.format
            self.claim = file.frames / file.samplerate if file.samplerate else 0.0

    def seconds(self) -> float:
        return self.claim  # libsndfile bounds it by the file's size

    def blocks(self) -> Iterator[Block]:
        try:
            with soundfile.SoundFile(Nameless(self._path)) as file:
                size = max(1, min(file.samplerate, BLOCK // file.channels))
                while len(block := file.read(size, dtype="float32", always_2d=True)):
                    yield block.mean(axis=1), block.T
        except SOUNDFILE_ERRORS as error:
            raise UnsupportedMedia(f"{display_name(self._path)} is damaged and cannot be heard; please send it again.") from error


class Packed:
    """Compressed sound, by PyAV, packet by packet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with opened_container(path) as container:
            if not container.streams.audio:
                raise UnsupportedMedia(f"{display_name(path)} holds no sound; please choose another file.")
            stream = usable_stream(list(container.streams.audio), path)
            self.rate, self.channels = stream.rate or 0, stream.channels or 0
            self.claim = claimed_seconds(container)

    def seconds(self) -> float:
        with opened_container(self._path) as container:
            stream = usable_stream(list(container.streams.audio), self._path)
            length = Length(container, stream, self._path.stat().st_size)
            for packet in packets_of(container, stream):
                if not length.take(packet):
                    break
            return length.seconds

    def blocks(self) -> Iterator[Block]:
        good = bad = 0
        gathered: list[np.ndarray] = []
        try:
            with opened_container(self._path) as container:
                stream = usable_stream(list(container.streams.audio), self._path)
                floats = _Floats(self.rate)
                for packet in packets_of(container, stream):
                    try:
                        parts = [part for frame in packet.decode() for part in floats(frame)]
                    except DAMAGE:
                        bad += 1
                        if bad > BAD_PACKETS:
                            break
                        continue
                    for part in parts:
                        good += 1
                        if gathered and (len(part) != len(gathered[0]) or len(gathered) * part.shape[1] > BLOCK // MAX_CHANNELS):
                            yield _block(gathered)
                            gathered = []
                        gathered.append(part)
        except DAMAGE as error:
            if not good:
                raise UnsupportedMedia(f"{display_name(self._path)} is damaged and cannot be heard; please send it again.") from error
        if gathered:
            yield _block(gathered)
        if bad and not good:
            raise UnsupportedMedia(f"{display_name(self._path)} is damaged and cannot be heard; please send it again.")


def _block(parts: list[np.ndarray]) -> Block:
    channels = np.concatenate(parts, axis=1)
    return channels.mean(axis=0, dtype=np.float32), channels


class _Floats:
    """PyAV's frames -> float32 [channels, n] at one rate. A stream may change its form in the middle, as where two files were joined."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._form: tuple[Any, ...] = ()
        self._resampler: Any = None

    def __call__(self, frame: Any) -> list[np.ndarray]:
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if form[0] == "fltp" and form[2] == self._rate and self._resampler is None:
            return [frame.to_ndarray()]
        rest = self._resampler.resample(None) if self._resampler is not None and form != self._form else []
        if form != self._form:
            self._form, self._resampler = form, av.AudioResampler(format="fltp", rate=self._rate)
        return [part.to_ndarray() for part in (*rest, *self._resampler.resample(frame))]


def soundtrack(path: Path, limits: Limits) -> Soundtrack:
    """The sound in a file, its header checked. Raises UnsupportedMedia or MediaTooLarge."""
    found = _opened(path)
    seconds = limits.max_seconds or 1.0
    if found.rate not in RATES or not 1 <= found.channels <= MAX_CHANNELS or found.rate * found.channels * seconds > MAX_SAMPLES:
        claim = f"{found.rate} Hz and {found.channels} channels"
        raise UnsupportedMedia(f"{display_name(path)} claims {claim}, which cannot be read; please export it as WAV or MP3.")
    if limits.max_file_seconds is not None and found.claim > limits.max_file_seconds:
        refuse_long(found.seconds(), path, limits)
    return found


def stored_format(path: Path) -> str | None:
    """libsndfile's name of a sound's format, None where it knows none."""
    try:
        return Stored(path).format
    except SOUNDFILE_ERRORS:
        return None


def mono(found: Soundtrack, most: int) -> np.ndarray:
    """The first `most` samples: the channels' mean, or where they cancel each other out in it, the loudest channel."""
    samples, loudest = _mixed(found, most)
    return samples if loudest is None else _mixed(found, most, loudest)[0]


def _opened(path: Path) -> Soundtrack:
    try:
        stored = Stored(path)
    except SOUNDFILE_ERRORS:
        stored = None
    if stored is not None and stored.format not in COMPRESSED and stored.claim:  # a recorder that fell leaves a length of 0
        return stored
    try:
        return Packed(path)
    except DAMAGE as error:
        if stored is not None:
            return stored
        raise UnsupportedMedia(f"{display_name(path)} is not a sound that can be read; please send it as WAV or MP3.") from error


def _mixed(found: Soundtrack, most: int, channel: int | None = None) -> tuple[np.ndarray, int | None]:
    """Samples float32 [n], and a channel to take instead, where their mean is next to nothing and theirs is not."""
    blocks: list[np.ndarray] = []
    have, energy, each = 0, 0.0, np.zeros(found.channels)
    for mean, channels in found.blocks():
        block = (mean if channel is None or channel >= len(channels) else channels[channel])[: most - have]
        blocks.append(np.array(block))
        have += len(block)
        if channel is None and len(channels) == found.channels > 1:
            energy += float(np.vdot(mean, mean))
            each += np.einsum("cn,cn->c", channels, channels)
        if have >= most:
            break
    # Channels that have nothing to do with each other leave each its part: the sum of theirs by the square of their number.
    cancelled = energy < CANCELLED * each.sum() / found.channels**2
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32), int(each.argmax()) if cancelled else None
