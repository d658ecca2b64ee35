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
    """How badly the states inside a span foretell its caption's words in any order: mean -log p of logits [m, k, V] over them.

    Not in the paper. It teaches the language model to carry the caption in the states at the signal tokens, which it does by copying, long
    before the output projection has learnt to read them.
    """
    chances = torch.log_softmax(logits.float(), dim=-1).mean(1)  # [m, V]
    return -torch.stack([row[list(ids)].mean() for row, ids in zip(chances, words)]).mean()
