"""The encoding of the empty text: the unconditional half of guidance, made once with the published pipeline's own text encoder."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoTokenizer, ClapTextConfig, ClapTextModelWithProjection, CLIPTextConfig, CLIPTextModel

from nextgpt_core.checkpoints import assemble
from nextgpt_core.decoders.reading import hub_tensors, read_config, spelled_for
from nextgpt_core.errors import CheckpointMissing, ConfigError

_KINDS: dict[str, tuple[Any, Any]] = {
    "clip_text_model": (CLIPTextModel, CLIPTextConfig),
    "clap_text_model": (ClapTextModelWithProjection, ClapTextConfig),
}


@torch.no_grad()
def encode_texts(path: Path, texts: list[str]) -> Tensor:
    """Texts -> float32 [n, L, D] by tokenizer/ and text_encoder/ of a published decoder's folder.

    CLIP (pictures, videos): the last hidden states of 77 positions. CLAP (sounds): one L2-normalised vector, L = 1.
    Raises CheckpointError or ConfigError.
    """
    folder = path / "text_encoder"
    config = read_config(folder / "config.json")
    kind = config.get("model_type")
    if kind not in _KINDS:
        raise ConfigError(f"{folder} is a {kind}; this project reads {', '.join(_KINDS)}.")
    model_class, config_class = _KINDS[kind]

    def build() -> Any:
        return model_class(config_class(**config))

    encoder = assemble(build, spelled_for(build, hub_tensors(folder), "text_model.", ""), name=str(folder), ignore=_BUFFERS)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path / "tokenizer", local_files_only=True)
    except (OSError, ValueError) as error:
        raise CheckpointMissing(f"{path / 'tokenizer'} holds no tokenizer that can be read; fetch it again.") from error
    tokens = tokenizer(texts, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt")
    if kind == "clap_text_model":
        vectors = encoder(tokens.input_ids, attention_mask=tokens.attention_mask).text_embeds
        return F.normalize(vectors, dim=-1).float()[:, None]
    mask = tokens.attention_mask if getattr(encoder.config, "use_attention_mask", False) else None
    return encoder(tokens.input_ids, attention_mask=mask).last_hidden_state.float()


def encode_nothing(path: Path) -> Tensor:
    """The encoding of "" [L, D], as the original gets it by giving no negative prompt."""
    return encode_texts(path, [""])[0]


# Counters that older versions of transformers saved and newer ones make themselves.
_BUFFERS = frozenset(f"{prefix}embeddings.{name}" for prefix in ("", "text_model.") for name in ("position_ids", "token_type_ids"))
