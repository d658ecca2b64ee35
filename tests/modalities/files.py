"""Small media files, good and bad, made on the spot."""

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from PIL import Image


def gradient(width: int = 48, height: int = 32) -> np.ndarray:
    """A picture whose corners differ, so that a wrong turn shows: red grows to the right, green grows downwards."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // max(1, width - 1), y * 255 // max(1, height - 1), np.full_like(x, 64)], -1).astype(np.uint8)


def picture(path: Path, *, mode: str = "RGB", size: tuple[int, int] = (48, 32), **options: object) -> Path:
    Image.fromarray(gradient(*size)).convert(mode).save(path, **options)
    return path


def png_header_only(path: Path, width: int, height: int) -> Path:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b""))
    return path


def tone(seconds: float = 1.0, rate: int = 16_000, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def sound(path: Path, samples: np.ndarray, rate: int = 16_000, subtype: str | None = None) -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def film(
    path: Path, *, frames: int = 12, size: tuple[int, int] = (48, 32), rate: int = 12, with_sound: bool = False, codec: str = "libx264",
    gaps: list[int] | None = None,
) -> Path:  # fmt: skip
    """A film in which a white square moves to the right. `gaps`: time steps between frames (variable rate)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = size[0], size[1], "yuv420p" if not size[0] % 2 and not size[1] % 2 else "yuv444p"
        stream.time_base = Fraction(1, rate)
        voice = container.add_stream("aac", rate=16_000) if with_sound else None
        at = 0
        for index in range(frames):
            pixels = np.zeros((size[1], size[0], 3), np.uint8)
            left = index * (size[0] - 8) // max(1, frames - 1)
            pixels[8:16, left : left + 8] = 255
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, rate)
            at += gaps[index] if gaps else 1
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if voice is not None:
            wave = av.AudioFrame.from_ndarray(tone(1.0)[None], format="fltp", layout="mono")
            wave.sample_rate = 16_000
            container.mux(voice.encode(wave))
            container.mux(voice.encode())
    return path


def compressed_sound(path: Path, codec: str, *, rate: int = 48_000, seconds: float = 1.0) -> Path:
    """A sound in a container that soundfile may not know (m4a, webm)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.layout = "mono"
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate, frame_size=960)
        wave = av.AudioFrame.from_ndarray(tone(seconds, rate)[None], format="fltp", layout="mono")
        wave.sample_rate = rate
        for frame in [*resampler.resample(wave), *resampler.resample(None)]:
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
