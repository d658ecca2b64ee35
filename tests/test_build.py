"""A whole tiny preset on disk: built, used, saved, loaded again; and parts that contradict each other."""

import json

import pytest
import tokenizers
import torch
from tokenizers import AddedToken, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

from nextgpt_core import build as build_module
from nextgpt_core.build import build, build_template, build_trainable
from nextgpt_core.checkpoints import save_tensors
from nextgpt_core.config import load_preset
from nextgpt_core.encoders import ENCODERS
from nextgpt_core.encoders.imagebind import ImageBind, Tower
from nextgpt_core.engine import Engine
from nextgpt_core.errors import CheckpointMismatch, CheckpointMissing, ConfigError, OutOfMemory
from nextgpt_core.llm.int8 import Int8Linear
from nextgpt_core.messages import MediaReady, Message, TurnSettings
from tests.decoders import tiny as networks
from tests.tiny import CONTROL, MeanEncoder

PRESET = {
    "name": "tiny",
    "title": "tiny",
    "encoder": {"kind": "mean", "path": "encoder", "width": 6, "tokens": {"image": 2}},
    "input_projection": {"kind": "mlp", "shared": True},
    "llm": {"path": "llm", "width": 16, "vocabulary": 260, "context": 300, "template": "chatml"},
    "lora": {"rank": 2, "alpha": 4, "targets": ["q_proj"]},
    "boundary_tokens": ["<Media>", "</Media>"],
    "outputs": {
        "image": {
            "signals": 2,
            "width": 8,
            "layers": 1,
            "condition_shape": [1, networks.WIDTH],
            "decoder": "stable_diffusion",
            "path": "image",
        }
    },
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The preset's frozen parts and its trained files."""
    monkeypatch.setitem(ENCODERS, "mean", MeanEncoder)
    (tmp_path / "preset.json").write_text(json.dumps(PRESET))
    save_language_model(tmp_path / "llm")
    networks.image_unet().save_pretrained(tmp_path / "image" / "unet")
    networks.vae().save_pretrained(tmp_path / "image" / "vae")
    (tmp_path / "image" / "scheduler").mkdir()
    (tmp_path / "image" / "scheduler" / "scheduler_config.json").write_text(json.dumps(networks.NOISE_SCHEDULE))
    (tmp_path / "image" / "decoder.json").write_text(json.dumps({"pixels": 16, "steps": 2}))
    save_tensors({"unconditional": torch.zeros(1, networks.WIDTH)}, tmp_path / "image" / "unconditional.safetensors")
    torch.manual_seed(1)
    build_trainable(load_preset(tmp_path)).save_trained(tmp_path)
    return tmp_path


def save_language_model(folder):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
    LlamaForCausalLM(LlamaConfig(vocab_size=260, **sizes)).save_pretrained(folder)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab={character: i for i, character in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in CONTROL])
    tokenizer.save(str(folder / "tokenizer.json"))


def change(folder, *path, value):
    data = json.loads((folder / "preset.json").read_text())
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (folder / "preset.json").write_text(json.dumps(data))
    return load_preset(folder)


def test_a_preset_folder_takes_a_turn(folder, tmp_path):
    engine = Engine.load(folder)
    settings = TurnSettings(seed=1, max_new_tokens=4, answer_with=frozenset({"image"}))
    events = list(engine.turn([Message("user", ("hi",))], settings, out_dir=tmp_path / "out"))
    assert [event.media.modality for event in events if isinstance(event, MediaReady)] == ["image"]


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "8bit"])
def test_another_precision_on_request(folder, tmp_path, precision):
    engine = Engine.load(folder, device="cpu", precision=precision)
    assert any(isinstance(layer, Int8Linear) for layer in engine.model.llm.modules()) == (precision == "8bit")
    assert engine.model.llm.dtype == (torch.float32 if precision == "8bit" else getattr(torch, precision))
    assert next(engine.model.decoders["image"].unet.parameters()).dtype == torch.float32
    settings = TurnSettings(seed=1, max_new_tokens=4, answer_with=frozenset({"image"}))
    events = list(engine.turn([Message("user", ("hi",))], settings, out_dir=tmp_path / "out"))
    assert [event.media.modality for event in events if isinstance(event, MediaReady)] == ["image"]


def test_a_precision_that_there_is_not(folder):
    with pytest.raises(ConfigError, match=r"llm\.precision is 'int3'"):
        Engine.load(folder, precision="int3")


def test_what_is_missing_says_which_preset_to_check(folder):
    (folder / "lora.safetensors").unlink()
    with pytest.raises(CheckpointMissing, match=rf"lora\.safetensors is not there\. `python3 launch\.py check {folder}` says"):
        build(load_preset(folder))


def test_memory_that_is_full_while_loading_is_a_sentence(folder, monkeypatch):
    def full(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    monkeypatch.setattr(build_module, "build_encoder", full)
    with pytest.raises(OutOfMemory, match="not enough memory to load tiny; close other programs"):
        build(load_preset(folder))


def test_saved_is_loaded(folder):
    first, second = build(load_preset(folder)), build(load_preset(folder))
    states, embeddings = torch.randn(2, 1, 2, 16)
    assert torch.equal(first.condition("image", states, embeddings), second.condition("image", states, embeddings))
    assert not first.llm.lora_state()  # merged


def test_decoders_may_be_left_out(folder, caplog):
    assert build(load_preset(folder), decoders=()).outputs == ()
    (folder / "image" / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert build(load_preset(folder)).outputs == ()
    assert "no image will be made" in caplog.text


@pytest.mark.parametrize("name", ["lora", "tokens", "input_projection", "output_projections"])
def test_no_trained_part_may_be_missing_or_partial(folder, name):
    path = folder / f"{name}.safetensors"
    path.unlink()
    with pytest.raises(CheckpointMissing, match=name):
        build(load_preset(folder))
    save_tensors({"other": torch.zeros(1)}, path)
    with pytest.raises(CheckpointMismatch, match="missing"):
        build(load_preset(folder))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("llm", "width"), 32, "llm.width is 32, but the part in its folder has 16"),
        (("llm", "vocabulary"), 100, "llm.vocabulary is 100"),
        (("llm", "context"), 2049, "llm.context is 2049, but the language model has 2048 positions"),
        (("llm", "precision"), "int3", "llm.precision is 'int3'; known are"),
        (("outputs", "image", "precision"), "flot16", "outputs.image.precision is 'flot16'; known are bfloat16"),
        (("input_projection", "kind"), "magic", "known are grouping, linear"),
        (("encoder", "kind"), "magic", "encoder.kind is 'magic'"),
        (("encoder", "width"), 7, None),
        (("encoder", "tokens"), {"image": 3}, "encoder.tokens.image is 3"),
        (("outputs", "image", "decoder"), "zeroscop", "known are audioldm"),
        (("outputs", "image", "condition_shape"), [1, 33], None),
    ],
)
def test_contradictions_are_refused(folder, path, value, message):
    error, text = (ConfigError, message) if message else (CheckpointMismatch, "expected")  # None: the trained projections do not fit either
    with pytest.raises(error, match=text):
        build(change(folder, *path, value=value))


def test_tiling_is_set_from_the_preset(folder):
    assert not build(load_preset(folder)).decoders["image"].vae.use_tiling
    assert build(change(folder, "outputs", "image", "tiling", value=True)).decoders["image"].vae.use_tiling


def test_legacy_is_set_from_the_preset(folder, monkeypatch):
    preset = change(folder, "encoder", "legacy", value=True)
    with pytest.raises(ConfigError, match=r"encoder\.legacy is set, and the encoder 'mean' has no such way"):
        build_module.build_encoder(preset)
    tower = {"vision": Tower(width=8, blocks=1, heads=2, patches=256, kernel=14)}
    monkeypatch.setattr("nextgpt_core.encoders.imagebind.load_imagebind", lambda path, **_: ImageBind(tower, out=6).eval())
    for legacy in (True, False):
        change(folder, "encoder", "tokens", value={"image": 1})
        change(folder, "encoder", "kind", value="imagebind")
        assert build_module.build_encoder(change(folder, "encoder", "legacy", value=legacy)).legacy == legacy


def test_the_tokenizer_of_another_model_is_refused(folder):
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "llm" / "tokenizer.json"))
    tokenizer.add_special_tokens([AddedToken("<more>", special=True)])
    tokenizer.save(str(folder / "llm" / "tokenizer.json"))
    with pytest.raises(ConfigError, match="the tokenizer has 261 tokens and the language model 260"):
        build(load_preset(folder))


def test_stretched_positions_count(folder):
    config = json.loads((folder / "llm" / "config.json").read_text())
    rope = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}
    (folder / "llm" / "config.json").write_text(json.dumps({**config, "rope_parameters": rope}))
    assert build_trainable(change(folder, "llm", "context", value=4096)).llm.positions == 4096


def test_unknown_template(folder):
    preset = change(folder, "llm", "template", value="alpaca")
    with pytest.raises(ConfigError, match="known are chatml, vicuna_v0"):
        build_template(preset, build_trainable(preset))
