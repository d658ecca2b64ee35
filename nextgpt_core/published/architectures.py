"""The published parts' architectures, as their config files on the hub give them: for planning and rehearsing without the weights."""

from typing import Any

_VAE: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "sample_size": 512,
    "scaling_factor": 0.18215,
}
_BETAS: dict[str, Any] = {"num_train_timesteps": 1000, "beta_schedule": "scaled_linear", "clip_sample": False, "set_alpha_to_one": False}

STABLE_DIFFUSION: dict[str, dict[str, Any]] = {
    "unet": {
        "sample_size": 64,
        "in_channels": 4,
        "out_channels": 4,
        "layers_per_block": 2,
        "block_out_channels": [320, 640, 1280, 1280],
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
        "cross_attention_dim": 768,
        "attention_head_dim": 8,
    },
    "vae": _VAE,
    "scheduler": {**_BETAS, "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1, "skip_prk_steps": True},
    "safety_checker": {
        "projection_dim": 768,
        "vision_config": {
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "patch_size": 14,
            "image_size": 224,
        },
    },
}

ZEROSCOPE: dict[str, dict[str, Any]] = {
    "unet": {
        "sample_size": 32,
        "in_channels": 4,
        "out_channels": 4,
        "layers_per_block": 2,
        "block_out_channels": [320, 640, 1280, 1280],
        "down_block_types": ["CrossAttnDownBlock3D"] * 3 + ["DownBlock3D"],
        "up_block_types": ["UpBlock3D"] + ["CrossAttnUpBlock3D"] * 3,
        "cross_attention_dim": 1024,
        "attention_head_dim": 64,
    },
    "vae": _VAE,
    "scheduler": {**_BETAS, "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1},
}

AUDIOLDM: dict[str, dict[str, Any]] = {
    "unet": {
        "sample_size": 128,
        "in_channels": 8,
        "out_channels": 8,
        "layers_per_block": 2,
        "block_out_channels": [256, 512, 768, 1280],
        "down_block_types": ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 3,
        "up_block_types": ["CrossAttnUpBlock2D"] * 3 + ["UpBlock2D"],
        "cross_attention_dim": [256, 512, 768, 1280],
        "attention_head_dim": 8,
        "class_embed_type": "simple_projection",
        "projection_class_embeddings_input_dim": 512,
        "class_embeddings_concat": True,
    },
    "vae": {
        "in_channels": 1,
        "out_channels": 1,
        "latent_channels": 8,
        "block_out_channels": [128, 256, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 3,
        "up_block_types": ["UpDecoderBlock2D"] * 3,
        "layers_per_block": 2,
        "norm_num_groups": 32,
        "sample_size": 512,
        "scaling_factor": 0.9227914214134216,
    },
    "scheduler": {**_BETAS, "beta_start": 0.0015, "beta_end": 0.0195, "steps_offset": 1},
    "vocoder": {
        "model_in_dim": 64,
        "sampling_rate": 16000,
        "upsample_initial_channel": 1024,
        "upsample_rates": [5, 4, 2, 2, 2],
        "upsample_kernel_sizes": [16, 16, 8, 4, 4],
        "normalize_before": False,
    },
}

VICUNA_7B: dict[str, Any] = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
}

# The parameters of each part that stays in memory, by the folder that checkpoints/7b/preset.json gives it; a test counts them again.
PARAMETERS: dict[str, dict[str, int]] = {
    "imagebind": {"vision and audio towers": 719_065_088},
    "stable-diffusion-v1-5": {"unet": 859_520_964, "vae": 83_653_863, "safety_checker": 303_981_588},
    "zeroscope_v2_576w": {"unet": 1_411_233_860, "vae": 83_653_863},
    "audioldm-l-full": {"unet": 739_139_080, "vae": 55_376_873, "vocoder": 55_264_897},
}
LANGUAGE_MODELS: dict[str, dict[str, Any]] = {"vicuna-7b-v0": VICUNA_7B}
