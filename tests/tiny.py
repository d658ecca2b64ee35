"""Tiny real parts, shared by tests: a two-layer Llama over a byte vocabulary, seeded and offline."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import LlamaConfig, LlamaModel

from nextgpt_core.decoders.base import DecoderSettings
from nextgpt_core.decoders.stable_diffusion import StableDiffusionDecoder
from nextgpt_core.decoders.zeroscope import ZeroscopeDecoder
from nextgpt_core.llm.torch_model import TorchLanguageModel
from nextgpt_core.modalities import MODALITIES
from nextgpt_core.model import NextGPT
from nextgpt_core.projections.input import InputProjection
from nextgpt_core.projections.output import OutputProjection
from tests.decoders import tiny as networks

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


def tiny_llm(*, added: Sequence[str] = ADDED, width: int = 32, tied: bool = True, seed: int = 0) -> TorchLanguageModel:
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
    return TorchLanguageModel(network, tokenizer=ByteTokenizer(), added_tokens=added, output_table=output_table)


class MeanEncoder:
    """Two vectors of 6: the mean of whatever it is given, and ones."""

    width = 6
    modalities = ("image", "audio")

    def tokens(self, modality: str) -> int:
        return 2

    def encode(self, modality: str, content: Any) -> torch.Tensor:
        values = content.samples if modality == "audio" else content
        return torch.stack((torch.full((6,), float(values.mean()) / 255), torch.ones(6)))


def tiny_model(*, seed: int = 0) -> NextGPT:
    """All parts but the sound decoder; the networks are diffusers' own."""
    llm = tiny_llm(seed=seed)
    shape = (1, networks.WIDTH)
    common = {"noise_schedule": networks.NOISE_SCHEDULE, "unconditional": torch.zeros(shape)}
    image = StableDiffusionDecoder(
        unet=networks.image_unet(), vae=networks.vae(), pixels=16, defaults=DecoderSettings(steps=3, guidance=2.0), **common
    )
    video = ZeroscopeDecoder(
        unet=networks.video_unet(),
        vae=networks.vae(),
        height=16,
        width=16,
        fps=4,
        defaults=DecoderSettings(steps=2, guidance=2.0, frames=2),
        **common,
    )
    modalities = ("image", "video", "audio")
    return NextGPT(
        name="tiny",
        llm=llm,
        input_projection=InputProjection(
            kind="tokenwise", encoder_width=6, llm_width=llm.width, tokens={"image": 2, "audio": 2}, shared=False
        ),
        output_projections={
            modality: OutputProjection(llm_width=llm.width, condition_shape=shape, width=16, layers=1) for modality in modalities
        },
        boundary_tokens=("<Media>", "</Media>"),
        signal_tokens={
            modality: tuple(token for token in ADDED if token.startswith(f"[{MODALITIES[modality].signal}")) for modality in modalities
        },
        encoder=MeanEncoder(),
        decoders={"image": image, "video": video},
    ).eval()
