"""A language model's linear layers in 8 bits on the CPU: a quarter of the memory of float32, and one-row passes many times faster.

Weights are rounded per output row. Activations are split into two 8-bit planes (a coarse one and its remainder), so that the few huge
features of 7B models (Dettmers et al. 2022) cost no accuracy. Integer products are exact, so a row's result does not depend on which
other rows share its pass: a span of tokens in one pass equals token by token.
"""

import torch
from torch import Tensor, nn

_LEVELS = 127


class Int8Linear(nn.Module):
    """Stands in for nn.Linear; inference only."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach().float()
        scale = (weight.abs().amax(dim=1) / _LEVELS).clamp(min=torch.finfo(torch.float32).tiny)
        self.register_buffer("weight", (weight / scale[:, None]).round().to(torch.int8))  # [out, in]
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().float())

    def forward(self, inputs: Tensor) -> Tensor:
        rows = inputs.reshape(-1, self.in_features).float()
        step = (rows.abs().amax(dim=1, keepdim=True) / _LEVELS).clamp(min=torch.finfo(torch.float32).tiny)
        coarse = (rows / step).round()
        # The remainder is at most half a step: in units of 1/254 of a step it fills the 8 bits again.
        fine = ((rows / step - coarse) * (2 * _LEVELS)).round()
        if len(rows) == 1:  # a product with a single row is much the fastest, even twice
            high, low = (torch._int_mm(plane.to(torch.int8), self.weight.t()).float() for plane in (coarse, fine))
        else:
            planes = torch.cat([coarse, fine]).to(torch.int8)
            high, low = torch._int_mm(self.weight, planes.t()).t().float().chunk(2)  # int32, exact, in whichever order
        out = (high + low / (2 * _LEVELS)) * step * self.scale
        if self.bias is not None:
            out = out + self.bias
        return out.to(inputs.dtype).reshape(*inputs.shape[:-1], self.out_features)


def quantize_linears(module: nn.Module) -> int:
    """Replace every nn.Linear below `module`, one after the other, so that the float weights are freed as it goes -> how many."""
    count = 0
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:
                setattr(parent, name, Int8Linear(child))
                count += 1
    return count
