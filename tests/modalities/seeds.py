"""One small file of every format that the readers accept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from PIL import Image

from tests.modalities.files import gradient, tone

Maker = Callable[[Path], None]


def _picture(**options: object) -> Maker:
    return lambda path: Image.fromarray(gradient()).save(path, **options)  # type: ignore[arg-type]


def _animation(path: Path) -> None:
    frames = [Image.fromarray(np.roll(gradient(), 4 * i, axis=1)) for i in range(4)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)


def _stored(**options: object) -> Maker:
    return lambda path: soundfile.write(path, tone(0.5, 8000), 8000, **options)


def _packed(codec: str, container: str = "", rate: int = 48_000) -> Maker:
    def write(path: Path) -> None:
        with av.open(str(path), "w", format=container or None) as output:
            stream = output.add_stream(codec, rate=rate)
            stream.layout, stream.bit_rate = "mono", 64_000
            _speak(output, stream, rate)

    return write


def _moving(codec: str, container: str = "", size: tuple[int, int] = (64, 48), rate: int = 12, sound: str = "") -> Maker:
    def write(path: Path) -> None:
        with av.open(str(path), "w", format=container or None) as output:
            stream = output.add_stream(codec, rate=rate)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            stream.options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
            voice = output.add_stream(sound, rate=48_000) if sound else None
            if voice is not None:
                voice.layout, voice.bit_rate = "mono", 64_000
            for index in range(8):
                pixels = np.roll(np.ascontiguousarray(gradient(*size)), 4 * index, axis=1)
                output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            output.mux(stream.encode())
            if voice is not None:
                _speak(output, voice, 48_000)

    return write


def _speak(output: Any, stream: Any, rate: int) -> None:
    output.start_encoding()  # the encoder's frame size is known from here on
    resampler = av.AudioResampler(stream.format, "mono", rate, frame_size=stream.codec_context.frame_size or 1024)
    wave = av.AudioFrame.from_ndarray(tone(0.5, rate)[None], format="fltp", layout="mono")
    wave.sample_rate = rate
    for frame in [*resampler.resample(wave), *resampler.resample(None)]:
        output.mux(stream.encode(frame))
    output.mux(stream.encode())


SEEDS: dict[str, tuple[str, Maker]] = {  # name -> modality and maker
    "a.png": ("image", _picture()),
    "a.jpg": ("image", _picture()),
    "progressive.jpg": ("image", _picture(progressive=True)),
    "a.webp": ("image", _picture()),
    "lossless.webp": ("image", _picture(lossless=True)),
    "a.gif": ("image", _picture()),
    "a.bmp": ("image", _picture()),
    "a.tif": ("image", _picture()),
    "lzw.tif": ("image", _picture(compression="tiff_lzw")),
    "jpeg.tif": ("image", _picture(compression="jpeg")),
    "a.avif": ("image", _picture()),
    "a.ico": ("image", _picture()),
    "a.ppm": ("image", _picture()),
    "a.jp2": ("image", _picture()),
    "a.qoi": ("image", _picture()),
    "moving.gif": ("video", _animation),
    "moving.webp": ("video", _animation),
    "moving.png": ("video", _animation),
    "a.wav": ("audio", _stored()),
    "float.wav": ("audio", _stored(subtype="FLOAT")),
    "a.w64": ("audio", _stored()),
    "a.aiff": ("audio", _stored()),
    "a.au": ("audio", _stored()),
    "a.caf": ("audio", _stored()),
    "a.voc": ("audio", _stored(subtype="PCM_16")),
    "a.flac": ("audio", _stored()),
    "a.ogg": ("audio", _stored()),
    "a.mp3": ("audio", _stored()),
    "a.avr": ("audio", _stored()),
    "a.m4a": ("audio", _packed("aac")),
    "a.aac": ("audio", _packed("aac", "adts")),
    "a.opus": ("audio", _packed("libopus")),
    "a.weba": ("audio", _packed("libopus", "webm")),
    "a.mka": ("audio", _packed("pcm_s16le", "matroska")),
    "a.ac3": ("audio", _packed("ac3")),
    "a.eac3": ("audio", _packed("eac3")),
    "a.mp2": ("audio", _packed("mp2")),
    "a.wma": ("audio", _packed("wmav2")),
    "a.wv": ("audio", _packed("wavpack")),
    "a.tta": ("audio", _packed("tta")),
    "a.mp4": ("video", _moving("libx264", sound="aac")),
    "a.mov": ("video", _moving("libx265")),
    "a.webm": ("video", _moving("libvpx-vp9", sound="libopus")),
    "vp8.webm": ("video", _moving("libvpx")),
    "av1.mkv": ("video", _moving("libsvtav1", size=(64, 64))),
    "a.avi": ("video", _moving("mpeg4", sound="libmp3lame")),
    "a.flv": ("video", _moving("flv1")),
    "a.wmv": ("video", _moving("wmv2", sound="wmav2")),
    "a.mpg": ("video", _moving("mpeg2video", rate=25, sound="mp2")),
    "a.m2v": ("video", _moving("mpeg2video", "mpeg2video", rate=25)),
    "a.m4v": ("video", _moving("mpeg4", "m4v")),
    "a.ts": ("video", _moving("libx264", "mpegts", sound="aac")),
    "a.h264": ("video", _moving("libx264", "h264")),
    "a.h265": ("video", _moving("libx265", "hevc")),
    "a.ivf": ("video", _moving("libvpx-vp9", "ivf")),
    "a.dv": ("video", _moving("dvvideo", "dv", size=(720, 576), rate=25)),
    "a.mxf": ("video", _moving("mpeg2video", "mxf", rate=25)),
    "a.rm": ("video", _moving("rv10", "rm")),
}


def seed(folder: Path, name: str) -> Path:
    path = folder / name
    SEEDS[name][1](path)
    return path
