"""Decoders that draw and stage: the renderer against the recipe's own, what poses and paint do, and that both networks learn."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nextgpt_core.checkpoints import save_tensors
from nextgpt_core.decoders.stable_diffusion import StableDiffusionDecoder
from nextgpt_core.decoders.staged import PATCH, StagedMean
from nextgpt_core.errors import CheckpointMismatch
from recipes.nano.decoders import autoencoder, staging
from recipes.nano.decoders.image import poses as picture_poses
from recipes.nano.decoders.staging import Staging, train_staged
from recipes.nano.decoders.unet import LatentSet
from recipes.nano.world import pictures, videos
from recipes.nano.world.pictures import PictureScene
from recipes.nano.world.things import Thing
from recipes.nano.world.videos import VideoScene
from tests.decoders.test_decoders import FOLDER_SETTINGS, image_decoder, write_folder

SIDE = 4 * PATCH
THINGS = tuple(Thing(name, f"{name}s", "a", (), "object", (name,)) for name in ("block", "bar", "hook", "spot"))
IDENTITY_PAINT = torch.cat([torch.eye(3, 5).flatten(), torch.zeros(1)])[None]


def drawn(name: str) -> np.ndarray:
    """Four shapes that are not symmetric, RGBA."""
    picture = np.zeros((128, 128, 4), np.uint8)
    parts = {
        "block": [(8, 120, 40, 88)],
        "bar": [(40, 88, 8, 120)],
        "hook": [(8, 120, 16, 48), (88, 120, 16, 112)],
        "spot": [(8, 64, 8, 64)],
    }
    for top, bottom, left, right in parts[name]:
        picture[top:bottom, left:right] = (200, 40 * len(name), 20, 255)
    return picture


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (videos, pictures, staging):
        monkeypatch.setattr(module, "sprite", lambda code, style: Image.fromarray(drawn(code), "RGBA"))
        monkeypatch.setattr(module, "hexcodes", lambda thing, style: thing.hexcodes)
    monkeypatch.setattr(staging, "things", lambda: THINGS)
    clear()
    yield  # type: ignore[misc]
    clear()


def clear() -> None:
    staging.drawings.cache_clear()
    staging.dyed_swatches.cache_clear()


def fitted(*, frames: int = 1, layers: int = 1) -> tuple[StagedMean, torch.Tensor]:
    """A mean with a painter of the four things, and their codes."""
    torch.manual_seed(0)
    shape = (6, frames, 4, 4) if frames > 1 else (6, 4, 4)
    mean = StagedMean(condition=6, shape=shape, width=16, sprite=40, layers=layers, staging=16)
    return mean, staging.fit_painter(mean, staging.drawings())


@pytest.mark.parametrize("motion", ["moving to the left", "moving up", "spinning", "growing", "shaking", "fading away"])
def test_the_renderer_shows_videos_as_the_recipe_draws_them(motion: str):
    mean, codes = fitted(frames=videos.FRAMES)
    scene = VideoScene(PictureScene(THINGS[2], background="blue"), motion)
    where = torch.from_numpy(videos.poses(scene)).float()[None, :, None]
    where[..., 5] = torch.logit(where[..., 5], eps=1e-4)
    ground = torch.logit(torch.tensor([pictures.BACKGROUNDS["blue"]]) / 255)
    made = mean.render(codes[2:3], where, IDENTITY_PAINT, ground)[0].permute(0, 2, 3, 1)
    wanted = torch.from_numpy(videos.render(scene, SIDE)).float() / 255
    still = torch.from_numpy(videos.render(VideoScene(scene.picture, "standing still"), SIDE)).float() / 255
    assert (made - wanted).abs().mean() < 0.02 < (still - wanted).abs().mean()


@pytest.mark.parametrize("wish", [{"count": 3}, {"count": 2, "size": "small"}, {"position": "on the left"}, {"size": "big"}])
def test_the_renderer_shows_pictures_as_the_recipe_draws_them(wish: dict):
    mean, codes = fitted(layers=3)
    scene = PictureScene(THINGS[0], background="green", **wish)
    where = torch.from_numpy(picture_poses(scene, layers=3)).float()[None]
    where[..., 5] = torch.logit(where[..., 5], eps=1e-4)
    ground = torch.logit(torch.tensor([pictures.BACKGROUNDS["green"]]) / 255)
    made = mean.render(codes[:1], where, IDENTITY_PAINT, ground)[0, 0].permute(1, 2, 0)
    wanted = torch.from_numpy(pictures.render(scene, SIDE)).float() / 255
    assert (made - wanted).abs().mean() < 0.02
    assert (torch.from_numpy(pictures.render(PictureScene(THINGS[0], background="green"), SIDE)) / 255 - wanted).abs().mean() > 0.02


def test_paint_can_dye_a_thing_as_the_recipe_does():
    """The dye is piecewise linear in lightness; a matrix over colours, alpha and what is darker than a knee holds it exactly."""
    grey = np.zeros((8, 8, 4), np.uint8)
    grey[..., :3], grey[..., 3] = np.linspace(0, 255, 64).reshape(8, 8, 1), 255
    wanted = torch.from_numpy(np.asarray(pictures.tinted(Image.fromarray(grey, "RGBA"), "red"))).permute(2, 0, 1)[None] / 255
    sprite = torch.from_numpy(grey).permute(2, 0, 1)[None] / 255
    paint = torch.zeros(1, 16, requires_grad=True)
    optimizer = torch.optim.LBFGS([paint], max_iter=200)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        lightness = sprite[:, :3].mean(1, keepdim=True)
        seen = torch.cat([sprite, lightness.minimum(paint[:, 15].sigmoid())], 1)
        made = torch.einsum("bij,bjhw->bihw", paint[:, :15].unflatten(1, (3, 5)), seen)
        error = (made - wanted[:, :3]).square().mean()
        error.backward()
        return error

    optimizer.step(loss)
    with torch.no_grad():
        assert (StagedMean.painted(sprite, paint)[:, :3] - wanted[:, :3]).abs().mean() < 0.02


def test_fewer_pixels_give_nearly_the_same_latents():
    mean, codes = fitted()
    with torch.no_grad():
        mean.reader.normal_(std=0.02)
        conditions = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
        fine, coarse = (mean.stage(codes, conditions, coarse=pixels) for pixels in (1, 2))
    assert fine.shape == (4, 6, 4, 4)
    assert torch.nn.functional.cosine_similarity(fine.flatten(), coarse.flatten(), dim=0) > 0.9


def test_a_longer_video_moves_as_far_in_more_frames():
    """Where it is follows time; nothing jumps back, as a repeated video would."""
    mean, codes = fitted(frames=8)
    conditions = torch.randn(1, 6)
    across = torch.zeros(1, 8, 1, 6)
    across[..., 0, 0], across[..., 2:4], across[..., 5] = torch.linspace(-0.3, 0.3, 8), torch.tensor([-1.0, 1.0]), 9.0
    with torch.no_grad():
        mean.staging.outer.weight.zero_()
        mean.staging.outer.bias.copy_(torch.cat([across.flatten(), IDENTITY_PAINT[0], torch.full((3,), 9.0)]))
        mean.drawing.outer.weight.zero_()
        mean.drawing.outer.bias.copy_(codes[0].flatten())
        mean.reader.normal_(std=0.02, generator=torch.Generator().manual_seed(0))
        usual, longer, shorter = (mean.sized(conditions, torch.Size((6, count, 4, 4))) for count in (8, 15, 4))
    assert longer.shape == (1, 6, 15, 4, 4)
    assert torch.allclose(longer[:, :, ::2], usual, atol=1e-4)
    assert torch.allclose(shorter[:, :, [0, -1]], usual[:, :, [0, -1]], atol=1e-4)


def learnt(scenes: list[PictureScene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[StagedMean, LatentSet, Staging]:
    """A mean that learnt these scenes of four things in four ways each; the second thing was never seen in the second way."""
    monkeypatch.setattr(staging, "_BATCH", 64)
    frames = torch.from_numpy(np.stack([pictures.render(scene, autoencoder.PIXELS) for scene in scenes])).permute(0, 3, 1, 2)
    vae = autoencoder.fit_autoencoder(frames, latents=8)
    conditions = 3 * torch.cat([torch.eye(4).repeat_interleave(4, 0), torch.eye(4).repeat(4, 1)], 1)
    weights = torch.ones(16)
    weights[5] = 0
    data = LatentSet(autoencoder.encode_frames(vae, frames), conditions, weights, torch.zeros(8))
    known = Staging.of(scenes, np.stack([picture_poses(scene, layers=1) for scene in scenes]))
    mean = train_staged(data, vae, known, run=tmp_path, cpu_minutes=1 / 3, width=32, sprite_channels=40, staged=4, peak=1e-2)
    return mean, data, known


@pytest.mark.usefixtures("counted_seconds")
def test_both_networks_learn_and_an_unseen_pair_comes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Four things in four places."""
    spots = ["on the left", "on the right", "at the top", "at the bottom"]
    mean, data, _ = learnt([PictureScene(thing, position=spot) for thing in THINGS for spot in spots], tmp_path, monkeypatch)
    with torch.no_grad():
        left = (mean(data.conditions) - data.latents).square().flatten(1).mean(1)
        before = data.latents.square().flatten(1).mean(1)
    assert left[data.weights > 0].mean() < 0.2 * before.mean()
    assert left[5] < 0.4 * before[5]


@pytest.mark.slow
@pytest.mark.usefixtures("counted_seconds")
def test_colours_of_thing_and_ground_are_learnt_for_things_never_seen_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two dyes, each on the other's ground and on grey."""
    pairs = [("red", "blue"), ("blue", "red"), ("red", "grey"), ("blue", "grey")]
    scenes = [PictureScene(thing, colour=dye, background=ground) for thing in THINGS for dye, ground in pairs]
    mean, data, known = learnt(scenes, tmp_path, monkeypatch)
    with torch.no_grad():
        _, paint, ground = mean.staged(data.conditions)
        codes = staging.fit_painter(mean, staging.drawings())
        dyed = mean.painted(mean.sprites(codes[known.thing], coarse=8), paint)[:, :3]
    swatches = staging.dyed_swatches()
    assert (ground.sigmoid() - known.ground).abs().max() < 0.15
    right, wrong = ((dyed - swatches[dye, known.thing]).square().flatten(1).mean(1) for dye in (known.dye, 6 - known.dye))  # red 1, blue 5
    assert staging._DYED[1] == "red" and staging._DYED[5] == "blue"
    assert (right < 0.5 * wrong).all()


def test_drawing_goes_on_from_a_file_that_speaks_of_the_same_strokes(tmp_path: Path):
    mean, _ = fitted()
    save_tensors(mean.state_dict(), tmp_path / "mean.safetensors", dtype=torch.float16)
    other, _ = fitted()
    torch.nn.init.normal_(other.drawing.inner.weight)
    staging.draw_as(other, tmp_path / "mean.safetensors")
    assert torch.allclose(other.drawing.inner.weight, mean.drawing.inner.weight, atol=1e-3)
    other.painter.neg_()
    with pytest.raises(CheckpointMismatch, match="strokes"):
        staging.draw_as(other, tmp_path / "mean.safetensors")


def test_a_folder_tells_how_large_it_is(tmp_path: Path):
    decoder = image_decoder()
    shape = tuple(decoder.latent_shape(decoder.defaults)[1:])
    write_folder(tmp_path, decoder, FOLDER_SETTINGS["image"])
    condition = math.prod(decoder.condition_shape)
    mean = StagedMean(condition=condition, shape=shape, width=8, sprite=5, layers=2, staging=12)
    save_tensors(mean.state_dict(), tmp_path / "mean.safetensors")
    settings = json.loads((tmp_path / "decoder.json").read_text())
    (tmp_path / "decoder.json").write_text(json.dumps({**settings, "mean": list(shape), "layers": 2}))
    loaded = StableDiffusionDecoder.from_folder(tmp_path).mean
    assert isinstance(loaded, StagedMean)
    conditions = torch.randn(1, *decoder.condition_shape)
    assert torch.equal(loaded(conditions), mean(conditions))
