"""The one training loop of all stages: resumable, bounded, logged."""

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from nextgpt_core.model import NextGPT
from nextgpt_core.train.data import IGNORED, Batch, Group
from nextgpt_core.train.losses import alignment_loss, caption_loss, next_token_loss
from nextgpt_core.train.parallel import average_gradients, share_from_first
from nextgpt_core.train.schedules import cosine
from nextgpt_core.train.session import Budget, Session
from nextgpt_core.train.stages import Stage

WEIGHTS = ("next_token", "alignment", "caption")  # losses, and the names of their weights in a Stage

Head = Callable[[Tensor], Tensor]
Project = Callable[[str, Tensor], Tensor]
Losses = dict[str, Tensor]


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
    learning = parameters_of(model, stage)
    everything = [parameter for group in learning.values() for parameter in group]
    groups = [{"params": learning[part], "lr": rate, "peak": rate} for part, rate in stage.rates.items()]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), weight_decay=stage.decay)
    session = Session(
        folder,
        budget=budget,
        state={"parts": _Trained(model, stage.rates), "optimizer": optimizer},
        columns=(*WEIGHTS, "norm"),
        save_every=save_every,
        on_save=None if on_save is None else lambda: on_save(model),
    )
    share_from_first(everything)
    for step in session.steps():
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * cosine(session.progress, warmup=stage.warmup)
        losses = losses_of(step)
        loss = torch.stack([getattr(stage, name) * value for name, value in losses.items()]).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(everything)
        norm = nn.utils.clip_grad_norm_(everything, stage.clip)
        optimizer.step()
        session.log(**{name: value.item() for name, value in losses.items()}, norm=norm.item())


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


class _Trained:
    """The parts of a model that a stage trains, as something that can be saved and restored."""

    def __init__(self, model: NextGPT, parts: Iterable[str]) -> None:
        self._parts = {part: list(model.trained_state(part).values()) for part in parts}

    def state_dict(self) -> dict[str, list[Tensor]]:
        return self._parts

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        for part, values in self._parts.items():
            for value, stored in zip(values, state[part], strict=True):
                value.copy_(stored)
