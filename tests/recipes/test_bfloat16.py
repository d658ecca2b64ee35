"""Frozen layers in bfloat16: near to float32, and chosen by the processor's kind alone."""

import pytest
import torch

from recipes.nano import bfloat16
from recipes.nano.bfloat16 import freeze_in_half, half_head
from tests import golden_model as golden


def test_frozen_layers_in_half_precision_stay_close(monkeypatch):
    monkeypatch.setattr(bfloat16, "half_is_faster", lambda: True)  # else nothing would be compared where it is not
    model = golden.golden_model()
    ids = torch.randint(0, 900, (2, 12), generator=torch.Generator().manual_seed(0))
    states = model.llm(model.llm.embed(ids))
    logits = model.llm.logits(states)
    head = half_head(model.llm)
    freeze_in_half(model.llm.network)
    assert any(isinstance(module, bfloat16.HalfLinear) for module in model.llm.network.modules())
    assert (model.llm(model.llm.embed(ids)) - states).norm() < 0.02 * states.norm()
    assert (head(states) - logits).norm() < 0.02 * logits.norm()


@pytest.mark.parametrize(
    ("amx", "avx512", "maker", "said", "faster"),
    [
        (True, True, "GenuineIntel", "", True),
        (False, True, "GenuineIntel", "", False),
        (False, True, "AuthenticAMD", "", True),
        (False, False, "AuthenticAMD", "", False),
        (True, True, "GenuineIntel", "0", False),
        (False, False, "GenuineIntel", "1", True),
    ],
)
def test_the_processor_decides_and_no_timing(monkeypatch, amx, avx512, maker, said, faster):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(bfloat16, "_processor", lambda: maker)
    monkeypatch.setenv("NEXTGPT_BFLOAT16", said)
    assert bfloat16.half_is_faster.__wrapped__() is faster
