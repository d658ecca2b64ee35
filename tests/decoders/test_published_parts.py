"""Text encoders and safety checker, read from folders in the spelling that the published files have."""

import json

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import CLIPConfig, CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from nextgpt_core.decoders.folders import DecoderFolder
from nextgpt_core.decoders.hifigan import HifiGan
from nextgpt_core.decoders.safety import SafetyChecker
from nextgpt_core.decoders.text import encode_nothing, encode_texts
from nextgpt_core.errors import CheckpointMismatch, CheckpointMissing
from tests.decoders import tiny


def write_tokenizer(path, length: int) -> None:
    words = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1, "a": 2, "dog": 3}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", unk_token="<unk>", model_max_length=length).save_pretrained(path)


def published(tensors: dict, old: str, new: str) -> dict:
    """Keys as transformers 4 wrote them."""
    return {key if key.startswith(new) or not key.startswith(old) else new + key.removeprefix(old): value for key, value in tensors.items()}


def clip_folder(path) -> CLIPTextModel:
    torch.manual_seed(0)
    config = CLIPTextConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=10,
        max_position_embeddings=7,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    model = CLIPTextModel(config).eval()
    folder = path / "text_encoder"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    tensors = published(model.state_dict(), "", "text_model.")
    tensors["text_model.embeddings.position_ids"] = torch.arange(7)[None]
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "model.safetensors")
    write_tokenizer(path / "tokenizer", 7)
    return model


def test_clip_encodes_nothing_and_texts(tmp_path):
    model = clip_folder(tmp_path)
    with torch.no_grad():
        wanted = model(torch.zeros(1, 7, dtype=torch.long)).last_hidden_state[0]
    torch.testing.assert_close(encode_nothing(tmp_path), wanted, atol=1e-6, rtol=0)
    assert encode_texts(tmp_path, ["a dog", "a"]).shape == (2, 7, 16)


def test_clip_text_encoder_is_strict(tmp_path):
    model = clip_folder(tmp_path)
    tensors = published(model.state_dict(), "", "text_model.")
    tensors.pop("text_model.final_layer_norm.bias")
    save_file({key: value.contiguous() for key, value in tensors.items()}, tmp_path / "text_encoder" / "model.safetensors")
    with pytest.raises(CheckpointMismatch, match=r"missing .*final_layer_norm\.bias"):
        encode_nothing(tmp_path)


def test_what_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(CheckpointMissing, match=r"text_encoder/config\.json is not there"):
        encode_nothing(tmp_path)
    clip_folder(tmp_path)
    for file in (tmp_path / "tokenizer").iterdir():
        file.unlink()
    with pytest.raises(CheckpointMissing, match="holds no tokenizer"):
        encode_nothing(tmp_path)
    for part in (SafetyChecker, HifiGan):
        with pytest.raises(CheckpointMissing, match=r"config\.json is not there"):
            part.from_folder(tmp_path)


def test_clap_vector_is_normalised(tmp_path):
    model = tiny.clap()
    folder = tmp_path / "text_encoder"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(model.config.to_dict()))
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / "model.safetensors")
    write_tokenizer(tmp_path / "tokenizer", 12)
    encoded = encode_nothing(tmp_path)
    assert encoded.shape == (1, tiny.WIDTH)
    assert torch.allclose(encoded.norm(), torch.tensor(1.0))


@pytest.mark.parametrize("threshold", [-2.0, 2.0])
def test_safety_checker_in_published_spelling(tmp_path, threshold):
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(vision_config={**small, "image_size": 28, "patch_size": 14}, text_config=small, projection_dim=8)
    model = StableDiffusionSafetyChecker(config)
    with torch.no_grad():
        model.concept_embeds_weights.fill_(threshold)  # cosine similarities lie between: all or nothing is flagged
    tensors = published(model.state_dict(), "vision_model.", "vision_model.vision_model.")
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    save_file({key: value.contiguous() for key, value in tensors.items()}, tmp_path / "model.safetensors")
    picture = np.random.RandomState(0).randint(0, 255, (40, 60, 3)).astype(np.uint8)
    assert SafetyChecker.from_folder(tmp_path)(picture) == (threshold > 1)


def test_safety_checker_is_on_unless_a_person_switches_it_off(tmp_path):
    def check(**settings):
        (tmp_path / "decoder.json").write_text(json.dumps(settings))
        return DecoderFolder(tmp_path, defaults={}, dtype=torch.float32).safety_check()

    assert check() is None  # bundled decoders have none
    (tmp_path / "model_index.json").write_text(json.dumps({"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"]}))
    with pytest.raises(CheckpointMissing, match=r'safety_checker is not there; fetch it, or say "safety": false'):
        check()
    assert check(safety=False) is None
    (tmp_path / "model_index.json").unlink()
    (tmp_path / "safety_checker").mkdir()
    with pytest.raises(CheckpointMissing, match=r"safety_checker/config\.json is not there"):  # found without being named, and read
        check()
