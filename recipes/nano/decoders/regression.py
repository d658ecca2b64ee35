"""Trains the regression half of a decoder (decoders/regression.py) and gives the residual that is left for its U-Net to learn."""

import logging
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from nextgpt_core.decoders.regression import ConditionalMean, Mean
from nextgpt_core.train.schedules import trapezoid
from nextgpt_core.train.session import Budget, Session
from recipes.nano.bfloat16 import half_context
from recipes.nano.decoders.unet import LatentSet, whitening

log = logging.getLogger(__name__)

_BATCH = 256
_CONDITION_NOISE = 0.3  # on elements of unit variance


def train_mean(
    data: LatentSet, *, run: Path, cpu_minutes: float, width: int = 1024, depth: int = 2, peak: float = 1e-3, seed: int = 0
) -> ConditionalMean:
    """Least squares from conditions, as the output projection gives them, to latents; resumes from `run`."""
    torch.manual_seed(seed)
    mean = ConditionalMean(condition=data.conditions.shape[1], shape=tuple(data.latents.shape[1:]), width=width, depth=depth)
    see_decorrelated(mean, data.conditions.float())
    optimizer = torch.optim.AdamW(mean.parameters(), lr=peak, weight_decay=1e-3)
    session = Session(run, budget=Budget(cpu_seconds=cpu_minutes * 60), state={"mean": mean, "optimizer": optimizer})
    generator = torch.Generator().manual_seed(seed + session.step)
    losses: list[float] = []
    for step in session.steps():
        for group in optimizer.param_groups:
            group["lr"] = peak * trapezoid(session.progress, cooldown=0.9)
        rows = torch.multinomial(data.weights, _BATCH, replacement=True, generator=generator)
        with half_context():
            made = mean(data.seen(rows, generator, noise=_CONDITION_NOISE))
        loss = (made.float() - data.latents[rows].float()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % 100 == 99:
            session.log(loss=sum(losses) / len(losses))
            losses.clear()
    return mean.eval().requires_grad_(False)


@torch.no_grad()
def see_decorrelated(mean: ConditionalMean, conditions: Tensor) -> None:
    """First weights by which a network begins with decorrelated conditions, and with zeros."""
    matrix, centre = whitening(conditions)
    mean.inner.weight.copy_(mean.inner.weight @ matrix)
    mean.inner.bias.copy_(-mean.inner.weight @ centre)
    torch.nn.init.zeros_(mean.outer.weight)


@torch.inference_mode()
def residual(mean: Mean, data: LatentSet, *, count: int = 8192, batch: int = 256) -> LatentSet:
    """What the mean leaves of the latents, at unit variance; sets `mean.scale` to what was divided by. Of a large set up to `count` rows
    are drawn by their weights: minutes of a U-Net see no more."""
    if len(data.latents) > count:
        data = data.drawn(count)
    starts = range(0, len(data.latents), batch)
    parts = [data.latents[i : i + batch].float() - mean(data.best(slice(i, i + batch))) for i in starts]
    left = torch.cat(parts)
    share = data.weights / data.weights.sum()
    mean.scale.copy_((left.square().flatten(1).mean(1) * share).sum().sqrt())
    log.info("the mean leaves %.3f of the deviation", float(mean.scale))
    return replace(data, latents=(left / mean.scale).half())
