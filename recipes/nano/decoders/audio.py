"""The sound decoder: a small UNet2DConditionModel on the autoencoder's latents, told what to make by MiniLM's embedding of the caption."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from recipes.nano.decoders.audio_autoencoder import MEAN, MEL, PATCH, STD, load_autoencoder, spectrograms, to_network
from recipes.nano.decoders.regression import residual, train_mean
from recipes.nano.decoders.unet import LatentSet, export_decoder, read_latents, train_denoiser, write_latents
from recipes.nano.paths import DATA, PRESET, RUNS
from recipes.nano.text_space import WIDTH
from recipes.nano.world.sounds.blocks import SECONDS
from recipes.nano.world.sounds.catalogue import KINDS, SoundScene, caption
from recipes.nano.world.sounds.dataset import sound_set

log = logging.getLogger(__name__)

RUN = RUNS / "audio_unet"
EXPORT = PRESET / "decoders" / "audio"
LATENTS = DATA / "audio_latents.safetensors"
SETTINGS: dict[str, Any] = {
    "seconds": SECONDS,
    "rate": MEL["rate"],
    "patch": PATCH,
    "steps": 20,
    "guidance": 1.5,
    "mel": {**MEL, "mean": MEAN, "std": STD},
}
PREDICTION = "sample"
_SYNONYM_SHARE = 0.25
_PLAIN_WEIGHT = 12.0  # of sounds with nothing special: they are asked for most


def make_unet() -> Any:
    """The untrained UNet2DConditionModel: as in AudioLDM the condition is a class embedding, there is no cross-attention."""
    return UNet2DConditionModel(
        sample_size=20,
        in_channels=8,
        out_channels=8,
        down_block_types=("DownBlock2D",) * 3,
        mid_block_type="UNetMidBlock2D",
        up_block_types=("UpBlock2D",) * 3,
        block_out_channels=(32, 64, 96),
        layers_per_block=1,
        norm_num_groups=16,
        class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=WIDTH,
    )


def train_audio_unet(*, cpu_minutes: float = 1, mean_minutes: float = 4, batch: int = 32, peak: float = 2e-3, run: Path = RUN) -> None:
    """Train (resumes) with an exported decoder folder on the way."""
    torch.manual_seed(0)
    vae = load_autoencoder()
    data = load_latents()
    mean = train_mean(data, run=run.with_name("audio_mean"), cpu_minutes=mean_minutes)
    data = residual(mean, data)

    def snapshot(unet: Any) -> None:
        parts = {"unet": unet, "vae": vae, "unconditional": data.unconditional, "mean": mean}
        export_decoder(EXPORT, settings=SETTINGS, prediction=PREDICTION, **parts)

    unet = make_unet().to(memory_format=torch.channels_last)
    nn.init.zeros_(unet.conv_out.weight)  # the first residual is none
    nn.init.zeros_(unet.conv_out.bias)
    log.info("%d latents, %.1f M parameters", len(data.latents), unet.num_parameters() / 1e6)
    how: dict[str, Any] = {"batch": batch, "peak": peak, "prediction": PREDICTION}
    train_denoiser(unet, data, predict=predict, run=run, cpu_minutes=cpu_minutes, every=300, on_snapshot=snapshot, **how)


def predict(unet: Any, noisy: Tensor, times: Tensor, conditions: Tensor) -> Tensor:
    """The U-Net's call: one condition vector [b, 384] as class embedding."""
    return unet(noisy.contiguous(memory_format=torch.channels_last), times, encoder_hidden_states=None, class_labels=conditions).sample


def build_latents(path: Path = LATENTS, *, seed: int = 3) -> None:
    """Encode the training sounds; of each caption's the most typical is kept (a regression would make a blur of all). It counts under its
    caption and, more lightly, under one with a synonym."""
    vae = load_autoencoder().to(memory_format=torch.channels_last)
    samples, scenes = sound_set("train")
    parts = []
    with torch.inference_mode():
        for mels in spectrograms(samples).split(64):
            mean = vae.encode(to_network(mels)).latent_dist.mode()
            parts.append(((mean - vae.config.shift_factor) * vae.config.scaling_factor).half())
    kept = typical(torch.cat(parts), [caption(scene) for scene in scenes])
    latents, scenes = torch.cat(parts)[kept], [scenes[row] for row in kept]
    rng = np.random.default_rng(seed)
    captions = [caption(scene) for scene in scenes] + [_in_other_words(scene, rng) for scene in scenes]
    plain = torch.tensor([1.0 if scene.attributes else _PLAIN_WEIGHT for scene in scenes])
    weights = torch.cat([plain * (1 - _SYNONYM_SHARE), plain * _SYNONYM_SHARE])
    write_latents(path, torch.cat([latents, latents]), captions, weights)


def typical(latents: Tensor, captions: Sequence[str]) -> list[int]:
    """Of each caption, the row of latents [n, ...] nearest to the mean of all its rows."""
    rows: dict[str, list[int]] = {}
    for row, said in enumerate(captions):
        rows.setdefault(said, []).append(row)
    chosen = []
    for mine in rows.values():
        found = latents[mine].float().flatten(1)
        chosen.append(mine[int((found - found.mean(0)).square().sum(1).argmin())])
    return chosen


def load_latents(path: Path = LATENTS) -> LatentSet:
    """The cached set, built on first use (three minutes)."""
    if not path.exists():
        build_latents(path)
    return read_latents(path)


def _in_other_words(scene: SoundScene, rng: np.random.Generator) -> str:
    synonyms = KINDS[scene.kind].synonyms
    return caption(scene, name=synonyms[rng.integers(len(synonyms))] if synonyms else None)
