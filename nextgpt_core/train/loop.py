"""The one training loop of all stages: resumable, bounded, logged."""

import csv
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nextgpt_core.model import NextGPT
from nextgpt_core.train.data import IGNORED, Batch, Group
from nextgpt_core.train.losses import alignment_loss, caption_loss, next_token_loss
from nextgpt_core.train.parallel import average_gradients, furthest, rank, share_from_first
from nextgpt_core.train.stages import Stage

log = logging.getLogger(__name__)
FLOOR = 0.05  # the rates end at this share of their peak
STATE_FILE = "state.pt"

Head = Callable[[Tensor], Tensor]
Project = Callable[[str, Tensor], Tensor]
Losses = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A stage ends at the first of these limits. CPU seconds count over restarts."""

    steps: int | None = None
    cpu_seconds: float | None = None

    def used(self, step: int, seconds: float) -> float:
        """The share of the budget that is used up, 0 to 1."""
        shares = [step / self.steps] if self.steps else []
        shares += [seconds / self.cpu_seconds] if self.cpu_seconds else []
        return min(1.0, max(shares, default=1.0))


def train(
    model: NextGPT,
    stage: Stage,
    losses_of: Callable[[int], Losses],
    *,
    folder: Path,
    budget: Budget,
    save_every: float = 240.0,
    on_save: Callable[[NextGPT], None] | None = None,
) -> None:
    """Train the parts that `stage` names until the budget is used up, going on from `folder`'s state if there is one.

    `losses_of` gives the losses of a step (`batch_losses`, most of the time) and must depend on the step and the weights alone, so that a
    resumed run equals an uninterrupted one. `folder` gets state.pt (every `save_every` CPU seconds; `on_save` follows) and log.csv.
    In parallel processes (parallel.py) all learn the same from what each of them sees, and the first one writes.
    """
    parts = {part: list(model.trained_state(part).values()) for part in stage.rates}
    learning = parameters_of(model, stage)
    everything = [parameter for group in learning.values() for parameter in group]
    writes = rank() == 0
    groups = [{"params": learning[part], "lr": rate, "peak": rate} for part, rate in stage.rates.items()]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), weight_decay=stage.decay)
    step, before = _restore(folder, parts, optimizer)
    share_from_first(everything)
    started = saved = time.process_time()

    def seconds() -> float:
        return before + time.process_time() - started

    while (used := furthest(budget.used(step, seconds()))) < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * schedule(used, warmup=stage.warmup)
        losses = losses_of(step)
        weights = {"next_token": stage.next_token, "alignment": stage.alignment, "caption": stage.caption}
        loss = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(everything)
        norm = nn.utils.clip_grad_norm_(everything, stage.clip)
        optimizer.step()
        if writes:
            _log(folder / "log.csv", step, seconds(), {name: value.item() for name, value in losses.items()} | {"norm": norm.item()})
        step += 1
        if writes and time.process_time() - saved > save_every:
            _save(folder, parts, optimizer, step, seconds())
            saved = time.process_time()
            if on_save is not None:
                on_save(model)
    if writes:
        _save(folder, parts, optimizer, step, seconds())
        if on_save is not None:
            on_save(model)


def parameters_of(model: NextGPT, stage: Stage) -> dict[str, list[nn.Parameter]]:
    """Make exactly the stage's parts trainable, and give their parameters."""
    model.requires_grad_(False)
    wanted: dict[str, list[nn.Parameter]] = {}
    for part in stage.rates:
        names = model.trained_state(part).values()
        pointers = {value.data_ptr() for value in names}
        wanted[part] = [parameter for parameter in model.parameters() if parameter.data_ptr() in pointers]
        for parameter in wanted[part]:
            parameter.requires_grad_(True)
    return wanted


def batch_losses(model: NextGPT, batch: Batch, states: Tensor, *, head: Head | None = None) -> Losses:
    """`next_token` over everything the assistant writes; `alignment` and (where captions are known) `caption` over the media it makes.

    `states` [b, n, d] are the last-layer states of the batch; `head` replaces the language model's logits.
    """
    follows = batch.targets[:, 1:] != IGNORED  # the state at t - 1 predicts the token at t
    logits = (head or model.llm.logits)(states[:, :-1][follows])
    losses = {"next_token": next_token_loss(logits, batch.targets[:, 1:][follows])}
    distances = [alignment_loss(span_conditions(model, states, modality, group), group.vectors) for modality, group in batch.spans.items()]
    if distances:
        sizes = torch.tensor([float(len(group.rows)) for group in batch.spans.values()])
        losses["alignment"] = (torch.stack(distances) * sizes).sum() / sizes.sum()
    carried = [
        caption_loss((head or model.llm.logits)(span_states(model, states, modality, group)[:, :-1]), group.words)
        for modality, group in batch.spans.items()
        if group.words and all(group.words)
    ]
    if carried:
        losses["caption"] = torch.stack(carried).mean()
    return losses


def batch_embeddings(model: NextGPT, batch: Batch, *, noise: float = 0.0, seed: int = 0, project: Project | None = None) -> Tensor:
    """Input embeddings [b, n, d] with the projected media in their places; `noise` is the deviation of what is added to their features.

    `project` replaces the model's input projection: (modality, features [m, N, D]) -> [m, M, d].
    """
    embeddings = model.llm.embed(batch.ids)
    generator = torch.Generator().manual_seed(seed)
    for modality, group in batch.media.items():
        features = group.vectors + noise * torch.randn(group.vectors.shape, generator=generator) if noise else group.vectors
        projected = (project or model.input_projection)(modality, features)  # [m, M, d]
        places = group.positions[:, None] + torch.arange(projected.shape[1])
        embeddings = embeddings.index_put((group.rows[:, None].expand_as(places), places), projected)
    return embeddings


def span_states(model: NextGPT, states: Tensor, modality: str, group: Group) -> Tensor:
    """The states at the signal tokens of these spans [m, k, d]: exactly the positions that decoding hands to the output projection."""
    places = group.positions[:, None] + torch.arange(len(model.signals[modality]))
    return states[group.rows[:, None], places]


def span_conditions(model: NextGPT, states: Tensor, modality: str, group: Group) -> Tensor:
    """Projected conditions of these spans [m, L, D]."""
    embeddings = model.llm.embed(torch.tensor(model.signals[modality])).expand(len(group.rows), -1, -1)
    return model.condition(modality, span_states(model, states, modality, group), embeddings)


def schedule(used: float, *, warmup: float) -> float:
    """Linear warm-up, then a half cosine down to FLOOR."""
    if used < warmup:
        return max(used / warmup, 0.01)
    return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * (used - warmup) / (1 - warmup)))


def _restore(folder: Path, parts: dict[str, list[Tensor]], optimizer: torch.optim.Optimizer) -> tuple[int, float]:
    path = folder / STATE_FILE
    if not path.is_file():
        return 0, 0.0
    state: dict[str, Any] = torch.load(path, weights_only=True)
    with torch.no_grad():
        for part, values in parts.items():
            for value, stored in zip(values, state["parts"][part]):
                value.copy_(stored)
    optimizer.load_state_dict(state["optimizer"])
    log.info("going on from step %d of %s", state["step"], folder)
    return state["step"], state["seconds"]


def _save(folder: Path, parts: dict[str, list[Tensor]], optimizer: torch.optim.Optimizer, step: int, seconds: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = {"parts": parts, "optimizer": optimizer.state_dict(), "step": step, "seconds": seconds}
    torch.save(state, folder / "state.partial")
    (folder / "state.partial").replace(folder / STATE_FILE)


def _log(path: Path, step: int, seconds: float, values: dict[str, float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    names = ("next_token", "alignment", "caption", "norm")
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(("step", "cpu_seconds", *names))
        writer.writerow((step, round(seconds, 1), *(round(values[name], 4) if name in values else "" for name in names)))
