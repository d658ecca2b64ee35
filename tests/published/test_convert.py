"""The published file: its layout, its spellings, and what is refused."""

import dataclasses
import json
import re
import resource
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from nextgpt_core.build import assemble_around
from nextgpt_core.checkpoints import read_manifest, save_tensors, verify_manifest
from nextgpt_core.config import Preset, load_preset
from nextgpt_core.errors import CheckpointError, CheckpointMismatch, CheckpointMissing
from nextgpt_core.llm.torch_model import TorchLanguageModel
from nextgpt_core.published.convert import convert, published_shapes
from tests.golden_rules import golden_json
from tests.tiny import ByteTokenizer

WIDTH, LAYERS = 16, 2


@pytest.fixture
def preset(tmp_path) -> Preset:
    """7b with narrow parts: the published layout with small numbers."""
    real = load_preset("7b")
    (tmp_path / "preset" / "llm").mkdir(parents=True)
    llama_config(LAYERS).save_pretrained(tmp_path / "preset" / "llm")
    return dataclasses.replace(
        real,
        folder=tmp_path / "preset",
        encoder=dataclasses.replace(real.encoder, width=12),
        llm=dataclasses.replace(real.llm, path="llm", width=WIDTH, vocabulary=ByteTokenizer.size, precision="float32"),
        lora=dataclasses.replace(real.lora, rank=2),
        outputs={name: dataclasses.replace(one, width=8, layers=1, condition_shape=(3, 6)) for name, one in real.outputs.items()},
    )


def llama_config(layers: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=ByteTokenizer.size, hidden_size=WIDTH, intermediate_size=24, num_hidden_layers=layers, num_attention_heads=4
    )


def published(preset: Preset, *, spelling: str = ".default.", dtype: torch.dtype = torch.float16) -> dict[str, torch.Tensor]:
    """A random file as upstream's save_model would write it."""
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for name, shape in published_shapes(preset, LAYERS).items():
        if name.startswith("layers."):
            name = "llama_model.base_model.model.model." + re.sub(r"(lora_[AB])\.", rf"\1{spelling}", name)
        elif name == "embed_tokens.weight":
            name = "llama_model.base_model.model.model." + name
        elif name == "lm_head.weight":
            name = "llama_model.base_model.model." + name
        tensors[name] = torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype))
    return tensors


def published_ids(preset: Preset, *, as_text: bool = True) -> dict[str, int]:
    """added_tokens.json as it lies beside the published file (or as upstream's later code would write it)."""
    names = [str({token}) if as_text and token in preset.boundary_tokens else token for token in preset.added_tokens]
    return {name: preset.llm.vocabulary + index for index, name in enumerate(names)}


def write(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    torch.save(tensors, path)
    return path


def test_layout_equals_the_published_647_keys():
    shapes = published_shapes(load_preset("7b"), 32)
    theirs = {}
    for key, shape in golden_json("nextgpt_7b_tiva_v0_keys.json")["keys"].items():
        theirs[key.replace("llama_model.base_model.model.", "").removeprefix("model.").replace(".default.", ".")] = tuple(shape)
    assert len(theirs) == 647
    assert shapes == theirs


def test_token_ids_equal_the_published_ones():
    preset = load_preset("7b")
    ids = {token: preset.llm.vocabulary + index for index, token in enumerate(preset.added_tokens)}
    assert ids == golden_json("nextgpt_7b_tiva_v0_keys.json")["_meta"]["added_tokens_in_order"]


@pytest.mark.parametrize("spelling", [".default.", "."])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_convert_check_load_save_round_trip(tmp_path, preset, spelling, dtype):
    tensors = published(preset, spelling=spelling, dtype=dtype)
    manifest = convert(write(tmp_path / "pytorch_model.pt", tensors), preset)
    assert verify_manifest(preset.folder) == []
    assert read_manifest(preset.folder)["added_tokens"]["[IMG0]"] == ByteTokenizer.size + 2
    assert not [path for path in preset.folder.iterdir() if path.name.startswith(".")]

    torch.manual_seed(0)
    base = LlamaForCausalLM(llama_config(LAYERS)).eval()
    llm = TorchLanguageModel(
        base.model, tokenizer=ByteTokenizer(), added_tokens=preset.added_tokens, output_table=base.lm_head.weight.data.clone()
    )
    llm.add_lora(rank=preset.lora.rank, alpha=preset.lora.alpha, targets=preset.lora.targets)
    model = assemble_around(preset, llm)
    model.load_trained(preset.folder)
    rows = tensors["llama_model.base_model.model.model.embed_tokens.weight"].float()
    assert torch.equal(llm.embed(torch.arange(len(rows))), rows)
    states = torch.randn(1, WIDTH)
    head = tensors["llama_model.base_model.model.lm_head.weight"].float()
    torch.testing.assert_close(llm.logits(states), states @ head.T)

    again = tmp_path / "again"
    model.save_trained(again, dtype=dtype)
    for name in json.loads(manifest.read_text())["parts"]:
        saved, converted = load_file(again / name), load_file(preset.folder / name)
        assert converted.keys() == saved.keys() and all(torch.equal(saved[key], converted[key]) for key in saved)
        assert (again / name).read_bytes() == (preset.folder / name).read_bytes()


def refused(preset: Preset, path: Path, match: str) -> None:
    before = sorted(preset.folder.rglob("*"))
    with pytest.raises(CheckpointError, match=match):
        convert(path, preset)
    assert sorted(preset.folder.rglob("*")) == before  # nothing half-written


def test_stage_one_file_is_refused(tmp_path, preset):
    tensors = {key: value for key, value in published(preset).items() if "lora" not in key}
    refused(preset, write(tmp_path / "a.pt", tensors), "stage-1 or stage-2")


def test_missing_projection_is_named(tmp_path, preset):
    tensors = published(preset)
    del tensors["gen_text_hidden_fcs_video.0.query_embs"]
    tensors["extra"] = torch.zeros(1)
    refused(preset, write(tmp_path / "a.pt", tensors), r"missing gen_text_hidden_fcs_video\.0\.query_embs; unexpected extra")


def test_wrong_rows_are_refused(tmp_path, preset):
    tensors = published(preset)
    key = "llama_model.base_model.model.lm_head.weight"
    tensors[key] = tensors[key][:-1]
    refused(preset, write(tmp_path / "a.pt", tensors), r"lm_head\.weight is \[297, 16\], expected \[298, 16\]")


def test_swapped_token_order_is_refused(tmp_path, preset):
    ids = published_ids(preset)
    ids["[IMG0]"], ids["[VID0]"] = ids["[VID0]"], ids["[IMG0]"]
    (tmp_path / "added_tokens.json").write_text(json.dumps(ids))
    refused(preset, write(tmp_path / "a.pt", published(preset)), r"\[IMG0\] is 266, expected 262")
    del ids["[IMG0]"]
    (tmp_path / "added_tokens.json").write_text(json.dumps(ids))
    refused(preset, tmp_path / "a.pt", r"\[IMG0\] is missing, expected 262")
    for damaged in ("{", "[]"):
        (tmp_path / "added_tokens.json").write_text(damaged)
        refused(preset, tmp_path / "a.pt", r"added_tokens\.json cannot be read")


def test_how_the_token_order_is_known_is_written_down(tmp_path, preset, caplog):
    file = write(tmp_path / "a.pt", published(preset))
    assert read_manifest(convert(file, preset).parent)["token_order"] == "unknown"
    assert "the model itself will be asked" in caplog.text
    (tmp_path / "added_tokens.json").write_text(json.dumps(published_ids(preset)))
    assert read_manifest(convert(file, preset).parent)["token_order"] == "added_tokens.json"


def test_the_published_list_of_tokens_is_the_one_expected():
    """Of 746 bytes, as the hub says, with the boundaries called by how Python writes a set: they were words when the model was trained."""
    ids = published_ids(load_preset("7b"))
    assert ids["{'<Img>'}"] == 32000 and ids["{'</Img>'}"] == 32001 and ids["[AUD7]"] == 32037
    assert len(json.dumps(ids, indent=2, sort_keys=True, ensure_ascii=False) + "\n") == 746


@pytest.mark.parametrize("as_text", [True, False])
def test_a_model_that_read_its_boundaries_otherwise_is_refused(tmp_path, preset, as_text):
    (tmp_path / "added_tokens.json").write_text(json.dumps(published_ids(preset, as_text=not as_text)))
    preset = dataclasses.replace(preset, boundary_as_text=as_text)
    correct = "false" if as_text else "true"
    refused(preset, write(tmp_path / "a.pt", published(preset)), f'<Img> and </Img> as .*set "boundary_as_text" to {correct}')
    (tmp_path / "added_tokens.json").write_text(json.dumps(published_ids(preset, as_text=as_text)))
    convert(tmp_path / "a.pt", preset)


def test_boundaries_that_look_trained_are_a_warning_where_they_are_read_as_words(tmp_path, preset, caplog):
    tensors = published(preset, dtype=torch.float32)
    table = tensors["llama_model.base_model.model.model.embed_tokens.weight"]
    with torch.no_grad():
        rows = table[preset.llm.vocabulary :][:2]
        rows *= 0.02 / rows.std()  # as drawn, and never looked up
    convert(write(tmp_path / "a.pt", tensors), preset)
    assert "look as if they had been trained" not in caplog.text
    with torch.no_grad():
        rows += 0.01 * torch.randn(rows.shape, generator=torch.Generator().manual_seed(0))
    convert(write(tmp_path / "a.pt", tensors), dataclasses.replace(preset, boundary_as_text=False))
    assert "look as if they had been trained" not in caplog.text
    convert(tmp_path / "a.pt", preset)
    assert "rows of <Img> and </Img> look as if they had been trained (spread 0.02" in caplog.text


def test_two_spellings_at_once_are_refused(tmp_path, preset):
    refused(preset, write(tmp_path / "a.pt", published(preset) | published(preset, spelling=".")), "twice")


def test_invalid_numbers_are_refused(tmp_path, preset):
    tensors = published(preset)
    tensors["llama_proj.bias"] = tensors["llama_proj.bias"] * torch.nan
    refused(preset, write(tmp_path / "a.pt", tensors), r"llama_proj\.bias hold invalid numbers")


class Evil:
    def __reduce__(self):
        return (print, ("this must not run",))


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, preset, capsys):
    torch.save({"a": Evil()}, tmp_path / "a.pt")
    refused(preset, tmp_path / "a.pt", "could run code")
    assert capsys.readouterr().out == ""


def test_other_files_are_refused(tmp_path, preset):
    whole = write(tmp_path / "a.pt", published(preset))
    (tmp_path / "b.pt").write_bytes(whole.read_bytes()[:5000])
    refused(preset, tmp_path / "b.pt", r"b\.pt is damaged \([^.]{10,}\); fetch or copy it again")
    (tmp_path / "d.pt").write_bytes(b"")
    refused(preset, tmp_path / "d.pt", "it ends too early")
    (tmp_path / "e.pt").write_text("<html>not found</html>")
    refused(preset, tmp_path / "e.pt", "another kind of file")
    torch.save([torch.zeros(1)], tmp_path / "c.pt")
    refused(preset, tmp_path / "c.pt", "plain table")
    with pytest.raises(CheckpointMissing):
        convert(tmp_path / "none.pt", preset)


@contextmanager
def small_files(limit: int):
    """No file may become larger: what a disk does that fills up while it is written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_while_it_is_written_is_a_sentence(tmp_path):
    with small_files(1 << 20), pytest.raises(CheckpointError, match=r"large\.safetensors could not be written .*; make room"):
        save_tensors({"a": torch.zeros(1 << 20)}, tmp_path / "large.safetensors")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="could not be written"):
        save_tensors({"a": torch.zeros(1)}, tmp_path / "file" / "small.safetensors")


def test_full_disk_is_a_sentence(tmp_path, preset, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10})())
    refused(preset, write(tmp_path / "a.pt", published(preset)), "make room")


def test_manifest_finds_what_changed(tmp_path, preset):
    convert(write(tmp_path / "a.pt", published(preset)), preset)
    changed = preset.folder / "lora.safetensors"
    content = bytearray(changed.read_bytes())
    content[-1] ^= 1
    changed.write_bytes(content)
    (preset.folder / "tokens.safetensors").unlink()
    problems = verify_manifest(preset.folder)
    assert len(problems) == 2
    assert any("SHA-256" in one for one in problems) and any("not there" in one for one in problems)
    with pytest.raises(CheckpointMissing, match="convert"):
        read_manifest(tmp_path)
    (preset.folder / "manifest.json").write_text("{}")
    with pytest.raises(CheckpointMismatch, match="lists no parts"):
        read_manifest(preset.folder)
