"""Muon (Jordan et al. 2024): momentum whose update is orthogonalised. On small convolutional networks a step is worth about two of AdamW's.

torch.optim.Muon takes matrices only; here convolutions count as matrices [out, in * height * width], and all the rest gets AdamW.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """`lr` is AdamW's; the orthogonalised update is scaled to the same RMS (Liu et al. 2025), so that one rate and schedule serve both.

    `adam` names parameters that AdamW should move although they are matrices, e.g. embeddings and the last layer.
    """

    def __init__(
        self, module: nn.Module, *, lr: float, weight_decay: float = 0.01, momentum: float = 0.95, adam: Iterable[str] = ()
    ) -> None:
        kept = tuple(adam)
        matrices: list[Tensor] = []
        others: list[Tensor] = []
        for name, parameter in module.named_parameters():
            (others if parameter.ndim < 2 or name.startswith(kept or ("\0",)) else matrices).append(parameter)
        groups = [{"params": matrices, "muon": True, "momentum": momentum}, {"params": others, "muon": False, "betas": (0.9, 0.98)}]
        super().__init__([group for group in groups if group["params"]], {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                update = (self._muon if group["muon"] else self._adam)(parameter, parameter.grad, group)
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-group["lr"])

    def _muon(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].lerp_(gradient, 1 - group["momentum"])
        update = gradient.lerp(momentum, group["momentum"])  # Nesterov
        flat = orthogonalise(update.reshape(len(update), -1))
        return (flat * (0.2 * max(flat.shape) ** 0.5)).reshape(parameter.shape)

    def _adam(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["step"], state["first"], state["second"] = 0, torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        first, second = group["betas"]
        mean = state["first"].lerp_(gradient, 1 - first) / (1 - first ** state["step"])
        square = state["second"].lerp_(gradient.square(), 1 - second) / (1 - second ** state["step"])
        return mean / (square.sqrt() + 1e-8)


def orthogonalise(matrix: Tensor, *, steps: int = 5) -> Tensor:
    """A matrix with the same singular directions and singular values near 1 (0.7 to 1.2).

    The Newton-Schulz polynomials run on the small Gram matrix alone, which for convolutions costs a third of running them on the matrix.
    """
    a, b, c = _NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    gram = x @ x.T
    identity = torch.eye(len(gram), dtype=x.dtype, device=x.device)
    total = identity
    for _ in range(steps):
        factor = a * identity + b * gram + c * gram @ gram  # all of these commute
        total = factor @ total
        gram = factor @ gram @ factor
    x = total @ x
    return x.T if tall else x
