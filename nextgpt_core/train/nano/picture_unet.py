"""The picture decoder: a small UNet2DConditionModel on the autoencoder's latents, conditioned on MiniLM's embedding of the caption."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from nextgpt_core.checkpoints import save_tensors
from nextgpt_core.decoders.diffusion import denoise, make_scheduler
from nextgpt_core.train.nano import autoencoder
from nextgpt_core.train.nano.denoiser import LatentSet, export_decoder, noise_schedule, train_denoiser
from nextgpt_core.train.nano.pictures import FLAT_STYLE, PictureScene, caption, render, sample_picture
from nextgpt_core.train.nano.sources import CACHE
from nextgpt_core.train.nano.text_space import CONDITION_SCALE, encode_texts
from nextgpt_core.train.nano.world import Thing, things

log = logging.getLogger(__name__)

RUN = Path("runs/nano/picture_unet")
EXPORT = Path("checkpoints/nano/decoders/image")
LATENTS = CACHE / "nano" / "picture_latents.safetensors"
SETTINGS: dict[str, Any] = {"pixels": autoencoder.PIXELS, "patch": autoencoder.PATCH, "steps": 20, "guidance": 3.0}
_VARIED = 24  # scenes a thing beside the plain one
_PLAIN_SHARE = 0.6
_FLAT_SHARE = 0.08


def make_unet() -> UNet2DConditionModel:
    """The untrained network."""
    return UNet2DConditionModel(
        sample_size=autoencoder.PIXELS // autoencoder.PATCH,
        in_channels=autoencoder.LATENTS,
        out_channels=autoencoder.LATENTS,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(192, 256),
        layers_per_block=1,
        cross_attention_dim=384,
        attention_head_dim=4,  # diffusers' name for the number of heads
        norm_num_groups=16,
    )


def train_picture_unet(*, cpu_minutes: float = 40, batch: int = 48, peak: float = 1.2e-3, run: Path = RUN) -> None:
    """Train (resumes), with a contact sheet and an exported decoder folder on the way. Needs the autoencoder's folder."""
    torch.manual_seed(0)
    vae = AutoencoderKL.from_pretrained(autoencoder.RUN / "vae")
    data = load_latents()

    def snapshot(unet: Any) -> None:
        current = AutoencoderKL.from_pretrained(autoencoder.RUN / "vae")  # its decoder may have learnt meanwhile
        export_decoder(EXPORT, unet=unet, vae=current, unconditional=data.unconditional, settings=SETTINGS)
        contact_sheet(unet, current, data.unconditional, SHEET_CAPTIONS, run / "samples.png")

    unet = make_unet().to(memory_format=torch.channels_last)
    log.info("%d latents, %.1f M parameters, latents of %s", len(data.latents), unet.num_parameters() / 1e6, vae.config["scaling_factor"])
    optimizer = torch.optim.AdamW(unet.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.01)
    how: dict[str, Any] = {"run": run, "cpu_minutes": cpu_minutes, "batch": batch, "peak": peak, "optimizer": optimizer}
    train_denoiser(unet, data, predict=predict, every=200, on_snapshot=snapshot, **how)


def predict(unet: Any, noisy: Tensor, times: Tensor, conditions: Tensor) -> Tensor:
    """The U-Net's call: one condition vector [b, 384] as a sequence of one token."""
    return unet(noisy.contiguous(memory_format=torch.channels_last), times, encoder_hidden_states=conditions[:, None]).sample


def build_latents(path: Path = LATENTS, *, seed: int = 3) -> None:
    """Render and encode each thing plainly (under all its names) and in varied scenes, and keep latents and captions' embeddings."""
    vae = AutoencoderKL.from_pretrained(autoencoder.RUN / "vae").eval()
    rng = np.random.default_rng(seed)
    latents, captions, weights = [], [], []
    for thing in things():
        rows = _rows(rng, thing)
        pixels = torch.from_numpy(np.stack([render(scene, autoencoder.PIXELS) for scene, _, _ in rows])).permute(0, 3, 1, 2)
        latents.append(autoencoder.encode(vae, pixels).half())
        captions += [text for _, text, _ in rows]
        weights += [weight for _, _, weight in rows]
    save_tensors(
        {
            "latents": torch.cat(latents) * vae.config["scaling_factor"],
            "conditions": (encode_texts(captions) * CONDITION_SCALE).half(),
            "weights": torch.tensor(weights),
            "unconditional": encode_texts([""])[0] * CONDITION_SCALE,
        },
        path,
    )


def load_latents(path: Path = LATENTS) -> LatentSet:
    """The cached set, built on first use (two minutes)."""
    if not path.exists():
        build_latents(path)
    return LatentSet(**load_file(path))


@torch.inference_mode()
def draw(
    unet: Any, vae: Any, unconditional: Tensor, captions: list[str], *, steps: int = 20, guidance: float = 3.0, seed: int = 0
) -> Tensor:
    """Pictures for captions, uint8 [n, 3, h, w]; the trainer's own look at what it makes."""
    conditions = encode_texts(captions) * CONDITION_SCALE
    shape = (len(captions), unet.config.in_channels, unet.config.sample_size, unet.config.sample_size)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    latents = denoise(
        noise,
        predict=lambda noisy, time, condition: predict(unet, noisy, time.expand(len(noisy)), condition),
        condition=conditions,
        unconditional=unconditional.expand(len(captions), -1),
        scheduler=make_scheduler(dict(noise_schedule().config), "dpm++"),
        steps=steps,
        guidance=guidance,
    )
    return autoencoder.decode(vae, latents / vae.config["scaling_factor"])


SHEET_CAPTIONS = [
    "a dog", "a cat", "an apple", "a house", "a car", "a rocket", "a tree", "a guitar",
    "a fish", "a pizza", "a camera", "a castle", "an umbrella", "a heart", "a robot", "a bicycle",
    "a puppy", "a burger", "an owl", "a sailboat", "a clock", "a butterfly", "a rose", "a cup of coffee",
    "two red apples on a blue background", "a blue cat", "three bananas", "a small car on the left", "a green dragon on a black background",
    "a yellow bird", "a big heart on a pink background", "a dog in a flat style",
]  # fmt: skip


def contact_sheet(unet: Any, vae: Any, unconditional: Tensor, captions: list[str], path: Path, **how: Any) -> None:
    """A PNG of samples, eight in a row."""
    pictures = draw(unet, vae, unconditional, captions, **how)
    rows = [torch.cat(list(pictures[begin : begin + 8]), 2) for begin in range(0, len(pictures), 8)]
    Image.fromarray(torch.cat([row for row in rows if row.shape == rows[0].shape], 1).permute(1, 2, 0).numpy()).save(path)


def _rows(rng: np.random.Generator, thing: Thing) -> list[tuple[PictureScene, str, float]]:
    """Scenes of one thing with caption and weight: plain ones share _PLAIN_SHARE of the draws, the canonical name most of that."""
    plain = PictureScene(thing)
    names = [(thing.singular, 1.0), (thing.name, 0.25)]
    for synonym in thing.synonyms:
        article = ("an" if synonym[0] in "aeiou" else "a") if thing.article else ""
        names.append((f"{article} {synonym}".strip(), 0.25))
    total = sum(weight for _, weight in names)
    rows = [(plain, text, _PLAIN_SHARE * weight / total) for text, weight in names]
    flat = round(_VARIED * _FLAT_SHARE)
    for index in range(_VARIED):
        styles = (FLAT_STYLE,) if index < flat else (plain.style,)
        scene = sample_picture(rng, thing=thing, styles=styles, canonical=1.0 if index in (0, flat) else 0.1, jitter=0.3, first=True)
        rows.append((scene, caption(scene), (1 - _PLAIN_SHARE) / _VARIED))
    return rows
