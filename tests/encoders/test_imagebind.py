"""ImageBind against the reference data: the huge layout, a tiny model's numbers in every tower, strict loading."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from nextgpt_core.checkpoints import assemble
from nextgpt_core.encoders import imagebind
from nextgpt_core.encoders.base import Encoder
from nextgpt_core.encoders.imagebind import HUGE, HUGE_OUT, ImageBind, ImageBindEncoder, Tower, load_imagebind
from nextgpt_core.errors import CheckpointMismatch, ConfigError
from nextgpt_core.modalities.audio import AudioClip
from nextgpt_core.modalities.video import VideoClip
from tests.golden_rules import golden_input, golden_weight

GOLDEN = Path(__file__).parents[1] / "golden"
TINY = {name: dataclasses.replace(tower, width=64, blocks=2, heads=4) for name, tower in HUGE.items()}
SCALES = {"s002": 0.02, "s015": 0.15}


@pytest.fixture(scope="module")
def inputs() -> dict:
    listed = json.loads((GOLDEN / "imagebind_tiny.json").read_text())["inputs"]
    made = {name: golden_input(one["seed"], one["shape"]) for name, one in listed.items() if name != "text"}
    return made | {"text": load_file(GOLDEN / "imagebind_tiny.safetensors")["text.input_ids"]}


@pytest.fixture(scope="module", params=SCALES)
def tiny(request):
    model = ImageBind(TINY, out=32).eval()
    for name, value in model.state_dict().items():
        if value.ndim and not name.endswith(".mask"):  # scalars and the mask keep their constructor's values
            value.copy_(golden_weight(name, list(value.shape), SCALES[request.param]))
    wanted = load_file(GOLDEN / "imagebind_tiny.safetensors")
    return model, {key.removeprefix(request.param + "."): value for key, value in wanted.items() if key.startswith(request.param)}


CASES = ["image", "video", "video_b2", "audio", "audio_4d", "text", "depth", "thermal", "imu"]


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_tiny_numbers(tiny, inputs, case):
    model, wanted = tiny
    tower = {"image": "vision", "video": "vision", "video_b2": "vision", "audio_4d": "audio"}.get(case, case)
    given = inputs[case]
    clips = given.flatten(0, 1) if given.ndim >= 5 else given
    tokens = model.modality_preprocessors[tower](clips)
    mask = model.modality_preprocessors[tower].mask if tower == "text" else None
    close = {"atol": 1e-5, "rtol": 0}
    torch.testing.assert_close(tokens[:2, ::16], wanted[f"{case}.preproc_tokens_sub"], **close)
    torch.testing.assert_close(model.modality_trunks[tower](tokens, mask)[:2, ::16], wanted[f"{case}.trunk_sub"], **close)
    torch.testing.assert_close(model.per_clip(tower, clips), wanted[f"{case}.head"], **close)
    torch.testing.assert_close(model(tower, given), wanted[f"{case}.post_legacy"], **close)
    torch.testing.assert_close(model(tower, given, scaled_audio=True), wanted[f"{case}.post_imagebind"], **close)


def test_huge_has_the_published_keys_and_shapes():
    published = json.loads((GOLDEN / "imagebind_huge_keys.json").read_text())["keys"]
    with torch.device("meta"):
        model = ImageBind(HUGE, out=HUGE_OUT)
    assert len(published) == 1311
    assert {key: list(value.shape) for key, value in model.state_dict().items()} == published


def test_unwanted_towers_are_skipped_by_name_and_nothing_else_is(tmp_path, monkeypatch):
    monkeypatch.setattr(imagebind, "HUGE", TINY)
    monkeypatch.setattr(imagebind, "HUGE_OUT", 32)
    torch.manual_seed(0)
    whole = ImageBind(TINY, out=32).state_dict()
    file = tmp_path / "imagebind_huge.pth"
    torch.save(whole, file)
    loaded = load_imagebind(file, towers=("vision", "audio"))
    assert all(torch.equal(value, whole[key]) for key, value in loaded.state_dict().items())
    assert len(load_imagebind(file, towers=TINY).state_dict()) == len(whole)
    assert ImageBindEncoder.from_folder(tmp_path).width == 32

    del whole["modality_trunks.audio.blocks.1.attn.bias_k"]
    save_file(whole | {"modality_trunks.smell.weight": torch.zeros(1)}, tmp_path / "changed.safetensors")
    with pytest.raises(CheckpointMismatch, match=r"missing \S+audio.blocks.1.attn.bias_k; unexpected \S+smell.weight"):
        load_imagebind(tmp_path / "changed.safetensors", towers=("vision", "audio"))


def test_unknown_tower_is_refused():
    with pytest.raises(ConfigError, match="smell"):
        ImageBind({"smell": Tower(width=8, blocks=1, heads=1, patches=1)}, out=8)


def test_assembling_needs_every_key():
    with pytest.raises(CheckpointMismatch, match="missing"):
        assemble(lambda: ImageBind({"audio": TINY["audio"]}, out=32), {}, name="empty")


def test_encoder_takes_loaded_media():
    torch.manual_seed(0)
    encoder = ImageBindEncoder(ImageBind({name: TINY[name] for name in ("vision", "audio")}, out=32).eval())
    assert isinstance(encoder, Encoder)
    random = np.random.RandomState(0)
    media = {
        "image": random.randint(0, 255, (90, 300, 3)).astype(np.uint8),
        "audio": AudioClip(random.standard_normal(9000).astype(np.float32) / 4, 8000),
        "video": VideoClip(random.randint(0, 255, (7, 60, 40, 3)).astype(np.uint8), 4.0),
    }
    for modality, content in media.items():
        vector = encoder.encode(modality, content)
        assert vector.shape == (encoder.tokens(modality), 32) and vector.dtype == torch.float32
        assert 0.5 < float(vector.norm()) <= 1.0 + 1e-5
