"""The published parts' architectures, as their config files on the hub give them: for measuring and rehearsing without the weights."""

from typing import Any

from nextgpt_core.placement.parts import LANGUAGE_MODELS

Config = dict[str, Any]


def _unet(*, across: int, kind: str = "2D", heads: int = 8) -> Config:
    """Three levels that look at the condition, and the smallest one that does not."""
    return {
        **{"in_channels": 4, "out_channels": 4, "layers_per_block": 2, "block_out_channels": [320, 640, 1280, 1280]},
        **{"cross_attention_dim": across, "attention_head_dim": heads},
        "down_block_types": [f"CrossAttnDownBlock{kind}"] * 3 + [f"DownBlock{kind}"],
        "up_block_types": [f"UpBlock{kind}"] + [f"CrossAttnUpBlock{kind}"] * 3,
    }


def _vae(*, channels: int, latents: int, blocks: list[int], scale: float) -> Config:
    return {
        **{"in_channels": channels, "out_channels": channels, "latent_channels": latents, "block_out_channels": blocks},
        **{"layers_per_block": 2, "norm_num_groups": 32, "sample_size": 512, "scaling_factor": scale},
        "down_block_types": ["DownEncoderBlock2D"] * len(blocks),
        "up_block_types": ["UpDecoderBlock2D"] * len(blocks),
    }


def _schedule(start: float, end: float, **more: Any) -> Config:
    fixed = {"num_train_timesteps": 1000, "beta_schedule": "scaled_linear", "clip_sample": False, "set_alpha_to_one": False}
    return {**fixed, "beta_start": start, "beta_end": end, "steps_offset": 1, **more}


_PICTURE_VAE = _vae(channels=3, latents=4, blocks=[128, 256, 512, 512], scale=0.18215)
_CLIP_VISION = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}

STABLE_DIFFUSION: dict[str, Config] = {
    "unet": {"sample_size": 64, **_unet(across=768)},
    "vae": _PICTURE_VAE,
    "scheduler": _schedule(0.00085, 0.012, skip_prk_steps=True),
    "safety_checker": {"projection_dim": 768, "vision_config": {**_CLIP_VISION, "patch_size": 14, "image_size": 224}},
}
ZEROSCOPE: dict[str, Config] = {
    "unet": {"sample_size": 32, **_unet(across=1024, kind="3D", heads=64)},
    "vae": _PICTURE_VAE,
    "scheduler": _schedule(0.00085, 0.012),
}
AUDIOLDM: dict[str, Config] = {
    "unet": {
        **{"sample_size": 128, "in_channels": 8, "out_channels": 8, "layers_per_block": 2, "attention_head_dim": 8},
        **{"block_out_channels": [256, 512, 768, 1280], "cross_attention_dim": [256, 512, 768, 1280]},
        **{"class_embed_type": "simple_projection", "projection_class_embeddings_input_dim": 512, "class_embeddings_concat": True},
        "down_block_types": ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 3,
        "up_block_types": ["CrossAttnUpBlock2D"] * 3 + ["UpBlock2D"],
    },
    "vae": _vae(channels=1, latents=8, blocks=[128, 256, 512], scale=0.9227914214134216),
    "scheduler": _schedule(0.0015, 0.0195),
    "vocoder": {
        **{"model_in_dim": 64, "sampling_rate": 16000, "upsample_initial_channel": 1024, "normalize_before": False},
        **{"upsample_rates": [5, 4, 2, 2, 2], "upsample_kernel_sizes": [16, 16, 8, 4, 4]},
    },
}
VICUNA_7B: Config = LANGUAGE_MODELS["vicuna-7b-v0"]
