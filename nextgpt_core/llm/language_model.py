"""The language model: a frozen Llama, a few added tokens with their own trainable rows, and a LoRA adapter.

The frozen tables are never resized. Tokens added for this system (media boundaries, modality signals) have ids after the base
vocabulary and live in two small tables, so that what was trained is a small file and what is frozen stays shareable.
"""

import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BitsAndBytesConfig, DynamicCache, LlamaConfig, LlamaForCausalLM, LlamaModel
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from nextgpt_core.checkpoints import refuse_mismatch
from nextgpt_core.config import DTYPES
from nextgpt_core.errors import CheckpointMismatch, CheckpointMissing, ConfigError
from nextgpt_core.llm.block_quantized import read_block_quantized
from nextgpt_core.llm.tokenizer import Tokenizer, load_tokenizer

BLOCK_FILES = ("embedding.safetensors", "layers.safetensors")


class LanguageModel(nn.Module):
    """Embeddings in, last-layer states out; logits only where they are asked for."""

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
        super().__init__()
        self.network = network.requires_grad_(False)
        self.tokenizer = tokenizer
        self.vocabulary = network.embed_tokens.num_embeddings
        self.width = network.config.hidden_size
        self.added = {token: self.vocabulary + i for i, token in enumerate(added_tokens)}
        self.output_table = None if output_table is None else nn.Parameter(output_table, requires_grad=False)
        self.base_trained = False  # the base rows came with the trained parts, and are saved with them
        self.merged = False
        self.added_input = nn.Parameter(_new_rows(network.embed_tokens.weight, len(added_tokens), seed=seed))
        self.added_output = nn.Parameter(_new_rows(self._head, len(added_tokens), seed=seed + 1))

    @property
    def _head(self) -> Tensor:
        return self.network.embed_tokens.weight if self.output_table is None else self.output_table

    @property
    def device(self) -> torch.device:
        return self.added_input.device

    @property
    def dtype(self) -> torch.dtype:
        return self.added_input.dtype

    @property
    def positions(self) -> int:
        """How many positions the network was made for, with what its config stretches them by."""
        rope = getattr(self.network.config, "rope_parameters", None) or {}
        stretch = rope.get("factor", 1) if rope.get("rope_type") in ("linear", "dynamic") else 1  # the others have it counted in
        return int(self.network.config.max_position_embeddings * stretch)

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids [...] -> input embeddings [..., d]; ids from `vocabulary` on are added tokens."""
        base = self.network.embed_tokens(ids.clamp(max=self.vocabulary - 1))
        if not self.added:
            return base
        added = F.embedding((ids - self.vocabulary).clamp(min=0), self.added_input)
        return torch.where((ids >= self.vocabulary).unsqueeze(-1), added, base)

    def forward(self, inputs_embeds: Tensor, attention_mask: Tensor | None = None, *, cache: DynamicCache | None = None) -> Tensor:
        """[b, n, d] -> last-layer states after the final norm [b, n, d]. With a cache, the n positions continue it and are added to it.

        Batches padded on the right need no mask: attention is causal, and the states of the padding are not looked at.
        """
        use_cache = cache is not None
        output = self.network(inputs_embeds=inputs_embeds, attention_mask=attention_mask, past_key_values=cache, use_cache=use_cache)
        return output.last_hidden_state

    def logits(self, states: Tensor) -> Tensor:
        """States [..., d] -> scores over base and added tokens [..., vocabulary + added]."""
        return torch.cat((F.linear(states, self._head), F.linear(states, self.added_output)), dim=-1)

    def new_cache(self) -> DynamicCache:
        """An empty key-value cache for `forward`."""
        return DynamicCache(config=self.network.config)

    def cache_bytes(self, positions: int) -> int:
        """What the cache of one conversation takes in memory."""
        config = self.network.config
        heads, head_width = config.num_key_value_heads or config.num_attention_heads, self.width // config.num_attention_heads
        per_position = 2 * config.num_hidden_layers * heads * head_width
        return positions * per_position * self.dtype.itemsize

    @staticmethod
    def shorten(cache: DynamicCache, length: int) -> None:
        """Keep only the first `length` positions of a cache."""
        if length < cache.get_seq_length():
            cache.crop(length - cache.get_seq_length())

    def add_lora(self, *, rank: int, alpha: int, targets: Sequence[str], dropout: float = 0.0) -> None:
        """Put a fresh, trainable adapter on the linear layers with these names. It changes nothing until it is trained."""
        config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(targets), bias="none")
        inject_adapter_in_model(config, self.network)

    def lora_state(self) -> dict[str, Tensor]:
        """The adapter's matrices, named `layers.0.self_attn.q_proj.lora_A.weight` and so on."""
        return {name.replace(".default.", "."): value for name, value in self.network.named_parameters() if ".lora_" in name}

    def load_lora(self, tensors: dict[str, Tensor], *, name: str) -> None:
        """Strictly fill the adapter made by `add_lora`. Raises CheckpointMismatch."""
        _fill(self.lora_state(), tensors, name=name)

    def merge_lora(self) -> None:
        """Add the adapter to the frozen weights and drop it: the same states, faster. Not for quantized weights."""
        self.merged = True
        for parent in list(self.network.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, LoraLayer):
                    child.merge()
                    setattr(parent, name, child.get_base_layer())

    def token_state(self, *, base: bool = False) -> dict[str, Tensor]:
        """The added tokens' rows: `input` and `output` [added, d]; with `base` also the base rows, where those were trained on."""
        rows = {"input": self.added_input, "output": self.added_output}
        return {**rows, **self._base_rows()} if base and self.base_trained else rows

    def _base_rows(self) -> dict[str, Tensor]:
        return {"base_input": self.network.embed_tokens.weight, "base_output": self._head}

    def load_tokens(self, tensors: dict[str, Tensor], *, name: str) -> None:
        """Strictly fill the added rows; a file may also hold the base rows (`base_input`, `base_output`), where those were trained on.

        Raises CheckpointMismatch.
        """
        base = self._base_rows() if "base_input" in tensors else {}  # upstream left the whole tables trainable: they are not Vicuna's
        _fill({**self.token_state(), **base}, tensors, name=name)
        self.base_trained = bool(base)


def load_language_model(folder: Path, *, added_tokens: Sequence[str], precision: str = "float32", device: str = "cpu") -> LanguageModel:
    """The frozen model of a folder: block-quantized files (nano) or what `save_pretrained` writes (7b). No adapter, untrained added rows.

    In 8 bits on a CPU it is loaded wide: `build` rounds it once the adapter is merged. Raises CheckpointError or ConfigError.
    """
    tokenizer = load_tokenizer(folder)
    if (folder / BLOCK_FILES[0]).is_file():
        network, output_table = _load_block_quantized(folder, precision=precision, device=device), None
    else:
        network, output_table = _load_pretrained(folder, precision=precision, device=device)
    return LanguageModel(network.eval(), tokenizer=tokenizer, added_tokens=added_tokens, output_table=output_table)


def _load_block_quantized(folder: Path, *, precision: str, device: str) -> LlamaModel:
    if precision not in DTYPES and (precision, device) != ("8bit", "cpu"):
        raise ConfigError(f"{folder} is block-quantized: it runs in {', '.join(DTYPES)}, and on a CPU in 8bit, not in {precision}.")
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


def _new_rows(table: Tensor, count: int, *, seed: int) -> Tensor:
    """Rows for new tokens [count, d]: the table's mean plus a little noise of the table's own spread, so that they start apart."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, table.shape[1], generator=generator).to(table.device, table.dtype)  # not .to(table): ZeroGPU misses that
    return table.mean(0) + 0.5 * table.std(0) * noise


def _fill(wanted: dict[str, Tensor], found: dict[str, Tensor], *, name: str) -> None:
    refuse_mismatch({key: tuple(value.shape) for key, value in wanted.items()}, found, name=name)
    with torch.no_grad():
        for key, value in wanted.items():
            value.copy_(found[key])
