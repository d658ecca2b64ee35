"""Contact sheets: what the model made, for a person to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from nextgpt_core.mel import LogMel

MARGIN, LINE = 4, 13
RIGHT, WRONG, PLAIN = "#1a7f37", "#cf222e", "#57606a"


@dataclass(frozen=True)
class Cell:
    """One made file as a picture, what was asked for, and what the judge saw (None: not judged)."""

    picture: np.ndarray  # uint8 [H, W, 3]
    wish: str
    judged: str = ""
    right: bool | None = None


def save_sheet(cells: Sequence[Cell], path: Path, *, columns: int = 8) -> None:
    """A grid of cells with their captions; writes nothing for no cells."""
    if not cells:
        return
    height, width = (max(cell.picture.shape[axis] for cell in cells) for axis in (0, 1))
    columns = min(columns, len(cells))
    rows = -(-len(cells) // columns)
    step_x, step_y = width + 2 * MARGIN, height + 2 * MARGIN + 2 * LINE
    sheet = Image.new("RGB", (columns * step_x, rows * step_y), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for index, cell in enumerate(cells):
        left, top = index % columns * step_x + MARGIN, index // columns * step_y + MARGIN
        sheet.paste(Image.fromarray(cell.picture), (left, top))
        colour = PLAIN if cell.right is None else RIGHT if cell.right else WRONG
        room = width // 6
        draw.text((left, top + height), cell.wish[:room], fill="black", font=font)
        draw.text((left, top + height + LINE), cell.judged[:room], fill=colour, font=font)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def spectrogram(samples: np.ndarray, *, width: int = 160, height: int = 96) -> np.ndarray:
    """float [n] at 16 kHz -> uint8 [height, width, 3]: log-mel, low at the bottom, bright is loud."""
    mel = LogMel()(torch.from_numpy(np.asarray(samples, dtype=np.float32))[None])[0].T.flip(0)  # [bins, T]
    shown = ((mel - mel.max() + 8) / 8).clamp(0, 1).numpy()
    picture = Image.fromarray((shown * 255).astype(np.uint8), "L").resize((width, height), Image.Resampling.BILINEAR)
    values = np.asarray(picture).astype(np.float32) / 255
    return np.stack([np.clip(3 * values - gap, 0, 1) * 255 for gap in (0, 1, 2)], -1).astype(np.uint8)


def strip(frames: np.ndarray, *, shown: int = 4) -> np.ndarray:
    """uint8 [T, H, W, 3] -> some of the frames side by side, first and last among them."""
    chosen = np.linspace(0, len(frames) - 1, min(shown, len(frames))).round().astype(int)
    return np.concatenate([frames[i] for i in chosen], axis=1)
