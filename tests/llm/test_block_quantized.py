import pytest
import torch

from nextgpt_core.checkpoints import save_tensors
from nextgpt_core.errors import CheckpointMismatch, CheckpointMissing
from nextgpt_core.llm.block_quantized import read_block_quantized


def test_unpacks_both_layouts(tmp_path):
    quants = torch.tensor([[1 | (2 << 4)] * 16])  # elements 0-15 are 1, elements 16-31 are 2
    save_tensors(
        {
            "a.weight.q4": quants.to(torch.uint8),
            "a.weight.scale": torch.tensor([[0.5]]).half(),
            "a.weight.minimum": torch.tensor([[-1.0]]).half(),
            "b.weight.q8": torch.arange(-32, 32, dtype=torch.int8).view(2, 32),
            "b.weight.scale": torch.tensor([[0.25], [2.0]]).half(),
            "norm.weight": torch.ones(3),
        },
        tmp_path / "x.safetensors",
    )
    weights = read_block_quantized([tmp_path / "x.safetensors"])
    assert set(weights) == {"a.weight", "b.weight", "norm.weight"}
    assert weights["a.weight"].tolist() == [[-0.5] * 16 + [0.0] * 16]
    assert weights["b.weight"][0, 0] == -8.0 and weights["b.weight"][1, 31] == 62.0
    assert weights["b.weight"].dtype == torch.float32


def test_names_what_is_missing(tmp_path):
    save_tensors({"a.q4": torch.zeros(1, 16, dtype=torch.uint8), "a.scale": torch.zeros(1, 1).half()}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointMismatch, match=r"a\.minimum"):
        read_block_quantized([tmp_path / "x.safetensors"])
    with pytest.raises(CheckpointMissing):
        read_block_quantized([tmp_path / "absent.safetensors"])
