"""Reduced precision: our 8-bit layers on the CPU, and bitsandbytes' where it is installed. Errors are stated in docs/memory.md."""

import copy
from functools import cache

import pytest
import torch
from torch import nn

from benchmarks import precision
from nextgpt_core.llm.int8 import Int8Linear, quantize_linears


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
    quantized = Int8Linear(layer)
    assert not quantized(torch.zeros(2, 256)).any()
    assert not quantized(torch.randn(2, 256))[:, 2].any()


# The errors that docs/memory.md states, and a little more: of one full-width layer, and of the tiny golden model.
LIMITS = {
    "float16": (0.0015, 0.001),
    "bfloat16": (0.009, 0.008),
    "8 bits, ours (CPU)": (0.02, 0.009),
    "8 bits, bitsandbytes": (0.02, 0.009),
    "4 bits (NF4), bitsandbytes": (0.18, 0.13),
}


NETWORKS = {"full width": cache(precision.full_width), "tiny": cache(precision.tiny)}


@pytest.mark.parametrize("way", precision.WAYS)
@pytest.mark.parametrize("size", [pytest.param("full width", marks=pytest.mark.slow), "tiny"])
def test_errors_are_those_that_are_stated(way, size):
    if "bitsandbytes" in way:
        pytest.importorskip("bitsandbytes")
    found = precision.error(precision.WAYS[way], *copy.deepcopy(NETWORKS[size]()))
    limit = LIMITS[way][size == "tiny"]
    assert limit / 4 < found < limit  # an error that is too small would mean that nothing was rounded


def test_no_linear_layer_is_left_out():
    network = copy.deepcopy(NETWORKS["tiny"]()[0])
    linears = sum(type(module) is nn.Linear for module in network.modules())
    assert quantize_linears(network) == linears > 0
    assert not any(type(module) is nn.Linear for module in network.modules())
