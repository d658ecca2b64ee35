"""Adding Vicuna's published difference to LLaMA."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from nextgpt_core.checkpoints import save_tensors
from nextgpt_core.errors import CheckpointError, CheckpointMismatch, CheckpointMissing
from nextgpt_core.published.vicuna import add_delta


def llama(seed: int, rows: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=rows, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2)
    ).half()


@pytest.fixture
def folders(tmp_path):
    base, delta = llama(0, 20), llama(1, 21)  # the difference has a padding row more
    base.save_pretrained(tmp_path / "base")
    (tmp_path / "base" / "tokenizer.model").write_bytes(b"t")
    (tmp_path / "delta").mkdir()
    tensors = delta.state_dict() | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    torch.save(tensors, tmp_path / "delta" / "pytorch_model.bin")
    return tmp_path, base.state_dict(), delta.state_dict()


def test_sum_loads_as_a_model(folders):
    path, base, delta = folders
    out = add_delta(path / "base", path / "delta", path / "vicuna")
    loaded, info = LlamaForCausalLM.from_pretrained(out, output_loading_info=True, dtype=torch.float16)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    for key, value in loaded.state_dict().items():
        assert torch.equal(value, (base[key].float() + delta[key][: len(base[key])].float()).half())
    assert (out / "tokenizer.model").exists()
    assert [entry.name for entry in path.iterdir() if entry.name.startswith(".")] == []


def test_the_sum_is_written_in_files_of_a_bounded_size(folders, monkeypatch):
    path, base, _ = folders
    monkeypatch.setattr("nextgpt_core.published.vicuna._SHARD", 1000)
    out = add_delta(path / "base", path / "delta", path / "vicuna")
    shards = sorted(out.glob("*.safetensors"))
    largest = max(value.nbytes for value in base.values())
    assert len(shards) > 3 and all(sum(value.nbytes for value in load_file(shard).values()) < 1000 + largest for shard in shards)
    _, info = LlamaForCausalLM.from_pretrained(out, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]


def test_tensors_that_own_their_memory_are_not_copied_to_be_saved(tmp_path, monkeypatch):
    table = torch.randn(10, 4)
    tensors = {"whole": torch.randn(10, 4), "start": table[:4], "end": table[4:], "again": table, "turned": table.T}
    given = {}
    monkeypatch.setattr("nextgpt_core.checkpoints.save_file", lambda out, path, metadata: (given.update(out), save_file(out, path)))
    save_tensors(tensors, tmp_path / "a.safetensors")
    assert given["whole"].data_ptr() == tensors["whole"].data_ptr()
    assert all(torch.equal(value, tensors[key]) for key, value in load_file(tmp_path / "a.safetensors").items())


def test_a_full_disk_is_a_sentence(folders, monkeypatch):
    path, _, _ = folders
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(CheckpointError, match="make room"):
        add_delta(path / "base", path / "delta", path / "vicuna")
    assert not (path / "vicuna").exists()


def test_another_models_difference_is_refused(folders):
    path, _, _ = folders
    save_file({"model.norm.weight": torch.zeros(16)}, path / "delta" / "model.safetensors")
    with pytest.raises(CheckpointMismatch, match="are in only one of them"):
        add_delta(path / "base", path / "delta", path / "vicuna")
    with pytest.raises(CheckpointMissing, match="no weights"):
        add_delta(path / "nothing", path / "delta", path / "vicuna")
    assert not (path / "vicuna").exists()
