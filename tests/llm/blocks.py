"""Tiny language models in blocks, as nano's is stored: random weights, rounded."""

import json
from pathlib import Path

import torch
from torch import Tensor

from nextgpt_core.checkpoints import save_tensors
from nextgpt_core.llm.block_quantized import BLOCK, BLOCK_FILES
from tests.tiny import ByteTokenizer

CONFIG = {
    "vocab_size": ByteTokenizer.size,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    "tie_word_embeddings": True,
}
LORA = {"rank": 4, "alpha": 8, "targets": ("q_proj", "k_proj", "v_proj", "o_proj")}
_SHAPES = {
    "self_attn.q_proj": (64, 64),
    "self_attn.k_proj": (32, 64),
    "self_attn.v_proj": (32, 64),
    "self_attn.o_proj": (64, 64),
    "mlp.gate_proj": (96, 64),
    "mlp.up_proj": (96, 64),
    "mlp.down_proj": (64, 96),
}


def in_four_bits(name: str, weight: Tensor) -> dict[str, Tensor]:
    """A matrix as the file holds it: the least of each block, steps of a fifteenth of its range, element j beside element j + 16."""
    blocks = weight.view(len(weight), -1, BLOCK)
    minimum = blocks.amin(-1).half()
    scale = ((blocks.amax(-1) - minimum.float()) / 15).half()
    numbers = ((blocks - minimum.float()[..., None]) / scale.float()[..., None]).round().clamp(0, 15).to(torch.uint8)
    pairs = numbers[..., : BLOCK // 2] | numbers[..., BLOCK // 2 :] << 4
    return {f"{name}.q4": pairs.reshape(len(weight), -1), f"{name}.scale": scale, f"{name}.minimum": minimum}


def in_eight_bits(name: str, weight: Tensor) -> dict[str, Tensor]:
    blocks = weight.view(len(weight), -1, BLOCK)
    scale = (blocks.abs().amax(-1) / 127).half()
    numbers = (blocks / scale.float()[..., None]).round().clamp(-127, 127).to(torch.int8)
    return {f"{name}.q8": numbers.view(len(weight), -1), f"{name}.scale": scale}


def write_tiny(folder: Path, **changes: object) -> Path:
    """A language model's folder without a tokenizer; `changes` to its config."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int, std: float) -> Tensor:
        return torch.randn(*shape, generator=generator) * std

    layers: dict[str, Tensor] = {"norm.weight": 1 + random(64, std=0.1)}
    for layer in range(2):
        for name, shape in _SHAPES.items():
            layers |= in_four_bits(f"layers.{layer}.{name}.weight", random(*shape, std=0.15))
        for norm in ("input_layernorm", "post_attention_layernorm"):
            layers[f"layers.{layer}.{norm}.weight"] = 1 + random(64, std=0.1)
    save_tensors(in_eight_bits("embed_tokens.weight", random(ByteTokenizer.size, 64, std=0.5)), folder / BLOCK_FILES[0])
    save_tensors(layers, folder / BLOCK_FILES[1])
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))
    return folder


def random_adapter() -> dict[str, Tensor]:
    """A trained-looking adapter for LORA's targets, under the names of its file."""
    generator = torch.Generator().manual_seed(1)
    found = {}
    for layer in range(2):
        for name, (out, width) in _SHAPES.items():
            if name.startswith("self_attn"):
                path = f"layers.{layer}.{name}"
                found[f"{path}.lora_A.weight"] = torch.randn(LORA["rank"], width, generator=generator) * 0.1  # type: ignore[call-overload]
                found[f"{path}.lora_B.weight"] = torch.randn(out, LORA["rank"], generator=generator) * 0.1  # type: ignore[call-overload]
    return found
