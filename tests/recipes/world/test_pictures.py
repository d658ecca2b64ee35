"""Names, captions, scenes and the patch code (no packages are fetched: things and drawings are made here)."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from recipes.nano.decoders import autoencoder
from recipes.nano.decoders import unet as denoiser
from recipes.nano.world import pictures
from recipes.nano.world import things as world
from recipes.nano.world.pictures import PictureScene, caption, render, tinted
from recipes.nano.world.things import Thing
from tests.recipes.psnr import psnr

APPLE = Thing("apple", "apples", "an", (), "food", ("1f34e",))
BREAD = Thing("bread", "bread", "", (), "food", ("1f35e",))


@pytest.mark.parametrize(
    ("scene", "said"),
    [
        (PictureScene(APPLE), "an apple"),
        (PictureScene(BREAD), "bread"),
        (PictureScene(APPLE, count=2, colour="red", background="blue"), "two red apples on a blue background"),
        (PictureScene(APPLE, colour="orange"), "an orange apple"),
        (PictureScene(APPLE, size="small", position="on the left"), "a small apple on the left"),
        (PictureScene(APPLE, style="fluent-flat", background="orange"), "an apple on an orange background in a flat style"),
    ],
)
def test_captions(scene: PictureScene, said: str) -> None:
    assert caption(scene) == said


@pytest.mark.parametrize(
    ("name", "plural", "article"),
    [("fox", "foxes", "a"), ("owl", "owls", "an"), ("cherry", "cherries", "a"), ("cup of coffee", "cups of coffee", "a"),
     ("hourglass", "hourglasses", "an"), ("unicorn", "unicorns", "a"), ("mouse", "mice", "a"), ("monkey", "monkeys", "a")],
)  # fmt: skip
def test_plural_and_article(name: str, plural: str, article: str) -> None:
    thing = world._parse(name, "group", {name: "1f600"})
    assert (thing.plural, thing.article) == (plural, article)


def test_lines_of_the_list() -> None:
    labels = {"dog": "1", "dog face": "2", "scissors": "3"}
    dog = world._parse("dog (puppy, pup) = dog + dog face", "animal", labels)
    assert dog == Thing("dog", "dogs", "a", ("puppy", "pup"), "animal", ("1", "2"))
    assert world._parse("^scissors", "object", labels).singular == "scissors"


def square(colour: tuple[int, int, int]) -> Image.Image:
    return Image.new("RGBA", (32, 32), (*colour, 255))


def test_scenes_are_drawn_where_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "sprite", lambda code, style: square((0, 0, 0)))
    monkeypatch.setattr(pictures, "hexcodes", lambda thing, style: ("x",))
    left = render(PictureScene(APPLE, position="on the left"), 64)
    assert left.shape == (64, 64, 3) and left[32, 16].max() == 0 and left[32, 48].min() == 255
    two = render(PictureScene(APPLE, count=2, background="red"), 64)
    assert two[32, 17].max() == 0 and two[32, 46].max() == 0 and two[2, 2, 0] > two[2, 2, 1]


def test_tint_keeps_the_outline_and_changes_the_hue() -> None:
    red = np.asarray(tinted(square((120, 160, 120)), "red")).reshape(-1, 4).mean(0)
    assert red[0] > red[1] + 60 and red[3] == 255


def test_the_autoencoder_keeps_smooth_pictures() -> None:
    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(24, 3, 8, 8, generator=generator), scale_factor=16, mode="bicubic").clamp(0, 1)
    images = (smooth * 255).to(torch.uint8)
    vae = autoencoder.fit_autoencoder(images, latents=48)
    latents = autoencoder.encode_frames(vae, images)
    assert latents.shape == (24, 48, 4, 4)
    assert abs(float(latents.square().mean()) - 1) < 0.05
    assert psnr(vae, images) > 25


def test_latents_are_read_back_with_what_was_projected_from_their_captions(tmp_path: Path) -> None:
    captions = ["a dog", "a cat", "a dog"]
    path = tmp_path / "latents.safetensors"
    vectors = {"a dog": torch.ones(384), "a cat": torch.zeros(384), "": torch.full((384,), 2.0)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(denoiser, "encode_texts", lambda texts: torch.stack([vectors[text] for text in texts]))
        denoiser.write_latents(path, torch.randn(3, 2, 1, 1), captions, torch.ones(3))
    data = denoiser.read_latents(path)
    assert denoiser.read_captions(path) == captions and data.projected is None
    assert data.conditions[:, 0].tolist() == pytest.approx([384**0.5, 0, 384**0.5], abs=0.01)
    denoiser.write_projected(path, ["a cat"], torch.full((1, 384), 7.0))
    data = denoiser.read_latents(path)
    assert data.best(slice(0, 3))[:, 0].tolist() == pytest.approx([384**0.5, 7.0, 384**0.5], abs=0.01)
    seen = data.seen(torch.tensor([0, 1] * 100), torch.Generator().manual_seed(0), noise=0.0)[:, 0]
    assert set(seen[1::2].tolist()) == {0.0, 7.0} and seen[::2].std() == 0


class Recorder(torch.nn.Module):
    """A one-layer stand-in for a U-Net."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(2, 2, 1)


@pytest.mark.usefixtures("counted_seconds")
def test_the_denoiser_learns_and_resumes(tmp_path: Path) -> None:
    from recipes.nano.decoders.unet import LatentSet, train_denoiser

    torch.manual_seed(0)
    data = LatentSet(torch.ones(4, 2, 2, 2).half(), torch.zeros(4, 384).half(), torch.ones(4), torch.zeros(384))

    def predict(unet: Any, noisy: torch.Tensor, times: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        return unet.layer(noisy)

    how: dict[str, Any] = {"predict": predict, "run": tmp_path, "batch": 4, "peak": 1e-2}
    train_denoiser(Recorder(), data, cpu_minutes=0.5, **how)
    first = (tmp_path / "log.csv").read_text().splitlines()
    train_denoiser(Recorder(), data, cpu_minutes=0.75, **how)
    second = (tmp_path / "log.csv").read_text().splitlines()
    assert second[: len(first)] == first and len(second) > len(first)
