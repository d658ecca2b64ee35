"""The language model in the few bits it is stored in, computed by onnxruntime on a CPU: a token in a quarter of the time torch takes.

One row's products are bound by how many bytes of weights are read, so weights stay packed. Inputs of few rows are rounded to 8 bits in
blocks of 32, as llama.cpp does; what has many rows (a prompt) is computed in float32, where that is as fast.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor

from nextgpt_core.checkpoints import refuse_mismatch
from nextgpt_core.errors import CheckpointMismatch, ConfigError
from nextgpt_core.llm.adapter import Adapter, read_adapters
from nextgpt_core.llm.block_quantized import BLOCK_FILES, Blocks, is_block_quantized, read_blocks
from nextgpt_core.llm.language_model import LanguageModel, new_rows
from nextgpt_core.llm.packed_graph import FLOAT, INT8, Shape, head_graph, network_graph
from nextgpt_core.llm.tokenizer import Tokenizer

THREADS = 1
MANY_ROWS = 32  # from here on a pass is computed in float32
_GROWTH = 256  # positions by which a cache grows

onnxruntime.disable_telemetry_events()


class PackedCache:
    """Keys and values of b conversations read side by side, in memory of our own that onnxruntime writes into."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._tensors: dict[str, Tensor] = {}  # [b, groups, capacity, head_width], by the names of Shape.caches
        self._bindings: dict[onnxruntime.InferenceSession, onnxruntime.IOBinding] = {}
        self.lengths = torch.zeros(0, dtype=torch.int32)  # [b]

    def binding(self, session: onnxruntime.InferenceSession, *, batch: int, more: int) -> onnxruntime.IOBinding:
        """The caches bound to a session's inputs and outputs, with room for `more` positions of each of `batch` rows."""
        if not len(self.lengths):
            self.lengths = torch.zeros(batch, dtype=torch.int32)
        needed = int(self.lengths.max()) + more
        if not self._tensors or needed > next(iter(self._tensors.values())).shape[2]:
            self._grow(batch, -(-needed // _GROWTH) * _GROWTH)
        if session not in self._bindings:
            binding = self._bindings[session] = session.io_binding()
            for name, tensor in self._tensors.items():
                _bind(binding.bind_input, name, tensor)
                _bind(binding.bind_output, f"new.{name}", tensor)
        return self._bindings[session]

    def _grow(self, batch: int, capacity: int) -> None:
        self._bindings.clear()
        size = (batch, self._shape.groups, capacity, self._shape.head_width)
        for name in self._shape.caches:
            wider = torch.zeros(size)
            if (old := self._tensors.get(name)) is not None:
                wider[:, :, : old.shape[2]] = old
            self._tensors[name] = wider


class PackedLanguageModel(LanguageModel):
    """A block-quantized Llama on a CPU. It works once its adapter is merged; it cannot be trained."""

    def __init__(
        self, shape: Shape, weights: Mapping[str, Blocks | Tensor], *, tokenizer: Tokenizer, added_tokens: Sequence[str], seed: int = 0
    ) -> None:
        """`weights` as read_blocks gives them. Raises CheckpointMismatch for those that are not the shape's."""
        table = weights.get("embed_tokens.weight")
        if not isinstance(table, Blocks):
            raise CheckpointMismatch("missing embed_tokens.weight in blocks")
        expected = {f"{name}.weight": size for name, size in shape.linear_layers.items()}
        expected |= {f"{name}.weight": (shape.width,) for name in shape.norms} | {"embed_tokens.weight": (table.shape[0], shape.width)}
        refuse_mismatch(expected, weights, name="the language model")  # type: ignore[arg-type]
        rows = table.rows(torch.arange(0, table.shape[0], max(1, table.shape[0] // 1024))).unpacked()  # for a start, a sample is enough
        super().__init__(
            tokenizer=tokenizer,
            vocabulary=table.shape[0],
            width=shape.width,
            added_tokens=added_tokens,
            added_rows=(new_rows(rows, len(added_tokens), seed=seed), new_rows(rows, len(added_tokens), seed=seed + 1)),
        )
        self.requires_grad_(False)
        self.positions = shape.positions
        self._shape = shape
        self._table = table
        self._weights = dict(weights)  # until they are in the sessions
        self._few_rows: onnxruntime.InferenceSession
        self._many_rows: onnxruntime.InferenceSession
        self._head: onnxruntime.InferenceSession

    def merge_adapter(self, tensors: Mapping[str, Tensor], *, rank: int, alpha: int, targets: Sequence[str], name: str) -> None:
        """Strictly take the adapter and get ready to run: added rows are fixed from here on. Its products stay apart from the weights'."""
        self._start(read_adapters(tensors, self._shape.linear_layers, rank=rank, alpha=alpha, targets=targets, name=name))

    def _start(self, adapters: Mapping[str, Adapter]) -> None:
        network = network_graph(self._shape, self._weights, adapters)
        self._few_rows, self._many_rows = (network.session(arithmetic, threads=THREADS) for arithmetic in (INT8, FLOAT))
        self._head = head_graph(self._table, self.added_output.detach()).session(INT8, threads=THREADS)
        self._weights.clear()
        self.merged = True

    def forward(self, inputs_embeds: Tensor, attention_mask: Tensor | None = None, *, cache: PackedCache | None = None) -> Tensor:
        batch, n, width = inputs_embeds.shape
        cache = self.new_cache() if cache is None else cache
        if batch > 1 and n > 1 and len(cache.lengths) and cache.lengths.max() > 0:  # onnxruntime's attention cannot do all at once
            past = 0 if attention_mask is None else attention_mask.shape[1] - n
            masks = [None if attention_mask is None else attention_mask[:, : past + i + 1] for i in range(n)]
            return torch.cat([self.forward(inputs_embeds[:, i : i + 1], mask, cache=cache) for i, mask in enumerate(masks)], dim=1)
        session = self._many_rows if batch * n >= MANY_ROWS else self._few_rows
        binding = cache.binding(session, batch=batch, more=n)
        embeddings = inputs_embeds.float()
        added = torch.full((batch,), n, dtype=torch.int32)
        order: Tensor | None = None
        if attention_mask is not None and n > 1 and not attention_mask.all():
            added = attention_mask.sum(1, dtype=torch.int32)
            # The padding goes from the left to the right, where the next positions take its place.
            order = ((torch.arange(n) - added[:, None]) % n).unsqueeze(-1).expand(-1, -1, width)  # where each row's position comes from
            embeddings = embeddings.gather(1, order)
        lengths = cache.lengths + added
        embeddings, last = embeddings.contiguous(), (lengths - 1).contiguous()
        total, states = cache.lengths.max().reshape(1) + n, torch.empty(batch, n, width)
        for name, value in (("embeddings", embeddings), ("last", last), ("total", total)):
            _bind(binding.bind_input, name, value)
        _bind(binding.bind_output, "states", states)
        session.run_with_iobinding(binding)
        cache.lengths = lengths
        return states if order is None else torch.empty_like(states).scatter_(1, order, states)

    def logits(self, states: Tensor) -> Tensor:
        rows = states.detach().float().reshape(1, -1, self.width).contiguous()
        scores = torch.empty(1, rows.shape[1], self.vocabulary + len(self.added))
        binding = self._head.io_binding()
        _bind(binding.bind_input, "states", rows)
        _bind(binding.bind_output, "scores", scores)
        self._head.run_with_iobinding(binding)
        return scores.view(*states.shape[:-1], -1)

    def new_cache(self) -> PackedCache:
        return PackedCache(self._shape)

    def cache_bytes(self, positions: int) -> int:
        return positions * len(self._shape.caches) * self._shape.groups * self._shape.head_width * self.dtype.itemsize

    def shorten(self, cache: PackedCache, length: int) -> None:
        cache.lengths = cache.lengths.clamp(max=length)

    def _base_embeddings(self, ids: Tensor) -> Tensor:
        return self._table.rows(ids.reshape(-1)).unpacked().view(*ids.shape, self.width)


def load_packed(folder: Path, *, tokenizer: Tokenizer, added_tokens: Sequence[str], device: str) -> PackedLanguageModel:
    """The block-quantized language model of a folder, as it is stored. Raises CheckpointError or ConfigError."""
    if device != "cpu" or not is_block_quantized(folder):
        raise ConfigError(f"{folder} cannot run packed on {device}: that is for block-quantized weights on a CPU; choose another --precision.")
    shape = Shape.of(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    return PackedLanguageModel(shape, read_blocks(folder / name for name in BLOCK_FILES), tokenizer=tokenizer, added_tokens=added_tokens)


def _bind(bind: object, name: str, tensor: Tensor) -> None:
    """Give onnxruntime a tensor's own memory, to read from or to write into."""
    kind = {torch.float32: "float32", torch.int32: "int32"}[tensor.dtype]
    bind(name, "cpu", 0, kind, tuple(tensor.shape), tensor.data_ptr())  # type: ignore[operator]
