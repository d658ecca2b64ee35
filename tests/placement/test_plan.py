"""The plan: exact weights, the targets of the published system, refusals that say what to do."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, UNet3DConditionModel
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPConfig, LlamaConfig, LlamaForCausalLM, SpeechT5HifiGan, SpeechT5HifiGanConfig

from benchmarks import architectures
from nextgpt_core.config import load_preset
from nextgpt_core.decoders import DECODERS
from nextgpt_core.decoders.base import Size
from nextgpt_core.encoders.imagebind import HUGE, HUGE_OUT, ImageBind, ImageBindEncoder
from nextgpt_core.errors import ConfigError
from nextgpt_core.placement.parts import GIB, cpu_bytes, parts_of, sizes_of
from nextgpt_core.placement.plan import CPU, GPU, OFFLOADED, plan
from nextgpt_core.placement.report import picture, table

MODALITIES = ("image", "video", "audio")
GOLDEN = Path(__file__).parents[1] / "golden"


def count(build) -> int:
    with torch.device("meta"):
        return sum(value.numel() for value in build().parameters())


def test_known_parameter_counts_are_those_of_the_networks():
    known = {name: counts for part in (ImageBindEncoder, *DECODERS.values()) for name, counts in part.published.items()}
    towers = {name: HUGE[name] for name in ("vision", "audio")}
    assert known["imagebind"] == {"vision and audio towers": count(lambda: ImageBind(towers, out=HUGE_OUT))}
    for name, configs, kind in (
        ("stable-diffusion-v1-5", architectures.STABLE_DIFFUSION, UNet2DConditionModel),
        ("zeroscope_v2_576w", architectures.ZEROSCOPE, UNet3DConditionModel),
        ("audioldm-l-full", architectures.AUDIOLDM, UNet2DConditionModel),
    ):
        assert known[name]["unet"] == count(lambda kind=kind, configs=configs: kind.from_config(configs["unet"]))
        assert known[name]["vae"] == count(lambda configs=configs: AutoencoderKL.from_config(configs["vae"]))
    checker = CLIPConfig(**architectures.STABLE_DIFFUSION["safety_checker"])
    assert known["stable-diffusion-v1-5"]["safety_checker"] == count(lambda: StableDiffusionSafetyChecker(checker))
    vocoder = SpeechT5HifiGanConfig(**architectures.AUDIOLDM["vocoder"])
    assert known["audioldm-l-full"]["vocoder"] == count(lambda: SpeechT5HifiGan(vocoder))
    assert count(lambda: LlamaForCausalLM(LlamaConfig(**architectures.VICUNA_7B))) == 6_738_415_616


def test_language_model_and_projections_are_counted_exactly():
    parts = {part.name: part for part in parts_of(load_preset("7b"), precision="float16")}
    assert parts["llm"].parameters == 6_738_415_616 + 2 * 38 * 4096
    assert parts["llm"].weights == 2 * parts["llm"].parameters
    assert parts["projections"].parameters == 4_198_400 + 31_958_784 + 32_090_112 + 31_788_544  # golden: element_counts


def test_targets():
    everything = plan("7b", 24, "4bit")
    assert everything.fits and all(row.where == GPU for row in everything.rows)
    half = plan("7b", 12, "4bit")
    assert half.fits and all(row.where in (GPU, OFFLOADED) for row in half.rows)
    assert half.peak <= 12 * GIB
    small = plan("7b", 8, "4bit")
    assert small.fits and small.where("video") == CPU
    assert plan("7b", 8, "4bit", sizes=sizes_of(load_preset("7b"), frames=8)).where("video") == OFFLOADED


@pytest.mark.parametrize("precision", ["float16", "8bit", "4bit"])
def test_more_memory_never_moves_more(precision):
    before = 10**18
    for vram in (8, 12, 16, 24, 48):
        found = plan("7b", vram, precision)
        away = sum(row.part.weights for row in found.rows if row.where != GPU)
        if found.fits:
            assert away <= before and found.peak <= vram * GIB
            before = away


def test_refusal_says_what_to_do():
    refused = plan("7b", 8, "float16")
    assert not refused.fits
    assert "try --precision 4bit" in table(refused)
    assert "larger GPU" in (plan("7b", 4, "4bit").refusal or "")
    with pytest.raises(ConfigError, match="known are 4bit, 8bit"):
        plan("7b", 24, "2bit")


@pytest.mark.parametrize("vram", [0, -3, float("nan"), float("inf")])
def test_memory_that_cannot_be_is_refused(vram):
    with pytest.raises(ConfigError, match="GiB above 0"):
        plan("7b", vram)


@pytest.mark.parametrize(
    ("vram", "precision", "on_cpu"), [(8, "4bit", ["video"]), (12, "4bit", []), (16, "float16", []), (48, "float16", [])]
)
def test_without_a_precision_the_plan_is_the_one_of_the_run_time(vram, precision, on_cpu):
    found = plan("7b", vram)
    assert found.fits and found.precision == precision
    assert [row.part.name for row in found.rows if row.where == CPU] == on_cpu
    assert ("so it is loaded in 4bit" in table(found)) == (precision == "4bit")
    assert ("many times slower: video" in table(found)) == bool(on_cpu)


def test_fewer_bits_where_main_memory_is_short():
    """In 16 GiB a float16 model leaves all parts to main memory in turn; where that is full, fewer bits leave less to it."""
    roomy, short = plan("7b", 16, ram=64), plan("7b", 16, ram=8)
    assert roomy.precision == "float16" and roomy.main_memory > 16 * GIB
    assert short.precision in ("8bit", "4bit") and short.main_memory <= 8 * GIB
    assert "Main memory: " in table(roomy) and "64.0 GiB are free." in table(roomy)
    assert f"does not fit with what would wait in 8.0 GiB of free main memory, so it is loaded in {short.precision}" in table(short)
    assert "too little: close other programs" in table(plan("7b", 16, "float16", ram=8))
    assert "Main memory" not in table(plan("7b", 16))


def test_all_parts_count_on_a_cpu(tmp_path):
    preset = dataclasses.replace(load_preset("7b"), folder=tmp_path)
    (tmp_path / "imagebind").mkdir()
    tensors = {"modality_trunks.vision.a": torch.zeros(7), "modality_trunks.text.a": torch.zeros(9)}
    save_file(tensors, tmp_path / "imagebind" / "imagebind_huge.safetensors")
    parts, needed = cpu_bytes(preset, "8bit")
    assert list(parts) == ["llm", "encoder"] and parts["encoder"] == 4 * 7  # the decoders are not there
    assert 7.5e9 < parts["llm"] < 11e9 and 13e9 < needed < 14e9  # read in 16 bits before it is rounded
    assert cpu_bytes(preset, "float32")[1] > 27e9


def test_the_sizes_are_the_decoders_own():
    """A small preset is not planned as if its videos were the published ones."""
    published = {"image": Size(pixels=(512, 512)), "video": Size(pixels=(320, 576), frames=24), "audio": Size(seconds=9.0)}
    assert sizes_of(load_preset("7b")) == published
    asked = {"image": Size(pixels=(256, 256)), "video": Size(pixels=(320, 576), frames=8), "audio": Size(seconds=2.0)}
    assert sizes_of(load_preset("7b"), pixels=256, frames=8, seconds=2.0) == asked
    nano = sizes_of(load_preset("nano"))
    assert nano["image"].pixels == nano["video"].pixels == (128, 128) and nano["video"].frames == 8 and (nano["audio"].seconds or 9) < 3
    assert all(row.where == GPU for row in plan("nano", 2).rows)


def test_table_and_picture(tmp_path):
    found = plan("7b", 12, "4bit")
    lines = table(found).splitlines()
    assert len(lines) == 2 + len(found.rows) + 2
    assert "Fits: at most" in lines[-1]
    picture(found, tmp_path / "plan.png")
    with Image.open(tmp_path / "plan.png") as image:
        assert np.asarray(image).std() > 10


def test_the_plan_stays_the_same_when_imagebind_is_fetched(tmp_path):
    """The published file holds six towers, of which two are loaded."""
    preset = dataclasses.replace(load_preset("7b"), folder=tmp_path)
    before = plan(preset, 12)
    (tmp_path / "imagebind").mkdir()
    shapes = json.loads((GOLDEN / "imagebind_huge_keys.json").read_text())["keys"]
    torch.save({key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}, tmp_path / "imagebind" / "imagebind_huge.pth")
    after = plan(preset, 12)
    assert [row.where for row in after.rows] == [row.where for row in before.rows]
    counts = [next(row.part.parameters for row in one.rows if row.part.name == "encoder") for one in (before, after)]
    assert counts[0] == 719_065_088 and 0 <= counts[1] - counts[0] <= 8  # the file also has a scale or two that are no parameters


def test_sizes_come_from_the_files_that_are_there(tmp_path):
    preset = dataclasses.replace(load_preset("7b"), folder=tmp_path)
    unet = tmp_path / "stable-diffusion-v1-5" / "unet"
    unet.mkdir(parents=True)
    save_file({"a": torch.zeros(3, 5)}, unet / "diffusion_pytorch_model.safetensors")
    save_file({"a": torch.zeros(3, 5, dtype=torch.float16)}, unet / "diffusion_pytorch_model.fp16.safetensors")
    vae = tmp_path / "stable-diffusion-v1-5" / "vae"
    vae.mkdir()
    torch.save({"b": torch.zeros(7)}, vae / "diffusion_pytorch_model.bin")
    found = {part.name: part for part in parts_of(preset, precision="4bit")}
    assert found["image"].parameters == 15 + 7
    unknown = dataclasses.replace(preset, encoder=dataclasses.replace(preset.encoder, path="other"))
    with pytest.raises(ConfigError, match="fetch it first"):
        parts_of(unknown, precision="4bit")
    (tmp_path / preset.llm.path).mkdir()
    (tmp_path / preset.llm.path / "config.json").write_text(json.dumps({**architectures.VICUNA_7B, "num_hidden_layers": 1}))
    assert next(part for part in parts_of(preset, precision="float16")).parameters < 10**9
