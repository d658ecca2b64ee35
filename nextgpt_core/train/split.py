"""Training only the upper layers of the language model: the lower ones run once per batch, and their states are kept.

On a CPU this is what makes instruction tuning affordable: no backward pass through the lower layers, and from the second epoch on no
forward pass either. The adapter of the lower layers stays as it is.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import LlamaModel

from nextgpt_core.llm.language_model import LanguageModel


class SplitNetwork:
    """The layers below and above a cut, as two functions of states [b, n, d]; both share the language model's weights."""

    def __init__(self, llm: LanguageModel, *, at: int) -> None:
        """`at` is how many layers lie below the cut."""
        layers = list(llm.network.layers)
        self._lower = _with_layers(llm.network, layers[:at], norm=nn.Identity())
        self._upper = _with_layers(llm.network, layers[at:], norm=llm.network.norm)
        self._kept: dict[int, Tensor] = {}

    @torch.no_grad()
    def lower(self, embeddings: Tensor) -> Tensor:
        """Input embeddings -> states at the cut; nothing learns from here."""
        states: Tensor = self._lower(inputs_embeds=embeddings, use_cache=False).last_hidden_state
        return states

    def upper(self, states: Tensor) -> Tensor:
        """States at the cut -> last-layer states after the final norm."""
        out: Tensor = self._upper(inputs_embeds=states, use_cache=False).last_hidden_state
        return out

    def kept(self, key: int, embeddings: Callable[[], Tensor]) -> Tensor:
        """`lower` of a batch that comes again: computed the first time, float16 in memory afterwards."""
        if key not in self._kept:
            self._kept[key] = self.lower(embeddings()).half()
        return self._kept[key].float()


def _with_layers(network: LlamaModel, layers: list[nn.Module], *, norm: nn.Module) -> LlamaModel:
    part = copy.copy(network)
    part._modules = dict(network._modules) | {"layers": nn.ModuleList(layers), "norm": norm}
    part.config = copy.copy(network.config)
    part.config.num_hidden_layers = len(layers)
    return part
