"""How ImageBind sees files: pictures, films and sounds to the tensors that the published weights were trained on.

The rules are those of facebookresearch/ImageBind `data.py`, re-stated in golden/preprocess.json and checked against it.
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

SIDE = 224
_CLIP_MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])
_CLIP_STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])


def clip_picture(picture: np.ndarray, *, side: int = SIDE) -> Tensor:
    """uint8 [H, W, 3] -> float32 [3, side, side] as CLIP takes it: bicubic to the shorter side, centre crop, normalised."""
    return normalised(torch.from_numpy(centre_square(picture, side)).permute(2, 0, 1).float() / 255)


def centre_square(picture: np.ndarray, side: int) -> np.ndarray:
    """uint8 [H, W, 3] -> uint8 [side, side, 3]. Pillow's bicubic, which always antialiases: other resizers differ visibly."""
    height, width = picture.shape[:2]
    size = (side, int(side * height / width)) if width <= height else (int(side * width / height), side)
    resized = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
    top, left = (round((resized.shape[axis] - side) / 2) for axis in (0, 1))
    return resized[top : top + side, left : left + side].copy()


def normalised(pixels: Tensor) -> Tensor:
    """Float [3, …] in 0..1 -> CLIP's mean and deviation per channel."""
    shape = (3,) + (1,) * (pixels.ndim - 1)
    return (pixels - _CLIP_MEAN.view(shape)) / _CLIP_STD.view(shape)
