"""A copy that every browser shows, of a file that some do not: H.264 and AAC in MP4, MP3, or WebP. Made where untrusted files are read."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import soxr
from PIL import Image

from nextgpt_core.errors import MediaError, UnsupportedMedia
from nextgpt_core.modalities.audio import AUDIO
from nextgpt_core.modalities.containers import THREADS
from nextgpt_core.modalities.image import IMAGE, opened, to_rgb
from nextgpt_core.modalities.limits import display_name
from nextgpt_core.modalities.reading import Stop, read
from nextgpt_core.modalities.soundtrack import soundtrack
from nextgpt_core.modalities.video import VIDEO, container_frames

SECONDS = 30.0  # of a sound or video
HEIGHT, WIDTH = 480, 854  # pixels of a video, at most
PICTURE = 4_000_000  # pixels of a picture, at most
MAX_FPS = 30
RATE = 44_100  # Hz
LIMITS = replace(VIDEO.limits, max_decoded_pixels=4_000_000_000)  # thirty seconds of 1920 x 1080 at 60 frames a second
X264 = {"preset": "veryfast", "crf": "25", "maxrate": "2M", "bufsize": "4M"}


@dataclass(frozen=True)
class Preview:
    """A converted copy."""

    suffix: str
    content: bytes


def preview(path: Path, modality: str, *, cancelled: Stop = None) -> Preview:
    """A copy for a browser, of at most 30 s and 854 x 480 pixels. Raises MediaError, or Cancelled soon after `cancelled()` is true."""
    answer = read("preview", path, modality=modality, cancelled=cancelled)
    return Preview(CONVERTERS[modality][0], answer.array.tobytes())


def converted(path: Path, modality: str) -> bytes:
    """In the helper: the bytes of a preview."""
    return CONVERTERS[modality][1](path)


def _image(path: Path) -> bytes:
    with opened(path, IMAGE.limits) as picture:
        pixels = to_rgb(picture, PICTURE)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "WEBP", quality=90, method=2)
    return sink.getvalue()


def _audio(path: Path) -> bytes:
    samples = _samples(path)
    if not len(samples):
        raise UnsupportedMedia(f"{display_name(path)} holds no sound at all; please record or choose another one.")
    sink = io.BytesIO()
    soundfile.write(sink, samples, RATE, format="MP3")
    return sink.getvalue()


def _samples(path: Path) -> np.ndarray:
    """Float32 [n, 1 or 2] at RATE: the first seconds."""
    track = soundtrack(path, AUDIO.limits)
    most, have = round(SECONDS * track.rate), 0
    blocks: list[np.ndarray] = []
    for mean, channels in track.blocks():
        block = channels if len(channels) == track.channels == 2 else np.stack([mean] * min(2, track.channels))
        blocks.append(np.nan_to_num(block[:, : most - have], nan=0.0, posinf=0.0, neginf=0.0))
        have += blocks[-1].shape[1]
        if have >= most:
            break
    if not have:
        return np.zeros((0, 1), np.float32)
    return np.clip(soxr.resample(np.concatenate(blocks, axis=1).T, track.rate, RATE), -1.0, 1.0).astype(np.float32)


def _video(path: Path) -> bytes:
    """(Written by PyAV itself: imageio writes neither sound nor frames at times of their own.)"""
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as container:
        picture = container.add_stream("libx264", rate=MAX_FPS, options=X264)
        picture.codec_context.thread_count = THREADS
        picture.pix_fmt, picture.codec_context.time_base = "yuv420p", Fraction(1, 1000)
        samples = _samples_beside(path)  # float32 [n, channels]
        sound = container.add_stream("aac", rate=RATE, layout="stereo") if len(samples) else None
        end = 0.0
        for at, pixels in _frames(path):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if not picture.codec_context.is_open:
                picture.width, picture.height = frame.width, frame.height
            frame.pts, frame.time_base, end = round(at * 1000), Fraction(1, 1000), at
            container.mux(picture.encode(frame))
        if not picture.codec_context.is_open:
            raise UnsupportedMedia(f"{display_name(path)} has no frame that can be shown; please send another video.")
        container.mux(picture.encode())
        if sound is not None:
            for heard in _sound_frames(samples[: round(max(1.0, end + 0.5) * RATE)]):
                container.mux(sound.encode(heard))
            container.mux(sound.encode())
    return sink.getvalue()


def _frames(path: Path) -> Iterator[tuple[float, np.ndarray]]:
    """Seconds and uint8 [H, W, 3] of the first part of a video, upright, all of one size with even sides."""
    last, size = -1.0, (0, 0)
    for at, frame in container_frames(path, LIMITS):
        if at > SECONDS:
            return
        if at < last + 0.9 / MAX_FPS:
            continue
        quarters = round(frame.rotation / 90) % 4
        if not size[0]:
            width, height = (frame.height, frame.width) if quarters % 2 else (frame.width, frame.height)
            scale = min(1.0, WIDTH / width, HEIGHT / height)
            size = max(2, round(frame.width * scale / 2) * 2), max(2, round(frame.height * scale / 2) * 2)
        last = at
        yield at, np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24", width=size[0], height=size[1]), quarters))


def _samples_beside(path: Path) -> np.ndarray:
    """The sound of a video; none where it has none, or none that can be heard."""
    try:
        samples = _samples(path)
    except MediaError:
        return np.zeros((0, 2), np.float32)
    return samples if samples.shape[1] == 2 else np.repeat(samples, 2, axis=1)


def _sound_frames(samples: np.ndarray) -> Iterator[Any]:
    """Float32 [n, 2] -> PyAV's frames, as long as the encoder wants them."""
    resampler = av.AudioResampler(format="fltp", layout="stereo", rate=RATE, frame_size=1024)
    whole = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout="stereo")
    whole.sample_rate, whole.pts, whole.time_base = RATE, 0, Fraction(1, RATE)
    yield from (*resampler.resample(whole), *resampler.resample(None))


CONVERTERS: dict[str, tuple[str, Callable[[Path], bytes]]] = {
    "image": (".webp", _image),
    "audio": (".mp3", _audio),
    "video": (".mp4", _video),
}
