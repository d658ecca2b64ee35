"""The language model computed by torch and transformers: every Llama, on every device, in training too."""

import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BitsAndBytesConfig, DynamicCache, LlamaConfig, LlamaForCausalLM, LlamaModel
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from nextgpt_core.config import DTYPES
from nextgpt_core.errors import CheckpointMismatch, CheckpointMissing, ConfigError
from nextgpt_core.llm.adapter import read_adapters
from nextgpt_core.llm.block_quantized import BLOCK_FILES, is_block_quantized, read_block_quantized
from nextgpt_core.llm.language_model import Cache, LanguageModel, fill, new_rows
from nextgpt_core.llm.tokenizer import Tokenizer


class TorchLanguageModel(LanguageModel):
    """A LlamaModel with added tokens and, while it is trained, a LoRA adapter."""

    def __init__(
        self,
        network: LlamaModel,
        *,
        tokenizer: Tokenizer,
        added_tokens: Sequence[str],
        output_table: Tensor | None = None,
        seed: int = 0,
    ) -> None:
        """`output_table` [vocabulary, d] is the frozen head; None means that it is tied to the input embeddings."""
        table = network.embed_tokens.weight
        count = len(added_tokens)
        super().__init__(
            tokenizer=tokenizer,
            vocabulary=network.embed_tokens.num_embeddings,
            width=network.config.hidden_size,
            added_tokens=added_tokens,
            added_rows=(
                new_rows(table, count, seed=seed),
                new_rows(table if output_table is None else output_table, count, seed=seed + 1),
            ),
        )
        self.network = network.requires_grad_(False)
        self.output_table = None if output_table is None else nn.Parameter(output_table, requires_grad=False)
        self.base_trained = False  # the base rows came with the trained parts, and are saved with them

    @property
    def _head(self) -> Tensor:
        return self.network.embed_tokens.weight if self.output_table is None else self.output_table

    @property
    def positions(self) -> int:  # type: ignore[override]
        """How many positions the network was made for, with what its config stretches them by."""
        rope = getattr(self.network.config, "rope_parameters", None) or {}
        stretch = rope.get("factor", 1) if rope.get("rope_type") in ("linear", "dynamic") else 1  # the others have it counted in
        return int(self.network.config.max_position_embeddings * stretch)

    def forward(self, inputs_embeds: Tensor, attention_mask: Tensor | None = None, *, cache: Cache | None = None) -> Tensor:
        use_cache = cache is not None
        output = self.network(inputs_embeds=inputs_embeds, attention_mask=attention_mask, past_key_values=cache, use_cache=use_cache)
        return output.last_hidden_state

    def logits(self, states: Tensor) -> Tensor:
        return torch.cat((F.linear(states, self._head), F.linear(states, self.added_output)), dim=-1)

    def new_cache(self) -> DynamicCache:
        return DynamicCache(config=self.network.config)

    def cache_bytes(self, positions: int) -> int:
        config = self.network.config
        heads, head_width = config.num_key_value_heads or config.num_attention_heads, self.width // config.num_attention_heads
        per_position = 2 * config.num_hidden_layers * heads * head_width
        return positions * per_position * self.dtype.itemsize

    def shorten(self, cache: DynamicCache, length: int) -> None:
        if length < cache.get_seq_length():
            cache.crop(length - cache.get_seq_length())

    @torch.no_grad()
    def merge_adapter(self, tensors: Mapping[str, Tensor], *, rank: int, alpha: int, targets: Sequence[str], name: str) -> None:
        layers = {path: module for path, module in self.network.named_modules() if isinstance(module, nn.Linear)}
        shapes = {path: (layer.out_features, layer.in_features) for path, layer in layers.items()}
        for path, adapter in read_adapters(tensors, shapes, rank=rank, alpha=alpha, targets=targets, name=name).items():
            weight = layers[path].weight
            weight += (adapter.up.to(weight.device) @ adapter.down.to(weight.device)).to(weight.dtype)
        self.merged = True

    def add_lora(self, *, rank: int, alpha: int, targets: Sequence[str], dropout: float = 0.0) -> None:
        """Put a fresh, trainable adapter on the linear layers with these names. It changes nothing until it is trained."""
        from peft import LoraConfig, inject_adapter_in_model  # here: it takes seconds to import

        config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(targets), bias="none")
        inject_adapter_in_model(config, self.network)

    def lora_state(self) -> dict[str, Tensor]:
        """The adapter's matrices, named `layers.0.self_attn.q_proj.lora_A.weight` and so on."""
        return {name.replace(".default.", "."): value for name, value in self.network.named_parameters() if ".lora_" in name}

    def load_lora(self, tensors: dict[str, Tensor], *, name: str) -> None:
        """Strictly fill the adapter made by `add_lora`. Raises CheckpointMismatch."""
        fill(self.lora_state(), tensors, name=name)

    def merge_lora(self) -> None:
        """`merge_adapter` for the adapter made by `add_lora`. Not for quantized weights."""
        from peft.tuners.lora import LoraLayer

        self.merged = True
        for parent in list(self.network.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, LoraLayer):
                    child.merge()
                    setattr(parent, name, child.get_base_layer())

    def token_state(self, *, base: bool = False) -> dict[str, Tensor]:
        rows = super().token_state()
        return {**rows, **self._base_rows()} if base and self.base_trained else rows

    def _base_rows(self) -> dict[str, Tensor]:
        return {"base_input": self.network.embed_tokens.weight, "base_output": self._head}

    def load_tokens(self, tensors: dict[str, Tensor], *, name: str) -> None:
        """Strictly fill the added rows; a file may also hold the base rows (`base_input`, `base_output`), where those were trained on.

        Raises CheckpointMismatch.
        """
        base = self._base_rows() if "base_input" in tensors else {}  # upstream left the whole tables trainable: they are not Vicuna's
        fill({**self.token_state(), **base}, tensors, name=name)
        self.base_trained = bool(base)

    def _base_embeddings(self, ids: Tensor) -> Tensor:
        return self.network.embed_tokens(ids)


def load_torch(folder: Path, *, tokenizer: Tokenizer, added_tokens: Sequence[str], precision: str, device: str) -> TorchLanguageModel:
    """The language model of a folder in torch (language_model.load_language_model). Raises CheckpointError or ConfigError."""
    if is_block_quantized(folder):
        network, output_table = _load_block_quantized(folder, precision=precision, device=device), None
    else:
        network, output_table = _load_pretrained(folder, precision=precision, device=device)
    return TorchLanguageModel(network.eval(), tokenizer=tokenizer, added_tokens=added_tokens, output_table=output_table)


def _load_block_quantized(folder: Path, *, precision: str, device: str) -> LlamaModel:
    if precision not in DTYPES and (precision, device) != ("8bit", "cpu"):
        raise ConfigError(
            f"{folder} is block-quantized: it runs in {', '.join(DTYPES)}, and on a CPU in packed or 8bit, not in {precision}."
        )
    dtype = getattr(torch, precision) if precision in DTYPES else torch.float32
    config = LlamaConfig(**json.loads((folder / "config.json").read_text()))
    with torch.device("meta"):  # nothing is drawn at random only to be overwritten
        network = LlamaModel(config)
    weights = read_block_quantized(folder / name for name in BLOCK_FILES)
    network.load_state_dict({name: value.to(device, dtype) for name, value in weights.items()}, strict=True, assign=True)
    network.rotary_emb = LlamaRotaryEmbedding(config).to(device)  # its buffers are not in any file
    return network


def _load_pretrained(folder: Path, *, precision: str, device: str) -> tuple[LlamaModel, Tensor]:
    if not (folder / "config.json").is_file():
        raise CheckpointMissing(f"{folder} holds no language model.")
    quantization = None
    if (precision == "4bit" or (precision == "8bit" and device != "cpu")) and importlib.util.find_spec("bitsandbytes") is None:
        install = f"{sys.executable} -m pip install -r requirements-7b.txt"  # launch.py runs another Python than `pip` may belong to
        raise ConfigError(f"A {precision} language model needs the package bitsandbytes: {install}")
    if precision == "8bit" and device != "cpu":
        quantization = BitsAndBytesConfig(load_in_8bit=True)
    elif precision == "4bit":
        quantization = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float16)
    dtype = getattr(torch, precision) if precision in DTYPES else torch.float16
    model, info = LlamaForCausalLM.from_pretrained(
        folder, dtype=dtype, quantization_config=quantization, device_map=device, local_files_only=True, output_loading_info=True
    )
    if wrong := sorted({*info["missing_keys"], *info["unexpected_keys"]}):  # the library would only warn, and draw what is missing
        raise CheckpointMismatch(f"{folder}: {', '.join(wrong[:8])} do not match the model; fetch or copy it again.")
    return model.model, model.lm_head.weight.data
