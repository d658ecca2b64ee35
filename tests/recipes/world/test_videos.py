"""Videos: paths show in the frames, captions say them, held-out pairs are fixed, the computed autoencoder and the U-Net's loss work."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from recipes.nano.decoders import autoencoder
from recipes.nano.decoders import video as video_unet
from recipes.nano.evaluation.judges.video import VideoJudge, seen
from recipes.nano.world import pictures, videos
from recipes.nano.world.pictures import PictureScene
from recipes.nano.world.things import Thing
from recipes.nano.world.videos import FRAMES, MOTIONS, VideoScene, caption, is_held_out, render, sample_video
from tests.recipes.psnr import psnr

APPLE = Thing("apple", "apples", "an", (), "food", ("1f34e",))


@pytest.fixture(autouse=True)
def drawings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A red block in place of the icon packages: taller than wide, so that turning shows."""
    block = np.zeros((64, 64, 4), np.uint8)
    block[4:60, 20:44] = (200, 20, 20, 255)
    for module in (videos, pictures):
        monkeypatch.setattr(module, "sprite", lambda code, style: Image.fromarray(block, "RGBA"))
        monkeypatch.setattr(module, "hexcodes", lambda thing, style: thing.hexcodes)


def _video(motion: str, **picture: Any) -> np.ndarray:
    return render(VideoScene(PictureScene(APPLE, **picture), motion), 64)


def _where(video: np.ndarray) -> np.ndarray:
    """(y, x, visible pixels) of the thing on white in each frame."""
    masks = video[..., 1] < 128
    return np.array([[*(np.argwhere(mask).mean(0) if mask.any() else (0, 0)), mask.sum()] for mask in masks])


@pytest.mark.parametrize(
    ("motion", "axis", "sign"),
    [
        ("moving to the left", 1, -1),
        ("moving to the right", 1, 1),
        ("moving up", 0, -1),
        ("moving down", 0, 1),
        ("growing", 2, 1),
        ("shrinking", 2, -1),
    ],
)
def test_a_path_shows_in_every_pair_of_frames(motion: str, axis: int, sign: int) -> None:
    assert (np.diff(_where(_video(motion))[:, axis]) * sign > 0).all()


def test_the_other_motions() -> None:
    assert (_video("standing still") == _video("standing still")[0]).all()
    assert _video("fading away")[-1].mean() > 250 > _video("fading away")[0].mean()
    height = _where(_video("bouncing"))[:, 0]
    assert height[0] > height[2] + 10 and height[0] > height[5] + 10 and abs(height[0] - height[-1]) < 1
    sides = np.sign(np.diff(_where(_video("shaking"))[:, 1]))
    assert (sides == [1, -1, 1, -1, 1, -1, 1]).all()
    wide = (_video("spinning")[..., 1] < 128).any(1).sum(1)  # columns that the thing covers
    assert wide[2] > 1.5 * wide[0]


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        ({}, "an apple spinning"),
        ({"colour": "red", "background": "blue"}, "a red apple spinning on a blue background"),
        ({"background": "orange", "style": "fluent-flat"}, "an apple spinning on an orange background in a flat style"),
    ],
)
def test_captions(picture: dict[str, str], said: str) -> None:
    assert caption(VideoScene(PictureScene(APPLE, **picture), "spinning")) == said


def test_one_motion_of_a_thing_is_held_out() -> None:
    held = [motion for motion in MOTIONS if is_held_out(APPLE, motion)]
    rng = np.random.default_rng(0)
    seen_motions = {sample_video(rng, thing=APPLE).motion for _ in range(200)}
    assert len(held) == 1 and seen_motions == set(MOTIONS) - set(held)
    assert sample_video(rng, thing=APPLE, held_out=True).motion == held[0]


def test_the_autoencoder_is_exact_where_few_patches_differ() -> None:
    """Frames of one block in a few places have fewer than 64 components, so hardly anything is lost; latents have unit scale."""
    frames = torch.from_numpy(np.concatenate([_large(motion) for motion in MOTIONS])).permute(0, 3, 1, 2).contiguous()
    vae = autoencoder.fit_autoencoder(frames, latents=64)
    latents = autoencoder.encode_frames(vae, frames)
    assert latents.shape == (len(frames), 64, 4, 4)
    assert 0.3 < latents.std() < 3
    assert psnr(vae, frames) > 24
    decoded = vae.decode(latents / vae.config["scaling_factor"]).sample  # as the decoder class calls it
    ours = autoencoder.decode_frames(vae, latents) / 127.5 - 1
    assert torch.allclose(torch.nn.functional.pixel_shuffle(decoded, 32).clamp(-1, 1), ours, atol=0.01)


def test_the_loss_reaches_every_part_of_the_network() -> None:
    torch.manual_seed(0)
    unet = video_unet.make_unet()
    made = video_unet.predict(unet, torch.randn(2, video_unet.CHANNELS, FRAMES, 4, 4), torch.tensor([500, 900]), torch.randn(2, 384))
    made.square().mean().backward()
    assert unet.conv_in.weight.grad.abs().sum() > 0
    assert unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_v.weight.grad.abs().sum() > 0


def test_the_judge_names_the_nearest_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    motions = list(MOTIONS)
    monkeypatch.setattr("recipes.nano.evaluation.judges.video.things", lambda: (APPLE,))
    videos_seen = torch.from_numpy(np.stack([seen(_video(motion)) for motion in motions]))
    labels = torch.tensor([(0, index) for index in range(len(motions))])
    numbers = videos_seen.shape[1]
    judge = VideoJudge(basis=torch.eye(numbers)[:, ::7], mean=torch.zeros(numbers), references=videos_seen[:, ::7], labels=labels)
    asked = np.stack([_video(motion, background="yellow") for motion in motions])
    assert [motion for _, motion in judge.name(asked)] == motions


def _large(motion: str) -> np.ndarray:
    return render(VideoScene(PictureScene(APPLE), motion), autoencoder.PIXELS)
