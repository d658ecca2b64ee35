"""Encoder features -> LLM embeddings (paper, section 3)."""

from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core.projections.grouping import GroupProjection


class InputProjection(nn.Module):
    """Encoder vectors of one file -> vectors that stand in the prompt like words.

    A `shared` one treats all modalities alike, as an encoder with one joint space allows (ImageBind); otherwise each has its own.
    """

    def __init__(self, *, kind: str, encoder_width: int, llm_width: int, tokens: Mapping[str, int], shared: bool, spread: int = 1) -> None:
        """`tokens` is how many vectors the encoder gives per modality; `kind` is a key of INPUT_KINDS; `spread`: see Tokenwise."""
        super().__init__()
        self.shared = shared
        counts = {"shared": max(tokens.values())} if shared else tokens
        build = INPUT_KINDS[kind]
        self.networks = nn.ModuleDict({name: build(encoder_width, llm_width, count, spread) for name, count in counts.items()})

    def forward(self, modality: str, features: Tensor) -> Tensor:
        """[b, N, D] -> [b, M, d]; M is N except where a kind groups or spreads them."""
        return self.networks["shared" if self.shared else modality](features)


class MLP(nn.Module):
    """Linear layers with GELU between them; the same for every vector (upstream's newer MLP projector)."""

    def __init__(self, width: int, out: int, *, layers: int = 2, hidden: int | None = None) -> None:
        """`hidden` is the width between the layers; None: `out`."""
        super().__init__()
        widths = [width, *[hidden or out] * (layers - 1), out]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        for i, layer in enumerate(self.layers):
            x = layer(x if i == 0 else F.gelu(x))
        return x


class Tokenwise(nn.Module):
    """An MLP of its own for every position (the first vector of nano's encoders means something else than the second) that makes `spread`
    vectors of it.

    A name is several tokens long. In one vector they lie over each other, and the language model has to guess their order; in three it
    reads the name as it reads words.
    """

    def __init__(self, width: int, out: int, *, tokens: int, spread: int) -> None:
        super().__init__()
        self.out = out
        self.positions = nn.ModuleList(MLP(width, spread * out, hidden=out if i else 2 * out) for i in range(tokens))  # names are many

    def forward(self, x: Tensor) -> Tensor:  # [b, N, D] -> [b, N * spread, d]
        return torch.cat([position(x[:, i]) for i, position in enumerate(self.positions)], dim=1).unflatten(1, (-1, self.out))


# kind in a preset -> build(encoder width, LLM width, vectors per file, spread)
INPUT_KINDS: dict[str, Callable[[int, int, int, int], nn.Module]] = {
    "linear": lambda width, out, tokens, spread: nn.Linear(width, out),
    "mlp": lambda width, out, tokens, spread: MLP(width, out),
    "tokenwise": lambda width, out, tokens, spread: Tokenwise(width, out, tokens=tokens, spread=spread),
    "grouping": lambda width, out, tokens, spread: GroupProjection(width, out),
}
