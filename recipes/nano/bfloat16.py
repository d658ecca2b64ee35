"""Frozen layers in bfloat16 where the processor multiplies that faster: half the time of float32 on AMD's Zen 4, where training is bound by
these products, nearly twice the time on an Intel Xeon without AMX, and hundreds of times where it is emulated.

Everything else stays float32: norms, attention (its backward pass is slow in bfloat16 on a CPU), adapters and sums.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core.llm.language_model import LanguageModel


@cache
def half_is_faster() -> bool:
    """Whether this processor multiplies bfloat16 faster than float32. It is told by its kind, never by a timing: two runs on one machine
    compute the same whatever else it does. NEXTGPT_BFLOAT16=0 or 1 decides it by hand."""
    if said := os.environ.get("NEXTGPT_BFLOAT16"):
        return said == "1"
    if torch.cpu._is_amx_tile_supported():
        return True
    return torch.cpu._is_avx512_bf16_supported() and "AuthenticAMD" in _processor()


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8", errors="replace")[:4000] if path.is_file() else ""


def half_context() -> AbstractContextManager[None]:
    """Products in bfloat16 where that is faster; elsewhere nothing changes."""
    return torch.autocast("cpu", torch.bfloat16) if half_is_faster() else nullcontext()


def freeze_in_half(network: nn.Module) -> None:
    """Replace every frozen linear layer of `network` in place, where it pays; adapters around them stay as they are."""
    if not half_is_faster():
        return
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear and not child.weight.requires_grad and child.bias is None:
                setattr(module, name, HalfLinear(child))


def half_head(llm: LanguageModel) -> Callable[[Tensor], Tensor]:
    """`llm.logits` with the frozen table in bfloat16, where it pays; the added rows stay float32 and learn."""
    if not half_is_faster():
        return llm.logits
    table = (llm.network.embed_tokens.weight if llm.output_table is None else llm.output_table).detach()
    half, transposed = table.bfloat16(), table.T.contiguous().bfloat16()
    return lambda states: torch.cat((half_product(states, half, transposed), F.linear(states, llm.added_output)), dim=-1)


class HalfLinear(nn.Module):
    """A frozen linear layer without bias, computed in bfloat16; inputs, outputs and gradients are float32."""

    weight: Tensor
    transposed: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.register_buffer("weight", linear.weight.detach().bfloat16(), persistent=False)
        self.register_buffer("transposed", linear.weight.detach().T.contiguous().bfloat16(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return half_product(x, self.weight, self.transposed)


def half_product(x: Tensor, weight: Tensor, transposed: Tensor) -> Tensor:
    """x [..., in] times a frozen bfloat16 weight [out, in] (and its transpose, for the gradient) -> float32 [..., out]."""
    return _Product.apply(x, weight, transposed)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, transposed):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(transposed)
        return F.linear(x.bfloat16(), weight).float()

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        (transposed,) = ctx.saved_tensors
        return F.linear(gradient.bfloat16(), transposed).float(), None, None
