"""The published layout from end to end at tiny size: convert -> check -> build -> one turn with every file -> saved -> loaded."""

import dataclasses
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from nextgpt_core.build import CPU_MARGIN, build, build_template, build_trainable, on_cpu, placement_for
from nextgpt_core.checkpoints import read_tensors, verify_manifest
from nextgpt_core.config import Preset, load_preset, with_precision
from nextgpt_core.encoders import imagebind
from nextgpt_core.encoders.imagebind import ImageBind
from nextgpt_core.engine import Engine
from nextgpt_core.errors import CheckpointError, CheckpointMismatch, ConfigError, OutOfMemory
from nextgpt_core.messages import Media, MediaFailed, MediaReady, Message, TurnDone, TurnSettings
from nextgpt_core.model import TRAINED_FILES
from nextgpt_core.placement.parts import cpu_bytes, language_model_part
from nextgpt_core.placement.plan import CPU, GPU, plan
from nextgpt_core.published.check import check
from nextgpt_core.published.convert import convert, published_shapes
from nextgpt_core.published.fetched_files import write_record
from tests.decoders import tiny
from tests.decoders.test_decoders import DECODERS, FOLDER_SETTINGS, write_folder
from tests.encoders.test_imagebind import TINY
from tests.golden_rules import GOLDEN

WIDTH, LAYERS, ROWS = 64, 2, 1000  # bitsandbytes works in blocks of 64


def parts(folder: Path) -> Preset:
    """A folder with everything that the published preset needs, each part tiny and random, in its published form."""
    real = load_preset("7b")
    torch.manual_seed(0)
    (folder / real.encoder.path).mkdir(parents=True)
    torch.save(ImageBind(TINY, out=24).state_dict(), folder / real.encoder.path / "imagebind_huge.pth")
    config = LlamaConfig(vocab_size=ROWS, hidden_size=WIDTH, intermediate_size=128, num_hidden_layers=LAYERS, num_attention_heads=4)
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


@pytest.fixture(scope="module")
def once_converted(tmp_path_factory: pytest.TempPathFactory) -> Preset:
    """Such a folder, converted. Tests have copies of it."""
    folder = tmp_path_factory.mktemp("converted")
    preset = parts(folder / "7b")
    generator = torch.Generator().manual_seed(1)
    tensors = {}
    for name, shape in published_shapes(preset, LAYERS).items():
        if not name.startswith(("gen_", "llama_proj")):
            name = "llama_model.base_model.model." + ("" if name.startswith("lm_head") else "model.") + name
            name = name.replace(".weight", ".default.weight") if "lora" in name else name
        tensors[name] = (torch.randn(shape, generator=generator) * 0.1).half()
    torch.save(tensors, folder / "pytorch_model.pt")
    convert(folder / "pytorch_model.pt", preset)
    return preset


@pytest.fixture
def converted(once_converted: Preset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Preset:
    monkeypatch.setattr(imagebind, "HUGE", TINY)
    monkeypatch.setattr(imagebind, "HUGE_OUT", 24)
    shutil.copytree(once_converted.folder, tmp_path / "7b")
    return dataclasses.replace(once_converted, folder=tmp_path / "7b")


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


needs_bitsandbytes = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed (requirements-7b.txt)")


@pytest.mark.parametrize("precision", ["float32", "8bit", pytest.param("4bit", marks=needs_bitsandbytes)])
def test_convert_check_build_and_chat(converted, tmp_path, precision):
    assert {one.state for one in check(converted)} == {"ready"}
    events = one_turn(converted, tmp_path / "out", precision)
    made = {event.media.modality: event.media.path for event in events if isinstance(event, MediaReady)}
    assert set(made) == {"image", "audio", "video"} and all(path.stat().st_size for path in made.values())
    assert isinstance(events[-1], TurnDone) and len(events[-1].spans) == 3
    if precision == "float32":
        again = {e.media.modality: e.media.path for e in one_turn(converted, tmp_path / "again") if isinstance(e, MediaReady)}
        assert all(made[name].read_bytes() == again[name].read_bytes() for name in made)


@needs_bitsandbytes
@pytest.mark.parametrize(
    ("precision", "device"), [("float16", "cpu:0"), ("8bit", "cpu:0"), ("4bit", "cpu:0"), ("float32", "cpu"), ("8bit", "cpu")]
)
def test_the_language_model_takes_what_the_plan_says(converted, monkeypatch, precision, device):
    """The first core stands for a GPU, where the few bits are those of bitsandbytes; what is one number per row is left out of the plan."""
    monkeypatch.setattr("nextgpt_core.build.free_bytes", lambda device: 2**40)
    monkeypatch.setattr(imagebind.ImageBindEncoder, "gpu_dtype", torch.float32)
    llm = build(converted, device=device, precision=precision, decoders=()).llm
    held = [*llm.parameters(), *(value for name, value in llm.named_buffers() if name.endswith("weight"))]
    # A CPU keeps the scales in 16 bits from its first pass on, a GPU in 32.
    blocks = sum(4 * value.quant_state.absmax.numel() for value in held if hasattr(value, "quant_state"))
    said = language_model_part(converted, precision, plain="float32" if (precision, device) == ("8bit", "cpu") else None)
    assert sum(value.nbytes for value in held) + blocks == said.weights


def test_the_published_boundaries_reach_the_prompt_as_words(converted):
    model = build(converted, decoders=())
    pieces = build_template(converted, model)([Message("user", (Media("image", GOLDEN / "media" / "gray_263x240.png"), "What is this?"))])
    ids = [i for piece in pieces for i in getattr(piece, "ids", ())]
    assert max(ids) < ROWS and tuple(ids[4:7]) == tuple(model.llm.tokenizer.encode("<Img>"))[:3]


def test_placed_by_a_plan_for_the_free_memory(converted, tmp_path, monkeypatch):
    """The first core stands for a GPU: the same bytes come out, and decoders visit where memory is short."""
    monkeypatch.setattr(imagebind.ImageBindEncoder, "gpu_dtype", torch.float32)
    needed = plan(converted, 24).peak
    wanted = {e.media.modality: e.media.path.read_bytes() for e in one_turn(converted, tmp_path / "cpu") if isinstance(e, MediaReady)}
    for name, free in (("roomy", 2 * needed), ("short", needed - 1000)):
        monkeypatch.setattr("nextgpt_core.build.free_bytes", lambda device, free=free: free)
        events = one_turn(converted, tmp_path / name, device="cpu:0")
        assert {e.media.modality: e.media.path.read_bytes() for e in events if isinstance(e, MediaReady)} == wanted
    monkeypatch.setattr("nextgpt_core.build.free_bytes", lambda device: 2**20)
    with pytest.raises(OutOfMemory, match=r"larger GPU|--precision"):
        build(converted, device="cpu:0")


def test_decoders_that_are_not_there_take_no_room(converted, monkeypatch):
    """A GPU with room for what is loaded keeps all of it, although the whole preset would not fit."""
    monkeypatch.setattr(imagebind.ImageBindEncoder, "gpu_dtype", torch.float32)
    kept = plan(converted, 24, decoders=["image"]).peak
    assert kept < plan(converted, 24).peak
    monkeypatch.setattr("nextgpt_core.build.free_bytes", lambda device: kept)
    placed = []
    monkeypatch.setattr("nextgpt_core.build.place", lambda model, where, device: placed.append(where) or model)
    build(converted, device="cpu:0", decoders=["image"])
    for modality in ("video", "audio"):
        shutil.rmtree(converted.file(converted.outputs[modality].path))
    build(converted, device="cpu:0")
    for where in placed:
        assert [row.part.name for row in where.rows] == ["llm", "projections", "encoder", "image"]
        assert all(row.where == GPU for row in where.rows)


def test_saved_parts_load_to_the_same_bytes(converted, tmp_path):
    model = build_trainable(converted)
    model.load_trained(converted.folder)
    model.save_trained(tmp_path / "saved")
    for name in TRAINED_FILES.values():
        assert (tmp_path / "saved" / name).read_bytes() == (converted.folder / name).read_bytes()
    assert "base_input" in read_tensors(tmp_path / "saved" / "tokens.safetensors")  # the published tables are not Vicuna's
    assert verify_manifest(converted.folder) == []
    again = build_trainable(converted)
    again.load_trained(tmp_path / "saved")
    ids = torch.arange(ROWS + len(converted.added_tokens))
    assert torch.equal(again.llm.embed(ids), model.llm.embed(ids))
    assert torch.equal(again.llm.logits(torch.ones(1, WIDTH)), model.llm.logits(torch.ones(1, WIDTH)))


def test_a_merged_adapter_is_not_saved_as_none(converted, tmp_path):
    with pytest.raises(CheckpointError, match="build_trainable"):
        build(converted, decoders=()).save_trained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_sixteen_bit_parts_on_a_cpu(converted):
    """A CPU computes in 32 bits, or in our own 8 where the language model would not fit that way."""
    half = {name: dataclasses.replace(output, precision="float16") for name, output in converted.outputs.items()}
    preset = dataclasses.replace(with_precision(converted, "float16"), outputs=half)
    rounded, wide = (CPU_MARGIN * cpu_bytes(preset, precision)[1] for precision in ("8bit", "float32"))
    assert on_cpu(preset, free=rounded).llm.precision == "8bit" and on_cpu(preset, free=wide).llm.precision == "float32"
    with pytest.raises(OutOfMemory, match=r"needs \d+\.\d GiB .* with a 8bit language model \(llm .*, encoder .*\), and 0\.0 are"):
        on_cpu(preset, free=0)
    with pytest.raises(OutOfMemory, match="with a float32 language model"):
        on_cpu(preset, free=rounded / 2, precision="float32")
    assert on_cpu(preset, free=rounded, decoders=()).llm.precision == "float32"  # what is left out leaves room
    model = build(preset)
    assert model.llm.dtype == torch.float32
    assert all(next(decoder.unet.parameters()).dtype == torch.float32 for decoder in model.decoders.values())


def test_a_language_model_that_does_not_fit_is_loaded_in_fewer_bits(converted, caplog):
    real = load_preset("7b")
    assert placement_for(real, 48).precision == "float16" and not caplog.text
    chosen = placement_for(real, 12)
    assert chosen.precision == "4bit" and all(row.where != CPU for row in chosen.rows)
    assert "loaded in 4bit" in caplog.text
    with pytest.raises(OutOfMemory, match="larger GPU"):
        placement_for(real, 3)


def test_a_precision_that_was_asked_for_is_kept_or_refused(caplog):
    real = load_preset("7b")
    assert placement_for(real, 48, "8bit").precision == "8bit" and not caplog.text
    with pytest.raises(OutOfMemory, match="try --precision 4bit"):
        placement_for(real, 12, "float16")


def test_few_bits_without_their_package_are_a_sentence(converted, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=rf"needs the package bitsandbytes: {re.escape(sys.executable)} -m pip install"):
        build(with_precision(converted, "4bit"))


def test_a_language_model_with_a_missing_tensor_is_refused(converted):
    file = converted.file(converted.llm.path) / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.norm.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointMismatch, match=r"model\.norm\.weight|norm\.weight"):
        build(converted)


def test_nothing_is_loaded_that_is_not_what_was_converted_or_fetched(converted):
    encoder = converted.file(converted.encoder.path)
    size = (encoder / "imagebind_huge.pth").stat().st_size
    write_record(encoder, {}, {"imagebind_huge.pth": {"bytes": size + 1, "sha256": ""}, "absent.json": {"bytes": 1, "sha256": ""}})
    with pytest.raises(CheckpointMismatch, match=r"imagebind_huge\.pth is not the file that was fetched .*launch\.py fetch"):
        build(converted)
    (encoder / "fetched.json").unlink()
    file = converted.folder / TRAINED_FILES["lora"]
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # a valid file, of other numbers
    with pytest.raises(CheckpointMismatch, match=r"lora\.safetensors is not the file that was converted"):
        build(converted)


def test_unconditional_is_made_once_and_kept(converted, monkeypatch):
    folder = converted.file(converted.outputs["image"].path)
    wanted = load_file(folder / "unconditional.safetensors")["unconditional"]
    (folder / "unconditional.safetensors").unlink()
    (folder / "text_encoder").mkdir()
    calls = []
    monkeypatch.setattr("nextgpt_core.decoders.text.encode_nothing", lambda path: calls.append(path) or wanted)
    build(converted, decoders=["image"])
    build(converted, decoders=["image"])
    assert calls == [folder]
    assert load_file(folder / "unconditional.safetensors")["unconditional"].shape == (5, tiny.WIDTH)


def test_another_text_encoder_makes_its_own_unconditional(converted, monkeypatch):
    folder = converted.file(converted.outputs["image"].path)
    encoder = folder / "text_encoder"
    encoder.mkdir()
    made = []

    def encode_nothing(path):
        made.append(load_file(encoder / "model.safetensors")["a"][-1].item())
        return torch.full((5, tiny.WIDTH), made[-1])

    monkeypatch.setattr("nextgpt_core.decoders.text.encode_nothing", encode_nothing)
    for value in (1.0, 1.0, 2.0, 2.0):
        save_file({"a": torch.full((100_000,), value)}, encoder / "model.safetensors")  # of the same length and shape
        build(converted, decoders=["image"])
        assert load_file(folder / "unconditional.safetensors")["unconditional"].unique().tolist() == [value]
    assert made == [1.0, 2.0]
    shutil.rmtree(encoder)  # it may go when it has done its work
    build(converted, decoders=["image"])
    assert made == [1.0, 2.0]


def test_a_decoder_that_is_not_whole_is_left_out_by_name(converted, tmp_path, caplog):
    """The encoding of the empty text can neither be read nor made: everything else works, and the turn says what does not."""
    (converted.file(converted.outputs["image"].path) / "unconditional.safetensors").unlink()
    states = {one.part: one for one in check(converted)}
    assert "unconditional.safetensors or text_encoder/config.json" in states[f"image decoder ({converted.outputs['image'].path})"].advice
    events = one_turn(converted, tmp_path / "out")
    assert "no image will be made" in caplog.text and "neither unconditional.safetensors nor text_encoder/" in caplog.text
    assert {event.media.modality for event in events if isinstance(event, MediaReady)} == {"video", "audio"}
    failed = [event.reason for event in events if isinstance(event, MediaFailed)]
    assert failed == ["The preset '7b' has no decoder for a picture, so none was made."]
