"""The losses of the training stages: cross-entropy and alignment as in the paper (section 4; numerics of upstream's NextGPTModel.forward),
and one of our own."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def next_token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of scores [n, V] against the tokens that follow [n]; a caller passes target positions only."""
    return F.cross_entropy(logits.float(), targets)


def alignment_loss(projected: Tensor, wanted: Tensor) -> Tensor:
    """Mean Euclidean distance (not squared) over batch and positions between conditions [b, L, D] and the decoder's own text embeddings."""
    return (projected.float() - wanted.float()).norm(dim=-1).mean()


def caption_loss(logits: Tensor, words: Sequence[Sequence[int]]) -> Tensor:
    """How badly the states inside a span foretell the words of its caption: logits [m, k, V], of m captions their tokens.

    Each state has its own part of the caption, in the caption's order (`parts_of`); within a part order does not count. Not in the paper.
    It teaches the language model to carry the caption in the states at the signal tokens, which it does by copying, long before the output
    projection has learnt to read them. With all words asked of all states, "a red apple on a blue background" was as good as a blue one on
    red.
    """
    chances = torch.log_softmax(logits.float(), dim=-1)  # [m, k, V]
    carried = [
        torch.stack([states[i, list(part)].mean() for i, part in enumerate(parts_of(ids, len(states)))]).mean()
        for states, ids in zip(chances, words, strict=True)
    ]
    return -torch.stack(carried).mean()


def parts_of(items: Sequence[int], count: int) -> list[Sequence[int]]:
    """`count` even parts of at least one item, in order; neighbours share an item where a border falls into it."""
    size = len(items)
    return [items[i * size // count : -(-(i + 1) * size // count)] for i in range(count)]
