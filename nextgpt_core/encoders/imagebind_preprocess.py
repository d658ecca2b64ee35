"""How ImageBind sees pictures, sounds and videos: media to the tensors that the published weights were trained on.

The rules are those of facebookresearch/ImageBind `data.py` as the reference data record them (golden/preprocess.json). `original_*` read a
file exactly as that code does, oddities included (docs/fidelity.md); the other functions take media that the project has loaded.
"""

import math
from pathlib import Path

import av
import numpy as np
import soundfile
import torch
from av.error import FFmpegError
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from nextgpt_core.encoders import kaldi
from nextgpt_core.errors import UnsupportedMedia

SIDE = 224
CLIP_SECONDS = 2.0
SOUND_CLIPS = 3
VIDEO_CLIPS = 5
MEL_BINS = 128
MEL_FRAMES = 204
_CLIP_MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])
_CLIP_STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])
_MEL_MEAN, _MEL_SCALE = -4.268, 9.138


def clip_picture(picture: np.ndarray, *, side: int = SIDE) -> Tensor:
    """uint8 [H, W, 3] -> float32 [3, side, side] as CLIP takes it: bicubic to the shorter side, centre crop, normalised."""
    return _normalised(torch.from_numpy(centre_square(picture, side)).permute(2, 0, 1).float() / 255)


def centre_square(picture: np.ndarray, side: int = SIDE) -> np.ndarray:
    """uint8 [H, W, 3] -> uint8 [side, side, 3]. Pillow's bicubic, which always antialiases: other resizers differ visibly."""
    height, width = picture.shape[:2]
    size = (side, int(side * height / width)) if width <= height else (int(side * width / height), side)
    resized = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
    top, left = (round((resized.shape[axis] - side) / 2) for axis in (0, 1))
    return resized[top : top + side, left : left + side].copy()


def sound_clips(samples: Tensor, *, shared: bool = False) -> Tensor:
    """float32 [channels, n] at 16 kHz -> [3, 1, 128, 204]: filterbanks of three clips of two seconds, of the first channel.

    Each clip loses its mean. `shared` does so in place, as the original does, so that where clips overlap (sounds under 8 s) the later one
    starts with what the earlier one left. Sounds under one window of 25 ms are padded with silence; the original fails on them.
    """
    samples = F.pad(samples, (0, max(0, kaldi.WINDOW - samples.shape[1]))).clone()
    clips = []
    for start in clip_starts(samples.shape[1] / kaldi.RATE, SOUND_CLIPS):
        clip = samples[:, int(start * kaldi.RATE) : int((start + CLIP_SECONDS) * kaldi.RATE)]
        if not shared:
            clip = clip.clone()
        clip -= clip.mean()
        energies = kaldi.filterbank(clip[0], MEL_BINS).T  # [128, frames]
        energies = F.pad(energies, (0, max(0, MEL_FRAMES - energies.shape[1])))[:, :MEL_FRAMES]
        clips.append((energies - _MEL_MEAN) / _MEL_SCALE)
    return torch.stack(clips)[:, None]


def video_frames(count: int, fps: float) -> list[tuple[int, int]]:
    """The first and last frame of each of the five clips of two seconds, for a video of `count` frames."""
    pairs = []
    for start in clip_starts(count / fps, VIDEO_CLIPS):
        first = math.ceil(fps * start)
        last = min(math.ceil(fps * (start + CLIP_SECONDS)), count) - 1
        pairs.append((min(first, count - 1), last))
    return pairs


def video_clips(pairs: list[tuple[np.ndarray, np.ndarray]]) -> Tensor:
    """Pairs of uint8 [H, W, 3] -> [3 * pairs, 3, 2, 224, 224]: three square crops side by side (or one above the other) of every pair."""
    crops = []
    for pair in pairs:
        frames = torch.from_numpy(np.stack(pair)).permute(0, 3, 1, 2).float() / 255  # [2, 3, H, W]
        frames = F.interpolate(frames, size=_short_side(frames.shape[2], frames.shape[3]), mode="bilinear", align_corners=False)
        clip = _normalised(frames.transpose(0, 1))  # [3, 2, h, w]
        height, width = clip.shape[2:]
        tops = (0, 0, 0) if height <= width else (0, math.ceil((height - SIDE) / 2), height - SIDE)
        lefts = (0, 0, 0) if height > width else (0, math.ceil((width - SIDE) / 2), width - SIDE)
        crops += [clip[:, :, top : top + SIDE, left : left + SIDE] for top, left in zip(tops, lefts, strict=True)]
    return torch.stack(crops)


def clip_starts(seconds: float, clips: int) -> list[float]:
    """Where clips of two seconds begin. The last of them ends before the end of the file: that is how the weights were trained."""
    slack = max(seconds - CLIP_SECONDS, 0.0)
    return [slack / clips * index for index in range(clips)]


def original_picture(path: Path) -> Tensor:
    """A picture file -> [3, 224, 224], EXIF rotation and transparency ignored."""
    with Image.open(path) as image:
        return clip_picture(np.asarray(image.convert("RGB")))


def original_sound(path: Path) -> Tensor:
    """A sound file -> [3, 1, 128, 204], of its first channel."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return sound_clips(kaldi.resample(torch.from_numpy(samples.T.copy()), rate), shared=True)


def original_video(path: Path) -> Tensor:
    """A video file -> [15, 3, 2, 224, 224]."""
    try:
        with av.open(str(path)) as container:
            rate = container.streams.video[0].average_rate
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    except (FFmpegError, IndexError) as error:
        raise UnsupportedMedia(f"This video cannot be read ({error}); please send another one.") from error
    if not frames or rate is None:
        raise UnsupportedMedia("This video has no frame that can be read; please send another one.")
    return video_clips([(frames[first], frames[last]) for first, last in video_frames(len(frames), float(rate))])


def _short_side(height: int, width: int) -> tuple[int, int]:
    if width < height:
        return math.floor(height / width * SIDE), SIDE
    return SIDE, math.floor(width / height * SIDE)


def _normalised(pixels: Tensor) -> Tensor:
    """Float [3, …] in 0..1 -> CLIP's mean and deviation per channel."""
    shape = (3,) + (1,) * (pixels.ndim - 1)
    return (pixels - _CLIP_MEAN.view(shape)) / _CLIP_STD.view(shape)
