"""Text encoders and safety checker, read from folders in the spelling that the published files have."""

import json
import shutil

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

# Of what transformers 4 wrote into every config.json, the published ones included; version 5 checks its configs strictly.
WRITTEN_BY_4 = {
    "_commit_hash": None,
    "_name_or_path": "openai/clip-vit-large-patch14",
    "add_cross_attention": False,
    "bad_words_ids": None,
    "do_sample": False,
    "exponential_decay_length_penalty": None,
    "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
    "max_length": 20,
    "num_beams": 1,
    "pruned_heads": {},
    "return_dict": True,
    "task_specific_params": None,
    "tf_legacy_loss": False,
    "torch_dtype": "float32",
    "torchscript": False,
    "transformers_version": "4.22.0.dev0",
    "typical_p": 1.0,
    "use_bfloat16": False,
}


def write_config(folder, config) -> None:
    said = {**config.to_dict(), **WRITTEN_BY_4}
    inner = {name: {**said[name], **WRITTEN_BY_4, "torch_dtype": None} for name in ("text_config", "vision_config") if name in said}
    (folder / "config.json").write_text(json.dumps({**said, **inner}))


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
    write_config(folder, config)
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


@pytest.mark.parametrize("pad", ["<|endoftext|>", "!"])
def test_nothing_is_tokenised_as_it_was_published(tmp_path, pad):
    """Stable Diffusion fills up with the end token and Zeroscope with "!"; neither folder has a tokenizer.json."""
    model = clip_folder(tmp_path)
    folder = tmp_path / "tokenizer"
    shutil.rmtree(folder)
    folder.mkdir()
    words = ["!", "a</w>", "d", "o", "g</w>", "do", "dog</w>", "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\nd o\ndo g</w>\n")
    said = {"__type": "AddedToken", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    start, end = ({**said, "content": word} for word in words[-2:])
    settings = {"add_prefix_space": False, "do_lower_case": True, "errors": "replace", "model_max_length": 7, "pad_token": pad}
    settings |= {"bos_token": start, "eos_token": end, "unk_token": end, "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with torch.no_grad():
        wanted = model(torch.tensor([[7, 8, *[words.index(pad)] * 5]])).last_hidden_state[0]
    torch.testing.assert_close(encode_nothing(tmp_path), wanted, atol=1e-6, rtol=0)


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
    write_config(folder, model.config)
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
    write_config(tmp_path, config)
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
