"""The two losses of all three training stages (paper, section 4; numerics of upstream's NextGPTModel.forward)."""

from torch import Tensor
from torch.nn import functional as F


def next_token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of scores [n, V] against the tokens that follow [n]; a caller passes target positions only."""
    return F.cross_entropy(logits.float(), targets)


def alignment_loss(projected: Tensor, wanted: Tensor) -> Tensor:
    """Mean Euclidean distance (not squared) over batch and positions between conditions [b, L, D] and the decoder's own text embeddings."""
    return (projected.float() - wanted.float()).norm(dim=-1).mean()
