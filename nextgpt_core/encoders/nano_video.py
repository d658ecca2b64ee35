"""nano's video tower: what moves (from cut-outs of the moving thing), how it moves (from the frames' order), and what it looks like."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core.checkpoints import load_strict
from nextgpt_core.encoders.efficientnet import FEATURES, EfficientNetLite0
from nextgpt_core.errors import UnsupportedMedia
from nextgpt_core.modalities.video import VideoClip

WIDTH = 384
FRAMES = 8  # looked at, evenly spaced, whatever the video's length
TOKENS = 3  # thing, motion, look
CUT_PIXELS = 128
STACK_PIXELS = 32
_CUT_FRAMES = (1, 3, 6)  # cut-outs for naming the thing: a thing that grows is large late, one that fades is clear early
_CONTRAST = 30  # grey levels from which a pixel belongs to the thing rather than to the background


class NanoVideoTower(nn.Module):
    """VideoClip -> float32 [3, 384], unit variance: the thing (bound to MiniLM's embedding of its name), its motion, its look."""

    tokens = TOKENS

    def __init__(self) -> None:
        super().__init__()
        self.trunk = EfficientNetLite0()
        self.heads = VideoHeads()

    @classmethod
    def from_file(cls, path: Path) -> "NanoVideoTower":
        """Strictly from video.safetensors. Raises CheckpointMissing or CheckpointMismatch."""
        return load_strict(cls(), path).eval().requires_grad_(False)

    @torch.inference_mode()
    def encode(self, content: VideoClip) -> Tensor:
        """A video of any length and size -> [3, 384]. Raises UnsupportedMedia for one without frames."""
        cuts, stack, look = (one.to(self.heads.motion.weight) for one in video_inputs(content.frames))
        features = self.trunk(cuts).mean(0, keepdim=True)
        tokens: Tensor = self.heads(features, stack[None], look[None])[0]
        return tokens


class VideoHeads(nn.Module):
    """The trained part, small beside the frozen trunk: three tokens from the trunk's features, the thing's path and a few colours."""

    def __init__(self) -> None:
        super().__init__()
        self.thing = nn.Sequential(nn.LayerNorm(FEATURES), nn.Linear(FEATURES, 768), nn.GELU(), nn.Dropout(0.2), nn.Linear(768, WIDTH))
        self.path = nn.Sequential(nn.Linear(PATH * FRAMES, 256), nn.GELU(), nn.Dropout(0.1), nn.Linear(256, 256), nn.GELU())
        self.motion = nn.Linear(256, WIDTH)
        self.narrow = nn.Sequential(nn.LayerNorm(FEATURES), nn.Linear(FEATURES, 128))
        self.look = nn.Sequential(nn.Linear(128 + 256 + LOOK, 256), nn.GELU(), nn.Linear(256, WIDTH))

    def forward(self, features: Tensor, stack: Tensor, look: Tensor) -> Tensor:
        """features [b, FEATURES], stack [b, FRAMES, 3, 32, 32] (-1..1), look [b, LOOK] -> [b, 3, 384]."""
        moved = self.path(path_of(stack, look[:, :3]).flatten(1))
        seen = torch.cat([self.narrow(features), moved, look], 1)
        tokens = torch.stack([self.thing(features), self.motion(moved), self.look(seen)], 1)
        return F.layer_norm(tokens, [WIDTH])


PATH = 9  # numbers per frame in a path
LOOK = 9  # numbers in `look`: background, mean colour of the thing (RGB, -1..1), its share of the frame: first, middle, last


def path_of(stack: Tensor, ground: Tensor) -> Tensor:
    """Frames [b, T, 3, s, s] and the background's colour [b, 3] -> [b, T, PATH]: where the thing is (x, y), how large, how it is spread
    (xx, yy, xy), how clear, and how much changed since the frame before, inside the thing and at all."""
    distance = (stack - ground[:, None, :, None, None]).abs().amax(2)  # [b, T, s, s]
    mask = ((distance - 0.12) / 0.3).clamp(0, 1)
    ramp = torch.linspace(-1, 1, stack.shape[-1], device=stack.device)
    weight = mask / (mask.sum((2, 3), keepdim=True) + 1e-3)
    x, y = (weight * ramp).sum((2, 3)), (weight * ramp[:, None]).sum((2, 3))
    dx, dy = ramp - x[..., None, None], ramp[:, None] - y[..., None, None]
    spread = [(weight * a * b).sum((2, 3)) for a, b in ((dx, dx), (dy, dy), (dx, dy))]
    change = (stack - stack.roll(1, 1)).abs().mean(2)
    changed = [(weight * change).sum((2, 3)), change.mean((2, 3))]
    size, clear = mask.mean((2, 3)).sqrt(), (weight * distance).sum((2, 3))
    scales = (2.0, 2.0, 3.0, 8.0, 8.0, 16.0, 1.5, 3.0, 6.0)  # to about unit size each
    return torch.stack([number * scale for number, scale in zip((x, y, size, *spread, clear, *changed), scales, strict=True)], -1)


def video_inputs(frames: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """uint8 [T, H, W, 3] -> cut-outs [3, 3, 128, 128] (0..255), stack [FRAMES, 3, 32, 32] (-1..1), look [LOOK].

    The cut-outs follow the thing: what differs from the colour of the video's border, or the whole frame where all of it does.
    """
    if frames.ndim != 4 or not frames.size:
        raise UnsupportedMedia("This video has no frames that can be looked at; please send another one.")
    chosen = frames[np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)]
    ground = np.median(np.concatenate([_border(frame) for frame in chosen]), axis=0)  # [3]
    masks = np.abs(chosen.astype(np.float32) - ground.astype(np.float32)).max(-1) > _CONTRAST  # [FRAMES, H, W]
    boxes = [_box(mask) or _box(masks.any(0)) for mask in masks]
    cuts = torch.stack([_cut(chosen[index], boxes[index], ground) for index in _CUT_FRAMES])
    pixels = torch.from_numpy(chosen.copy()).permute(0, 3, 1, 2).float()
    stack = F.interpolate(pixels, (STACK_PIXELS, STACK_PIXELS), mode="area") / 127.5 - 1
    thing = chosen[masks].mean(0) if masks.any() else ground
    shares = [masks[index].mean() ** 0.5 for index in (0, FRAMES // 2, FRAMES - 1)]
    look = torch.tensor([*(ground / 127.5 - 1), *(thing / 127.5 - 1), *shares], dtype=torch.float32)
    return cuts, stack, look


def _border(frame: np.ndarray) -> np.ndarray:
    return np.concatenate([frame[0], frame[-1], frame[:, 0], frame[:, -1]])


def _box(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """Top, left, bottom, right of what is marked, or None where (nearly) nothing is."""
    rows, columns = np.flatnonzero(mask.sum(1) > 1), np.flatnonzero(mask.sum(0) > 1)
    if len(rows) < 4 or len(columns) < 4:
        return None
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _cut(frame: np.ndarray, box: tuple[int, int, int, int] | None, ground: np.ndarray) -> Tensor:
    """The box as a square with a thin margin, on the background's colour -> float [3, CUT_PIXELS, CUT_PIXELS]."""
    top, left, bottom, right = box or (0, 0, *frame.shape[:2])
    side = round(max(bottom - top, right - left) * 1.1) + 2
    square = np.broadcast_to(ground.astype(np.uint8), (side, side, 3)).copy()
    y, x = (side - (bottom - top)) // 2, (side - (right - left)) // 2
    square[y : y + bottom - top, x : x + right - left] = frame[top:bottom, left:right]
    pixels = torch.from_numpy(square).permute(2, 0, 1)[None].float()
    return F.interpolate(pixels, (CUT_PIXELS, CUT_PIXELS), mode="bilinear", antialias=True)[0]
