"""Dialogues -> padded batches, through the same template that answers users: what is trained is exactly what is run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nextgpt_core.messages import Media, Message
from nextgpt_core.prompt import Template, Words

IGNORED = -100


@dataclass(frozen=True)
class Placed:
    """Vectors that belong to a place of a sample: a sent file's features [N, D], or a made file's wanted condition [L, D]."""

    position: int
    modality: str
    vectors: Tensor
    words: tuple[int, ...] = ()  # tokens of a made file's caption


@dataclass(frozen=True)
class Sample:
    """One dialogue: ids [n] (0 where a file's vectors stand), and for every position the token to be written there, or IGNORED."""

    ids: Tensor
    targets: Tensor
    media: tuple[Placed, ...]
    spans: tuple[Placed, ...]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Group:
    """All media (or spans) of one modality in a batch: sample and position of each [m], vectors [m, ., .], captions' tokens."""

    rows: Tensor
    positions: Tensor
    vectors: Tensor
    words: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Batch:
    """Samples padded on the right: ids and targets [b, n]; media and spans by modality."""

    ids: Tensor
    targets: Tensor
    media: dict[str, Group]
    spans: dict[str, Group]


def encode_dialogue(
    messages: Sequence[Message],
    *,
    template: Template,
    signals: dict[str, tuple[int, ...]],
    features: Callable[[Media], Tensor],
    conditions: Callable[[Media], Tensor],
    vectors_of: Callable[[str], int],
    words: Callable[[Media], tuple[int, ...]] = lambda media: (),
) -> Sample:
    """A whole dialogue -> sample. `features` gives a sent file's encoder vectors [N, D], `conditions` what a made one was to be [L, D];
    `vectors_of` how many positions a file of a modality takes in the prompt, `words` the tokens of a made file's caption.

    Of a span only the first token is a target: decoding appends the others by itself, and their states are free to carry the caption.
    """
    ids: list[int] = []
    targets: list[int] = []
    media: list[Placed] = []
    spans: list[Placed] = []
    made = iter([file for message in messages if message.role == "assistant" for file in message.media])
    first = {span[0]: modality for modality, span in signals.items()}
    for piece in template(messages, open_answer=False):
        if isinstance(piece, Words):
            span = piece.answer and bool(piece.ids) and piece.ids[0] in first
            if span:
                file = next(made)
                spans.append(Placed(len(ids), file.modality, conditions(file), words(file)))
            ids += piece.ids
            known = 1 if span else len(piece.ids) if piece.answer else 0  # how many of them the assistant chooses
            targets += [*piece.ids[:known], *[IGNORED] * (len(piece.ids) - known)]
        else:
            count = vectors_of(piece.modality)
            media.append(Placed(len(ids), piece.modality, features(piece)))
            ids += [0] * count
            targets += [IGNORED] * count
    return Sample(torch.tensor(ids), torch.tensor(targets), tuple(media), tuple(spans))


def collate(samples: Sequence[Sample]) -> Batch:
    """Pad on the right; attention is causal, so padding needs no mask."""
    longest = max(len(sample) for sample in samples)
    ids = torch.zeros(len(samples), longest, dtype=torch.long)
    targets = torch.full((len(samples), longest), IGNORED)
    for row, sample in enumerate(samples):
        ids[row, : len(sample)] = sample.ids
        targets[row, : len(sample)] = sample.targets
    return Batch(ids, targets, _grouped([sample.media for sample in samples]), _grouped([sample.spans for sample in samples]))


def bucketed(samples: Sequence[Sample], *, positions: int, seed: int, window: int = 512) -> Iterator[list[Sample]]:
    """Every sample once, in batches of at most `positions` padded positions; lengths are alike within a batch, order is random."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(samples), generator=generator).tolist()
    batches: list[list[Sample]] = []
    for begin in range(0, len(order), window):
        batch: list[Sample] = []
        for i in sorted(order[begin : begin + window], key=lambda i: len(samples[i])):
            if batch and (len(batch) + 1) * len(samples[i]) > positions:
                batches.append(batch)
                batch = []
            batch.append(samples[i])
        batches.append(batch)
    for i in torch.randperm(len(batches), generator=generator).tolist():
        yield batches[i]


def _grouped(placed: Sequence[Sequence[Placed]]) -> dict[str, Group]:
    found: dict[str, list[tuple[int, Placed]]] = {}
    for row, items in enumerate(placed):
        for item in items:
            found.setdefault(item.modality, []).append((row, item))
    return {
        modality: Group(
            torch.tensor([row for row, _ in items]),
            torch.tensor([item.position for _, item in items]),
            torch.stack([item.vectors for _, item in items]).float(),
            tuple(item.words for _, item in items),
        )
        for modality, items in found.items()
    }
