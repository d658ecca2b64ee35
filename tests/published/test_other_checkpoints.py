"""Presets that name other checkpoints than the published ones: widths follow from the parts, contradictions are refused at build.

Widths, conditions and switches are those of the real configs; depth and channels are as small as they go.
"""

import dataclasses
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel, UNet3DConditionModel
from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel

from nextgpt_core.build import assemble_around, build_decoder, build_trainable
from nextgpt_core.config import OutputConfig, Preset, load_preset
from nextgpt_core.decoders import AudioLDMDecoder, StableDiffusionDecoder, ZeroscopeDecoder
from nextgpt_core.decoders.base import DecoderSettings
from nextgpt_core.decoders.hifigan import HifiGan
from nextgpt_core.errors import ConfigError
from nextgpt_core.llm.torch_model import TorchLanguageModel
from nextgpt_core.llm.tokenizer import SentencePieceTokenizer
from nextgpt_core.placement.parts import Sizes, parts_of
from nextgpt_core.published import architectures
from nextgpt_core.published.convert import published_shapes
from tests.decoders import tiny
from tests.decoders.test_decoders import SETTINGS, seeded, write_folder
from tests.golden_rules import GOLDEN

VICUNA_7B_V15 = {**architectures.VICUNA_7B, "rms_norm_eps": 1e-5, "max_position_embeddings": 4096}
VICUNA_13B = {
    **architectures.VICUNA_7B,
    "hidden_size": 5120,
    "intermediate_size": 13824,
    "num_hidden_layers": 40,
    "num_attention_heads": 40,
}
V_PREDICTION = {**tiny.NOISE_SCHEDULE, "prediction_type": "v_prediction"}  # Stable Diffusion 2.1


def preset_for(llama: dict[str, Any], **changes) -> Preset:
    real = load_preset("7b")
    return dataclasses.replace(real, llm=dataclasses.replace(real.llm, width=llama["hidden_size"], **changes))


@pytest.mark.parametrize(("llama", "layers"), [(VICUNA_7B_V15, 32), (VICUNA_13B, 40)])
def test_another_language_model_in_full_size_without_contents(llama, layers):
    preset, tokenizer = preset_for(llama), SentencePieceTokenizer(GOLDEN / "tiny_tokenizer.model")
    with torch.device("meta"):
        network = LlamaModel(LlamaConfig(**llama))
        head = torch.empty(llama["vocab_size"], llama["hidden_size"])
        llm = TorchLanguageModel(network, tokenizer=tokenizer, added_tokens=preset.added_tokens, output_table=head)
        model = assemble_around(preset, llm)
    width = llama["hidden_size"]
    assert model.input_projection("image", torch.empty(1, 1, 1024, device="meta")).shape == (1, 1, width)
    for modality, count in (("image", 4), ("video", 24), ("audio", 8)):
        states = torch.empty(1, count, width, device="meta")
        assert model.condition(modality, states, states).shape == (1, *preset.outputs[modality].condition_shape)
    assert llm.logits(torch.empty(1, width, device="meta")).shape == (1, 32_038)
    shapes = published_shapes(preset, layers)
    assert shapes["lm_head.weight"] == (32_038, width)
    assert shapes[f"layers.{layers - 1}.self_attn.o_proj.lora_B.weight"] == (width, 32)
    assert shapes["llama_proj.weight"] == (width, 1024)


def test_a_preset_that_names_another_width_than_its_language_model_is_refused(tmp_path):
    small = {"intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(vocab_size=1000, hidden_size=32, **small)).save_pretrained(tmp_path / "vicuna-13b")
    (tmp_path / "vicuna-13b" / "tokenizer.model").write_bytes((GOLDEN / "tiny_tokenizer.model").read_bytes())
    preset = preset_for({"hidden_size": 5120}, path="vicuna-13b", vocabulary=1000, precision="float32")
    with pytest.raises(ConfigError, match=r"llm\.width is 5120, but the part in its folder has 32"):
        build_trainable(dataclasses.replace(preset, folder=tmp_path))


def test_the_plan_follows_the_language_model_that_is_there(tmp_path):
    preset = dataclasses.replace(preset_for(VICUNA_13B, path="vicuna-13b"), folder=tmp_path)
    LlamaConfig(**VICUNA_13B).save_pretrained(tmp_path / "vicuna-13b")
    found = parts_of(preset, precision="4bit", sizes=Sizes())[0]
    with torch.device("meta"):
        llama = LlamaForCausalLM(LlamaConfig(**VICUNA_13B))
    adapter = 40 * 4 * 2 * 32 * 5120
    assert found.parameters == sum(value.numel() for value in llama.parameters()) + 2 * 38 * 5120 + adapter


def stable_diffusion_2(**changes: Any) -> StableDiffusionDecoder:
    parts: dict[str, Any] = {
        "unet": wide_unet(),
        "vae": tiny.vae(),
        "noise_schedule": V_PREDICTION,
        "unconditional": torch.randn(77, 1024, generator=seeded()),
        "defaults": SETTINGS,
        "scheduler": "ddim",
        "pixels": 16,
    }
    return StableDiffusionDecoder(**{**parts, **changes})


def wide_unet() -> UNet2DConditionModel:
    torch.manual_seed(1)
    config = {**tiny.image_unet().config, "cross_attention_dim": 1024, "use_linear_projection": True, "attention_head_dim": [1, 2]}
    return UNet2DConditionModel.from_config(config).eval()


def output(decoder: str, shape: tuple[int, int]) -> OutputConfig:
    return OutputConfig(signals=4, width=8, layers=1, condition_shape=shape, decoder=decoder, path="part")


def built(tmp_path, modality: str, kind: str, shape: tuple[int, int]):
    return build_decoder(dataclasses.replace(load_preset("7b"), folder=tmp_path), modality, output(kind, shape))


def test_stable_diffusion_2(tmp_path):
    decoder = stable_diffusion_2()
    write_folder(tmp_path / "part", decoder, {"pixels": 16, "steps": 2, "scheduler": "ddim"})
    DDIMScheduler.from_config(V_PREDICTION).save_pretrained(tmp_path / "part" / "scheduler")
    loaded = built(tmp_path, "image", "stable_diffusion", (77, 1024))
    wish = torch.randn(77, 1024, generator=seeded(3))
    made = loaded.generate(wish, settings=SETTINGS, generator=seeded())
    assert made.tobytes() == decoder.generate(wish, settings=SETTINGS, generator=seeded()).tobytes()
    pipeline = StableDiffusionPipeline(
        unet=wide_unet(),
        vae=tiny.vae(),
        scheduler=DDIMScheduler.from_config(V_PREDICTION),
        text_encoder=None,
        tokenizer=None,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    theirs = pipeline(
        prompt_embeds=wish[None],
        negative_prompt_embeds=decoder.unconditional[None],
        num_inference_steps=SETTINGS.steps,
        guidance_scale=SETTINGS.guidance,
        generator=seeded(),
        height=16,
        width=16,
        output_type="np",
    ).images[0]
    assert abs(made / 255 - theirs).max() <= 0.5 / 255 + 1e-5
    with pytest.raises(ConfigError, match=r"condition_shape is \[77, 768\], but the part in its folder has \[77, 1024\]"):
        built(tmp_path, "image", "stable_diffusion", (77, 768))
    with pytest.raises(ConfigError, match="makes image, not audio"):
        built(tmp_path, "audio", "stable_diffusion", (77, 1024))


def test_a_text_encoding_of_another_stable_diffusion_is_refused():
    with pytest.raises(ConfigError, match="U-Net has condition width 1024 and its text encoder 768"):
        stable_diffusion_2(unconditional=torch.zeros(77, 768))


def test_zeroscope_xl(tmp_path):
    torch.manual_seed(2)
    unet = UNet3DConditionModel.from_config({**tiny.video_unet().config, "cross_attention_dim": 1024}).eval()
    deep = {**tiny.vae().config, "block_out_channels": [2, 2, 2, 2]}  # eight pixels per cell, as the real one
    deep |= {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
    decoder = ZeroscopeDecoder(
        unet=unet,
        vae=AutoencoderKL.from_config(deep).eval(),
        noise_schedule=tiny.NOISE_SCHEDULE,
        unconditional=torch.zeros(77, 1024),
        defaults=DecoderSettings(steps=1, guidance=1.0, frames=24),
        height=576,
        width=1024,
        fps=8,
    )
    write_folder(tmp_path / "part", decoder, {"pixels": [576, 1024], "frames": 24, "steps": 1})
    loaded: Any = built(tmp_path, "video", "zeroscope", (77, 1024))
    assert loaded.latent_shape(loaded.defaults) == (1, 4, 24, 72, 128)
    made = loaded.generate(torch.zeros(77, 1024), settings=DecoderSettings(steps=1, guidance=1.0, frames=1), generator=seeded())
    assert made.frames.shape == (1, 576, 1024, 3)


def test_audioldm_s(tmp_path):
    torch.manual_seed(3)
    config = {**tiny.audio_unet().config, "projection_class_embeddings_input_dim": 512, "block_out_channels": [8, 16]}
    decoder = AudioLDMDecoder(
        unet=UNet2DConditionModel.from_config(config).eval(),
        vae=tiny.vae(channels=1),
        vocoder=HifiGan(tiny.hifigan()),
        noise_schedule=tiny.NOISE_SCHEDULE,
        unconditional=torch.zeros(1, 512),
        defaults=SETTINGS,
    )
    write_folder(tmp_path / "part", decoder, {"seconds": 0.01, "steps": 2})
    loaded = built(tmp_path, "audio", "audioldm", (1, 512))
    made = loaded.generate(torch.ones(1, 512), settings=SETTINGS, generator=seeded())
    assert made.rate == 16_000 and len(made.samples) == 160
    with pytest.raises(ConfigError, match=r"condition_shape is \[1, 768\], but the part in its folder has \[1, 512\]"):
        built(tmp_path, "audio", "audioldm", (1, 768))
