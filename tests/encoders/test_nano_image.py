"""The picture tower: shapes, scale, strictness, and (with the bundled weights) that it sees."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nextgpt_core.checkpoints import save_tensors
from nextgpt_core.encoders.efficientnet import FEATURES
from nextgpt_core.encoders.nano_image import LOOK, TRUNK_PIXELS, WIDTH, NanoImageTower, PictureHeads, picture_inputs
from nextgpt_core.errors import CheckpointMismatch

WEIGHTS = Path(__file__).parents[2] / "checkpoints" / "nano" / "encoder" / "image.safetensors"


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (128, 128)])
def test_inputs_of_any_size(size: tuple[int, int]) -> None:
    pixels, look = picture_inputs(picture(*size))
    assert pixels.shape == (3, TRUNK_PIXELS, TRUNK_PIXELS) and pixels.min() >= 0 and pixels.max() <= 255
    assert look.shape == (LOOK,) and look.abs().max() <= 1


def test_tokens_have_unit_variance() -> None:
    torch.manual_seed(0)
    tokens = NanoImageTower().eval().encode(picture(64, 48))
    assert tokens.shape == (NanoImageTower.tokens, WIDTH)
    assert torch.allclose(tokens.square().mean(-1), torch.ones(2), atol=0.02)


def test_a_sure_classifier_pulls_a_photograph_towards_its_name() -> None:
    torch.manual_seed(0)
    heads = PictureHeads().eval()
    name = torch.nn.functional.normalize(torch.randn(WIDTH), dim=0)
    features, look = torch.rand(1, FEATURES), torch.zeros(1, LOOK)
    before = heads(features, look)[0, 0] @ name
    heads.class_names[7] = name
    heads.classes[7, -1] = 50.0  # class 7 always wins
    heads.photograph[-1] = 50.0
    after = heads(features, look)[0, 0] @ name
    assert after > before + 0.5 * WIDTH**0.5


def test_the_classifier_is_not_heard_of_drawings() -> None:
    torch.manual_seed(0)
    heads = PictureHeads().eval()
    features, look = torch.rand(2, FEATURES), torch.zeros(2, LOOK)
    before = heads(features, look)
    heads.class_names[7] = 1.0
    heads.classes[7, -1] = 50.0
    heads.photograph[:-1] = 200 * (features[0] - features[1]) / (features[0] - features[1]).square().sum()
    heads.photograph[-1] = -heads.photograph[:-1] @ features.mean(0)  # the first is a photograph, the second is none
    assert heads.photo_share(features).tolist() == [1.0, pytest.approx(0.0, abs=1e-6)]
    after = heads(features, look)
    assert not torch.allclose(after[0], before[0], atol=0.1) and torch.allclose(after[1], before[1], atol=1e-4)


def test_strict_loading(tmp_path: Path) -> None:
    tensors = NanoImageTower().state_dict()
    tensors.pop("heads.thing.1.weight")
    save_tensors(tensors, tmp_path / "image.safetensors")
    with pytest.raises(CheckpointMismatch, match=r"missing heads\.thing\.1\.weight"):
        NanoImageTower.from_file(tmp_path / "image.safetensors")


@pytest.mark.bundled
@pytest.mark.skipif(not WEIGHTS.is_file(), reason="bundled weights are not here")
def test_bundled_tower_tells_colours_of_ground_apart() -> None:
    tower = NanoImageTower.from_file(WEIGHTS)
    red, green = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    red[..., 0], green[..., 1] = 220, 180
    first, again, other = tower.encode(red), tower.encode(red[:32]), tower.encode(green)
    assert (first[1] - again[1]).norm() < 0.5 * (first[1] - other[1]).norm()


@pytest.mark.bundled
@pytest.mark.skipif(not WEIGHTS.is_file(), reason="bundled weights are not here")
def test_bundled_tower_hears_the_classifier_of_photographs_only() -> None:
    tower = NanoImageTower.from_file(WEIGHTS)
    drawing = np.full((90, 90, 3), 255, np.uint8)
    drawing[30:60, 30:60] = (200, 30, 30)
    share = tower.heads.photo_share(tower.trunk(picture_inputs(drawing)[0][None]))
    assert float(share) < 0.1
    votes = tower.heads.class_names.square().sum(-1).sqrt()  # a unit vector, or nothing
    assert set(votes.round(decimals=1).tolist()) == {0.0, 1.0} and int((votes > 0.5).sum()) > 600
