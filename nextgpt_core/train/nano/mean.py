"""Trains the regression half of a decoder (decoders/mean.py) and gives the residual that is left for its U-Net to learn."""

import logging
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from nextgpt_core.decoders.mean import ConditionalMean
from nextgpt_core.train.half import half_context
from nextgpt_core.train.nano.denoiser import LatentSet, whitening
from nextgpt_core.train.nano.session import Session, learning_rate

log = logging.getLogger(__name__)

_BATCH = 256
_CONDITION_NOISE = 0.3  # on elements of unit variance


def train_mean(
    data: LatentSet,
    *,
    run: Path,
    cpu_minutes: float,
    width: int = 1024,
    depth: int = 2,
    peak: float = 1e-3,
    seed: int = 0,
    plain: Tensor | None = None,
    arranger: tuple[int, int] = (256, 4),
) -> ConditionalMean:
    """Least squares from conditions, as the output projection gives them, to latents; resumes from `run`.

    `plain` [n] gives for every row the row of the same thing by itself: then the MLP learns only those, and an arranger the rest.
    """
    torch.manual_seed(seed)
    shape = tuple(data.latents.shape[1:])
    mean = ConditionalMean(
        condition=data.conditions.shape[1], shape=shape, width=width, depth=depth, arranger=None if plain is None else arranger
    )
    torch.nn.init.zeros_(mean.outer.weight)
    with torch.no_grad():  # begins with decorrelated conditions
        matrix, centre = whitening(data.conditions.float())
        for inner in (mean.inner, *([] if mean.arranger is None else [mean.arranger.told[0]])):
            inner.weight.copy_(inner.weight @ matrix)
            inner.bias.copy_(-inner.weight @ centre)
    optimizer = torch.optim.AdamW(mean.parameters(), lr=peak, weight_decay=1e-3)
    session = Session(run, cpu_seconds=cpu_minutes * 60, state={"mean": mean, "optimizer": optimizer})
    generator = torch.Generator().manual_seed(seed + session.step)
    losses: list[float] = []
    for step in session.steps():
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(session.progress, peak=peak, cooldown=0.9)
        rows = torch.multinomial(data.weights, _BATCH, replacement=True, generator=generator)
        conditions = data.seen(rows, generator, noise=_CONDITION_NOISE)
        with half_context():
            made = mean(conditions) if plain is None else mean.plain(conditions)
        wanted = data.latents[rows].float()
        loss = (made.float() - wanted).square().mean()
        if plain is not None and mean.arranger is not None:
            alone = data.latents[plain[rows]].float()
            known = torch.rand(len(rows), generator=generator) < 0.5  # else as the MLP has it so far
            given = torch.where(known[:, None, None, None], alone, made.detach().float())
            loss = (mean.arranger(given, conditions) - wanted).square().mean() + (made.float() - alone).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % 100 == 99:
            session.log(loss=sum(losses) / len(losses))
            losses.clear()
    return mean.eval().requires_grad_(False)


@torch.inference_mode()
def residual(mean: ConditionalMean, data: LatentSet, *, batch: int = 256) -> LatentSet:
    """What the mean leaves of the latents, at unit variance; sets `mean.scale` to what was divided by."""
    starts = range(0, len(data.latents), batch)
    parts = [data.latents[i : i + batch].float() - mean(data.best(slice(i, i + batch))) for i in starts]
    left = torch.cat(parts)
    share = data.weights / data.weights.sum()
    mean.scale.copy_((left.square().flatten(1).mean(1) * share).sum().sqrt())
    log.info("the mean leaves %.3f of the deviation", float(mean.scale))
    return replace(data, latents=(left / mean.scale).half())
