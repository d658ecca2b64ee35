"""The video tower: shapes, any length and size, order of frames matters, cut-outs follow the thing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nextgpt_core.checkpoints import save_tensors
from nextgpt_core.encoders.nano_video import CUT_PIXELS, FRAMES, NanoVideoTower, video_inputs
from nextgpt_core.errors import CheckpointMismatch, UnsupportedMedia
from nextgpt_core.modalities.video import VideoClip


@pytest.fixture(scope="module")
def tower() -> NanoVideoTower:
    torch.manual_seed(0)
    return NanoVideoTower().eval()


def _video(frames: int = 12, height: int = 48, width: int = 64) -> np.ndarray:
    """A red square that moves to the right on grey."""
    video = np.full((frames, height, width, 3), 180, np.uint8)
    for index in range(frames):
        left = 2 + index * (width - 24) // frames
        video[index, 10:30, left : left + 20] = (220, 10, 10)
    return video


@pytest.mark.parametrize(("frames", "height", "width"), [(1, 32, 32), (5, 33, 71), (8, 64, 64), (40, 200, 90), (9, 1, 1)])
def test_any_length_and_size(tower: NanoVideoTower, frames: int, height: int, width: int) -> None:
    video = np.random.default_rng(0).integers(0, 255, (frames, height, width, 3), dtype=np.uint8)
    tokens = tower.encode(VideoClip(video, fps=8))
    assert tokens.shape == (tower.tokens, 384) and tokens.dtype == torch.float32
    assert torch.isfinite(tokens).all()
    assert torch.allclose(tokens.std(1, correction=0), torch.ones(3), atol=0.01)


def test_the_order_of_frames_is_kept(tower: NanoVideoTower) -> None:
    video = _video()
    there, back = tower.encode(VideoClip(video)), tower.encode(VideoClip(video[::-1]))
    assert not torch.allclose(there[1], back[1], atol=1e-3)


def test_cut_outs_follow_the_thing() -> None:
    cuts, stack, look = video_inputs(_video())
    assert cuts.shape == (3, 3, CUT_PIXELS, CUT_PIXELS) and stack.shape == (FRAMES, 3, 32, 32)
    assert (cuts[:, 0, 32:96, 32:96] > 200).all() and (cuts[:, 1, 32:96, 32:96] < 40).all()
    assert torch.allclose(look[:3], torch.tensor([180 / 127.5 - 1] * 3), atol=0.01)
    assert look[3] > 0.6 > look[4]


def test_a_video_without_frames_is_refused() -> None:
    with pytest.raises(UnsupportedMedia, match="no frames"):
        video_inputs(np.zeros((0, 8, 8, 3), np.uint8))


def test_weights_load_strictly(tower: NanoVideoTower, tmp_path: Path) -> None:
    save_tensors(tower.state_dict(), tmp_path / "video.safetensors", dtype=torch.float16)
    again = NanoVideoTower.from_file(tmp_path / "video.safetensors")
    clip = VideoClip(_video())
    assert torch.allclose(tower.encode(clip), again.encode(clip), atol=0.05)
    save_tensors({"trunk.stem.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointMismatch):
        NanoVideoTower.from_file(tmp_path / "other.safetensors")
