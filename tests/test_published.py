"""The published layout from end to end at tiny size: convert -> check -> build -> one turn with every medium -> saved -> loaded."""

import dataclasses
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from nextgpt_core.build import build, build_template, build_trainable
from nextgpt_core.check import check
from nextgpt_core.checkpoints import read_tensors, verify_manifest
from nextgpt_core.config import Preset, load_preset
from nextgpt_core.convert import convert, published_shapes
from nextgpt_core.encoders import imagebind
from nextgpt_core.encoders.imagebind import ImageBind
from nextgpt_core.engine import Engine
from nextgpt_core.errors import CheckpointMismatch, OutOfMemory
from nextgpt_core.memory import plan
from nextgpt_core.messages import Media, MediaReady, Message, TurnDone, TurnSettings
from nextgpt_core.model import TRAINED_FILES
from tests.decoders import tiny
from tests.decoders.test_decoders import DECODERS, FOLDER_SETTINGS, write_folder
from tests.encoders.test_imagebind import TINY
from tests.golden_rules import GOLDEN

WIDTH, LAYERS, ROWS = 32, 2, 1000


@pytest.fixture
def preset(tmp_path, monkeypatch) -> Preset:
    """A folder with everything that the published preset needs, each part tiny and random, in its published form."""
    monkeypatch.setattr(imagebind, "HUGE", TINY)
    monkeypatch.setattr(imagebind, "HUGE_OUT", 24)
    real = load_preset("7b")
    folder = tmp_path / "7b"
    torch.manual_seed(0)
    (folder / real.encoder.path).mkdir(parents=True)
    torch.save(ImageBind(TINY, out=24).state_dict(), folder / real.encoder.path / "imagebind_huge.pth")
    config = LlamaConfig(vocab_size=ROWS, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=LAYERS, num_attention_heads=4)
    LlamaForCausalLM(config).save_pretrained(folder / real.llm.path)
    shutil.copy(GOLDEN / "tiny_tokenizer.model", folder / real.llm.path / "tokenizer.model")
    outputs = {}
    for modality, output in real.outputs.items():
        decoder = DECODERS[modality]()
        write_folder(folder / output.path, decoder, FOLDER_SETTINGS[modality])
        outputs[modality] = dataclasses.replace(output, width=8, layers=1, condition_shape=decoder.condition_shape, precision="float32")
    return dataclasses.replace(
        real,
        folder=folder,
        encoder=dataclasses.replace(real.encoder, width=24),
        llm=dataclasses.replace(real.llm, width=WIDTH, vocabulary=ROWS, precision="float32"),
        lora=dataclasses.replace(real.lora, rank=2),
        outputs=outputs,
    )


@pytest.fixture
def converted(preset, tmp_path) -> Preset:
    generator = torch.Generator().manual_seed(1)
    tensors = {}
    for name, shape in published_shapes(preset, LAYERS).items():
        if not name.startswith(("gen_", "llama_proj")):
            name = "llama_model.base_model.model." + ("" if name.startswith("lm_head") else "model.") + name
            name = name.replace(".weight", ".default.weight") if "lora" in name else name
        tensors[name] = (torch.randn(shape, generator=generator) * 0.1).half()
    torch.save(tensors, tmp_path / "pytorch_model.pt")
    convert(tmp_path / "pytorch_model.pt", preset)
    return preset


def one_turn(preset: Preset, folder, precision: str = "float32", device: str = "cpu"):
    model = build(dataclasses.replace(preset, llm=dataclasses.replace(preset.llm, precision=precision)), device=device)
    engine = Engine(model, build_template(preset, model), context=preset.llm.context)
    sent = tuple(
        Media(modality, GOLDEN / "media" / name)
        for modality, name in (("image", "gray_263x240.png"), ("audio", "synth_short_mono_16k.wav"), ("video", "synth_portrait_1s5.mp4"))
    )
    settings = TurnSettings(seed=3, max_new_tokens=6, answer_with=frozenset({"text", "image", "audio", "video"}), steps=2)
    folder.mkdir()
    return list(engine.turn([Message("user", (*sent, "What is this?"))], settings, out_dir=folder))


@pytest.mark.parametrize("precision", ["float32", "8bit"])
def test_convert_check_build_and_chat(converted, tmp_path, precision):
    assert {one.state for one in check(converted)} == {"ready"}
    events = one_turn(converted, tmp_path / "out", precision)
    made = {event.media.modality: event.media.path for event in events if isinstance(event, MediaReady)}
    assert set(made) == {"image", "audio", "video"} and all(path.stat().st_size for path in made.values())
    assert isinstance(events[-1], TurnDone) and len(events[-1].spans) == 3
    again = {e.media.modality: e.media.path for e in one_turn(converted, tmp_path / "again", precision) if isinstance(e, MediaReady)}
    assert all(made[name].read_bytes() == again[name].read_bytes() for name in made)


def test_placed_by_a_plan_for_the_free_memory(converted, tmp_path, monkeypatch):
    """The first core stands for a GPU: the same bytes come out, and decoders visit where memory is short."""
    needed = plan(converted, 24).peak
    wanted = {e.media.modality: e.media.path.read_bytes() for e in one_turn(converted, tmp_path / "cpu") if isinstance(e, MediaReady)}
    for name, free in (("roomy", 2 * needed), ("short", needed - 1000)):
        monkeypatch.setattr("nextgpt_core.build.free_bytes", lambda device, free=free: free)
        monkeypatch.setattr("nextgpt_core.encoders.imagebind.ImageBind.half", lambda self: self)
        events = one_turn(converted, tmp_path / name, device="cpu:0")
        assert {e.media.modality: e.media.path.read_bytes() for e in events if isinstance(e, MediaReady)} == wanted
    monkeypatch.setattr("nextgpt_core.build.free_bytes", lambda device: 2**20)
    with pytest.raises(OutOfMemory, match=r"larger GPU|--precision"):
        build(converted, device="cpu:0")


def test_saved_parts_load_to_the_same_bytes(converted, tmp_path):
    model = build_trainable(converted)
    model.load_trained(converted.folder)
    model.save_trained(tmp_path / "saved")
    for name in TRAINED_FILES.values():
        saved, before = read_tensors(tmp_path / "saved" / name), read_tensors(converted.folder / name)
        assert all(torch.equal(value, before[key]) for key, value in saved.items())
    assert verify_manifest(converted.folder) == []


def test_a_language_model_with_a_missing_tensor_is_refused(converted):
    file = converted.file(converted.llm.path) / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.norm.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointMismatch, match=r"model\.norm\.weight|norm\.weight"):
        build(converted)


def test_unconditional_is_made_once_and_kept(converted, monkeypatch):
    folder = converted.file(converted.outputs["image"].path)
    wanted = load_file(folder / "unconditional.safetensors")["unconditional"]
    (folder / "unconditional.safetensors").unlink()
    calls = []
    monkeypatch.setattr("nextgpt_core.decoders.text.encode_nothing", lambda path: calls.append(path) or wanted)
    build(converted)
    build(converted)
    assert calls == [folder]
    assert load_file(folder / "unconditional.safetensors")["unconditional"].shape == (5, tiny.WIDTH)
