"""Tiny real parts, shared by tests: a two-layer Llama over a byte vocabulary, seeded and offline."""

from collections.abc import Sequence

import torch
from transformers import LlamaConfig, LlamaModel

from nextgpt_core.llm import LanguageModel

CONTROL = ("<|im_start|>", "<|im_end|>", "<s>", "</s>")
ADDED = ("<Media>", "</Media>", *(f"[IMG{i}]" for i in range(4)), *(f"[VID{i}]" for i in range(3)), *(f"[AUD{i}]" for i in range(2)))


class ByteTokenizer:
    """Every byte is a token; control tokens follow."""

    size = 256 + len(CONTROL)

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def control(self, token: str) -> int:
        return 256 + CONTROL.index(token)

    def token_bytes(self, token_id: int) -> bytes:
        return bytes([token_id]) if token_id < 256 else b""


def tiny_llm(*, added: Sequence[str] = ADDED, width: int = 32, tied: bool = True, seed: int = 0) -> LanguageModel:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=ByteTokenizer.size,
        hidden_size=width,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
    )
    network = LlamaModel(config).eval()
    torch.nn.init.normal_(network.embed_tokens.weight, std=0.5)
    output_table = None if tied else torch.randn(ByteTokenizer.size, width) * 0.3
    return LanguageModel(network, tokenizer=ByteTokenizer(), added_tokens=added, output_table=output_table)
