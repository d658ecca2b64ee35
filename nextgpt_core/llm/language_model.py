"""What the rest of the system asks of a language model: a frozen Llama, and a few added tokens with their own trained rows.

The frozen tables are never resized. Tokens added for this system (media boundaries, modality signals) have ids after the base
vocabulary and live in two small tables, so that what was trained is a small file and what is frozen stays shareable.

Two classes compute it: TorchLanguageModel (any Llama, any device, training) and PackedLanguageModel (few bits on a CPU). Neither is
imported before it is asked for, because what they stand on takes seconds to import.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core.checkpoints import refuse_mismatch
from nextgpt_core.llm.tokenizer import Tokenizer, load_tokenizer

Cache = Any  # what `new_cache` gives; only the language model that made it looks inside


class LanguageModel(nn.Module):
    """Embeddings in, last-layer states out; logits only where they are asked for."""

    added_input: Tensor
    added_output: Tensor
    positions: int  # how many the network was made for

    def __init__(
        self, *, tokenizer: Tokenizer, vocabulary: int, width: int, added_tokens: Sequence[str], added_rows: tuple[Tensor, Tensor]
    ) -> None:
        """`added_rows`: the added tokens' rows of the input and the output table [added, d], where they start from."""
        super().__init__()
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary
        self.width = width
        self.added = {token: vocabulary + i for i, token in enumerate(added_tokens)}
        self.merged = False  # whether the adapter has become part of the weights
        self.added_input, self.added_output = (nn.Parameter(rows) for rows in added_rows)

    @property
    def device(self) -> torch.device:
        return self.added_input.device

    @property
    def dtype(self) -> torch.dtype:
        return self.added_input.dtype

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids [...] -> input embeddings [..., d]; ids from `vocabulary` on are added tokens."""
        base = self._base_embeddings(ids.clamp(max=self.vocabulary - 1))
        if not self.added:
            return base
        added = F.embedding((ids - self.vocabulary).clamp(min=0), self.added_input)
        return torch.where((ids >= self.vocabulary).unsqueeze(-1), added, base)

    def forward(self, inputs_embeds: Tensor, attention_mask: Tensor | None = None, *, cache: Cache | None = None) -> Tensor:
        """[b, n, d] -> last-layer states after the final norm [b, n, d]. With a cache, the n positions continue it and are added to it.

        Rows of different lengths that share a cache are padded on the left of their first pass; `attention_mask` [b, all positions so
        far] is 0 there and 1 elsewhere. Batches padded on the right need no mask: attention is causal, and the states of the padding
        are not looked at.
        """
        raise NotImplementedError

    def logits(self, states: Tensor) -> Tensor:
        """States [..., d] -> scores over base and added tokens [..., vocabulary + added]."""
        raise NotImplementedError

    def new_cache(self) -> Cache:
        """An empty key-value cache for `forward`."""
        raise NotImplementedError

    def cache_bytes(self, positions: int) -> int:
        """What the cache of one conversation takes in memory."""
        raise NotImplementedError

    def shorten(self, cache: Cache, length: int) -> None:
        """Keep only the first `length` positions of a cache."""
        raise NotImplementedError

    def merge_adapter(self, tensors: Mapping[str, Tensor], *, rank: int, alpha: int, targets: Sequence[str], name: str) -> None:
        """Make a trained LoRA adapter part of the weights for good: the same states as with it apart, faster.

        `tensors` holds for each linear layer whose name ends in one of `targets` its `….lora_A.weight` [rank, in] and `….lora_B.weight`
        [out, rank], and nothing else. Raises CheckpointMismatch, which calls the file `name`.
        """
        raise NotImplementedError

    def token_state(self, *, base: bool = False) -> dict[str, Tensor]:
        """The added tokens' rows: `input` and `output` [added, d]; with `base` also the base rows, where those were trained on."""
        return {"input": self.added_input, "output": self.added_output}

    def load_tokens(self, tensors: dict[str, Tensor], *, name: str) -> None:
        """Strictly fill the added rows. Raises CheckpointMismatch."""
        fill(self.token_state(), tensors, name=name)

    def _base_embeddings(self, ids: Tensor) -> Tensor:
        """Ids of the base vocabulary [...] -> embeddings [..., d]."""
        raise NotImplementedError


def load_language_model(folder: Path, *, added_tokens: Sequence[str], precision: str = "float32", device: str = "cpu") -> LanguageModel:
    """The frozen model of a folder: block-quantized files (nano) or what `save_pretrained` writes (7b). No adapter, untrained added rows.

    In 8 bits on a CPU it is loaded wide: `build` rounds it once the adapter is merged. Raises CheckpointError or ConfigError.
    """
    tokenizer = load_tokenizer(folder)
    if precision == "packed":
        from nextgpt_core.llm.packed import load_packed

        return load_packed(folder, tokenizer=tokenizer, added_tokens=added_tokens, device=device)
    from nextgpt_core.llm.torch_model import load_torch

    return load_torch(folder, tokenizer=tokenizer, added_tokens=added_tokens, precision=precision, device=device)


def new_rows(table: Tensor, count: int, *, seed: int) -> Tensor:
    """Rows for new tokens [count, d]: the table's mean plus a little noise of the table's own spread, so that they start apart."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, table.shape[1], generator=generator).to(table.device, table.dtype)  # not .to(table): ZeroGPU misses that
    return table.mean(0) + 0.5 * table.std(0) * noise


def fill(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], *, name: str) -> None:
    """Copy tensors into those of the same names: all of them, and no others. Raises CheckpointMismatch."""
    refuse_mismatch({key: tuple(value.shape) for key, value in wanted.items()}, found, name=name)
    with torch.no_grad():
        for key, value in wanted.items():
            value.copy_(found[key])
