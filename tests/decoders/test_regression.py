"""The regression half of a decoder: what is added to the denoised residual, at every length, and how it is read and learnt."""

import json
from pathlib import Path

import pytest
import torch

from nextgpt_core.checkpoints import save_tensors
from nextgpt_core.decoders.regression import ConditionalMean
from nextgpt_core.decoders.stable_diffusion import StableDiffusionDecoder
from nextgpt_core.errors import CheckpointMismatch
from recipes.nano.decoders.regression import residual, train_mean
from recipes.nano.decoders.unet import LatentSet
from tests.decoders.test_decoders import FOLDER_SETTINGS, image_decoder, write_folder


def make_mean(shape: tuple[int, ...]) -> ConditionalMean:
    torch.manual_seed(0)
    return ConditionalMean(condition=6, shape=shape, width=8)


def test_complete_adds_the_mean_and_follows_the_length():
    mean = make_mean((2, 4, 3))
    conditions = torch.randn(1, 2, 3)
    mean.scale.fill_(0.5)
    residual_part = torch.randn(1, 2, 6, 3)
    longer = mean.complete(residual_part, conditions)
    expected = mean(conditions)
    assert torch.allclose(longer[:, :, :4], expected + 0.5 * residual_part[:, :, :4])
    assert torch.allclose(longer[:, :, 4:], expected[:, :, :2] + 0.5 * residual_part[:, :, 4:])
    shorter = mean.complete(residual_part[:, :, :3], conditions)
    assert torch.allclose(shorter, expected[:, :, :3] + 0.5 * residual_part[:, :, :3])


def test_decoder_adds_its_mean_to_what_it_denoised_and_to_previews():
    plain = image_decoder()
    shape = tuple(plain.latent_shape(plain.defaults)[1:])
    mean = ConditionalMean(condition=int(torch.Size(plain.condition_shape).numel()), shape=shape, width=8)
    with torch.no_grad():
        mean.outer.weight.zero_()
        mean.outer.bias.fill_(0.25)
    corrected = image_decoder(mean=mean)
    condition = torch.randn(plain.condition_shape)
    seen: dict[str, list[torch.Tensor]] = {"plain": [], "corrected": []}
    for name, decoder in (("plain", plain), ("corrected", corrected)):
        generator = torch.Generator().manual_seed(1)
        settings = decoder.defaults
        decoder.generate(condition, settings=settings, generator=generator, on_step=lambda *args, name=name: seen[name].append(args[2]))
    assert len(seen["plain"]) == plain.defaults.steps
    for before, after in zip(seen["plain"], seen["corrected"], strict=True):
        assert torch.allclose(after, before + 0.25, atol=1e-5)
    assert "mean" in corrected.parts()


def test_folder_with_a_mean_is_read_strictly(tmp_path: Path):
    decoder = image_decoder()
    shape = tuple(decoder.latent_shape(decoder.defaults)[1:])
    write_folder(tmp_path, decoder, FOLDER_SETTINGS["image"])
    mean = ConditionalMean(condition=int(torch.Size(decoder.condition_shape).numel()), shape=shape, width=8)
    save_tensors(mean.state_dict(), tmp_path / "mean.safetensors")
    settings = json.loads((tmp_path / "decoder.json").read_text())
    (tmp_path / "decoder.json").write_text(json.dumps({**settings, "mean": list(shape)}))
    loaded = StableDiffusionDecoder.from_folder(tmp_path)
    assert loaded.mean is not None and torch.equal(loaded.mean.outer.bias, mean.outer.bias)
    (tmp_path / "decoder.json").write_text(json.dumps({**settings, "mean": [shape[0], 1, 1]}))
    with pytest.raises(CheckpointMismatch, match="outer"):
        StableDiffusionDecoder.from_folder(tmp_path)


@pytest.mark.usefixtures("counted_seconds")
def test_training_learns_the_mean_and_leaves_a_unit_residual(tmp_path: Path):
    generator = torch.Generator().manual_seed(0)
    conditions = torch.randn(4, 6, generator=generator).repeat(50, 1)
    templates = torch.randn(4, 2, 2, 2, generator=generator).repeat(50, 1, 1, 1)
    latents = templates + 0.1 * torch.randn(templates.shape, generator=generator)
    data = LatentSet(latents=latents, conditions=conditions, weights=torch.ones(200), unconditional=torch.zeros(6))
    mean = train_mean(data, run=tmp_path, cpu_minutes=0.5, width=64)
    left = residual(mean, data)
    assert float(mean.scale) < 0.5  # of a deviation of about 1 before
    assert left.latents.float().std() == pytest.approx(1.0, abs=0.05)


def test_the_residual_of_a_large_set_is_that_of_rows_drawn_by_weight():
    torch.manual_seed(0)
    weights = torch.tensor([1.0] * 40 + [0.0] * 60)
    latents = torch.randn(100, 2, 3)
    latents[40:] = 100.0  # never drawn
    data = LatentSet(latents.half(), torch.randn(100, 5), weights, torch.zeros(5), torch.randn(100, 5))
    mean = ConditionalMean(condition=5, shape=(2, 3), width=8)
    left = residual(mean, data, count=30)
    assert left.latents.shape == (30, 2, 3) and left.conditions.shape == (30, 5) and left.projected.shape == (30, 5)
    assert float(mean.scale) < 5 and float(left.latents.float().square().mean()) == pytest.approx(1.0, abs=0.02)
