"""Reduced precision: our 8-bit layers on the CPU, and bitsandbytes' where it is installed. Errors are stated in docs/memory.md."""

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaModel

from nextgpt_core.quantised import Int8Linear, quantise_linears


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def linear(width: int = 256, bias: bool = False) -> nn.Linear:
    torch.manual_seed(0)
    layer = nn.Linear(width, width, bias=bias)
    nn.init.normal_(layer.weight, std=0.02)
    return layer.requires_grad_(False)


def test_error_of_one_layer_is_below_one_percent():
    layer, inputs = linear(bias=True), torch.randn(7, 3, 256)
    found = Int8Linear(layer)(inputs)
    assert found.shape == (7, 3, 256) and found.dtype == inputs.dtype
    assert relative(found, layer(inputs)) < 0.01


def test_huge_features_cost_no_accuracy():
    layer, inputs = linear(), torch.randn(7, 256)
    inputs[:, 3] = 80.0
    assert relative(Int8Linear(layer)(inputs), layer(inputs)) < 0.01


def test_a_rows_result_does_not_depend_on_the_other_rows():
    layer, inputs = Int8Linear(linear()), torch.randn(9, 256)
    together = layer(inputs)
    assert all(torch.equal(layer(inputs[i : i + 1])[0], together[i]) for i in range(9))


def test_zero_rows_and_zero_weights_stay_zero():
    layer = linear()
    layer.weight[2] = 0
    quantised = Int8Linear(layer)
    assert not quantised(torch.zeros(2, 256)).any()
    assert not quantised(torch.randn(2, 256))[:, 2].any()


def tiny_llama() -> LlamaModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
    )
    return LlamaModel(config).eval().requires_grad_(False)


def test_whole_model():
    network, inputs = tiny_llama(), torch.randn(2, 11, 64)
    wanted = network(inputs_embeds=inputs).last_hidden_state
    assert quantise_linears(network) == 2 * 7
    assert not any(type(module) is nn.Linear for module in network.modules())
    assert relative(network(inputs_embeds=inputs).last_hidden_state, wanted) < 0.02


@pytest.mark.parametrize(("kind", "limit"), [("nf4", 0.12), ("int8", 0.015)])
def test_bitsandbytes_layers_of_full_width(kind, limit):
    bnb = pytest.importorskip("bitsandbytes")
    layer, inputs = linear(4096), torch.randn(3, 4096)
    if kind == "nf4":
        quantised = bnb.nn.Linear4bit(4096, 4096, bias=False, compute_dtype=torch.float32, quant_type="nf4")
        quantised.weight = bnb.nn.Params4bit(layer.weight.clone(), requires_grad=False, quant_type="nf4")
    else:
        quantised = bnb.nn.Linear8bitLt(4096, 4096, bias=False, has_fp16_weights=False)
        quantised.weight = bnb.nn.Int8Params(layer.weight.clone(), requires_grad=False, has_fp16_weights=False)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.no_grad():
        found = quantised.to(device)(inputs.to(device)).cpu().float()
    assert relative(found, layer(inputs)) < limit
