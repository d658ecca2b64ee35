"""Signal tokens' states -> a decoder's condition (paper, section 4)."""

from typing import Any

import torch
from torch import Tensor, nn


class OutputProjection(nn.Module):
    """Signal tokens -> condition: a transformer whose decoder side is `length` learned queries.

    Numerics of upstream's TextFcLayer(mode="transformer"): pre-norm, no dropout, no mask, and the tokens' input embeddings added to
    their states before anything else.
    """

    def __init__(self, *, llm_width: int, condition_shape: tuple[int, int], width: int, layers: int, heads: int = 4) -> None:
        """`condition_shape` is the decoder's [L, D]; `layers` counts for the encoder and for the decoder side."""
        super().__init__()
        length, condition_width = condition_shape
        self.queries = nn.Parameter(torch.randn(length, width))
        self.enter = nn.Linear(llm_width, width)
        shape: dict[str, Any] = {"d_model": width, "nhead": heads, "dim_feedforward": 4 * width}
        shape |= {"dropout": 0.0, "batch_first": True, "norm_first": True}
        encoder_layer = nn.TransformerEncoderLayer(**shape)
        encoder = nn.TransformerEncoder(encoder_layer, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.transformer = nn.Transformer(**shape, num_decoder_layers=layers, custom_encoder=encoder)
        self.leave = nn.Linear(width, condition_width)

    def forward(self, states: Tensor, embeddings: Tensor) -> Tensor:
        """Last-layer states at the k signal tokens [b, k, d] and their input embeddings [b, k, d] -> condition [b, L, D]."""
        memory = self.enter(states + embeddings)
        queries = self.queries.expand(states.shape[0], -1, -1)
        return self.leave(self.transformer(memory, queries))
