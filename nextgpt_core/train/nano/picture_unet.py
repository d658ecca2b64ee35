"""The picture decoder: a small UNet2DConditionModel on the autoencoder's latents, conditioned on MiniLM's embedding of the caption."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from nextgpt_core.checkpoints import save_tensors
from nextgpt_core.decoders.stable_diffusion import StableDiffusionDecoder
from nextgpt_core.train.nano import autoencoder
from nextgpt_core.train.nano.denoiser import LatentSet, export_decoder, train_denoiser
from nextgpt_core.train.nano.film_autoencoder import computed_autoencoder
from nextgpt_core.train.nano.mean import residual, train_mean
from nextgpt_core.train.nano.pictures import FLAT_STYLE, PictureScene, caption, render, sample_picture
from nextgpt_core.train.nano.sources import CACHE
from nextgpt_core.train.nano.text_space import CONDITION_SCALE, encode_texts
from nextgpt_core.train.nano.world import Thing, things

log = logging.getLogger(__name__)

RUN = Path("runs/nano/picture_unet")
EXPORT = Path("checkpoints/nano/decoders/image")
LATENTS = CACHE / "nano" / "picture_latents.safetensors"
SETTINGS: dict[str, Any] = {"pixels": autoencoder.PIXELS, "patch": autoencoder.PATCH, "steps": 20, "guidance": 1.5}
PREDICTION = "sample"
_VARIED = 24  # scenes a thing beside the plain one
_PLAIN_SHARE = 0.8
_FLAT_SHARE = 0.08
_WHITENING_FLOOR = 0.05  # beside variances of 1 on the average


def make_unet(**extra: Any) -> UNet2DConditionModel:
    """The untrained network."""
    return UNet2DConditionModel(
        **extra,
        sample_size=autoencoder.PIXELS // autoencoder.PATCH,
        in_channels=autoencoder.LATENTS,
        out_channels=autoencoder.LATENTS,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(48, 96),
        layers_per_block=1,
        cross_attention_dim=384,
        attention_head_dim=4,  # diffusers' name for the number of heads
        norm_num_groups=16,
    )


def train_picture_unet(
    *, cpu_minutes: float = 40, mean_minutes: float = 3.5, batch: int = 16, peak: float = 1.2e-3, run: Path = RUN
) -> None:
    """Train (resumes), with a contact sheet and an exported decoder folder on the way. Needs the autoencoder's folder."""
    torch.manual_seed(0)
    vae = AutoencoderKL.from_pretrained(autoencoder.RUN / "vae")
    data = load_latents()

    mean = train_mean(data, run=RUN.with_name("image_mean"), cpu_minutes=mean_minutes)
    data = residual(mean, data)
    small = compact(vae)

    def snapshot(trained: Any) -> None:
        unet = fold_whitening(trained)
        parts = {"unet": unet, "vae": small, "unconditional": data.unconditional, "mean": mean}
        export_decoder(EXPORT, settings=SETTINGS, prediction=PREDICTION, **parts)
        contact_sheet(SHEET_CAPTIONS, run / "samples.png")

    unet = make_unet(encoder_hid_dim=384, encoder_hid_dim_type="text_proj").to(memory_format=torch.channels_last)
    set_whitening(unet, data.conditions.float())
    nn.init.zeros_(unet.conv_out.weight)  # the first residual is none
    nn.init.zeros_(unet.conv_out.bias)
    log.info("%d latents, %.1f M parameters, latents of %s", len(data.latents), unet.num_parameters() / 1e6, vae.config["scaling_factor"])
    optimizer = torch.optim.AdamW(unet.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.01)
    how: dict[str, Any] = {"batch": batch, "peak": peak, "optimizer": optimizer, "prediction": PREDICTION, "bias": 5.0}
    train_denoiser(unet, data, predict=predict, run=run, cpu_minutes=cpu_minutes, every=400, on_snapshot=snapshot, **how)


def predict(unet: Any, noisy: Tensor, times: Tensor, conditions: Tensor) -> Tensor:
    """The U-Net's call: one condition vector [b, 384] as a sequence of one token."""
    return unet(noisy.contiguous(memory_format=torch.channels_last), times, encoder_hidden_states=conditions[:, None]).sample


@torch.no_grad()
def set_whitening(unet: Any, conditions: Tensor) -> None:
    """Let the network see conditions decorrelated, through its fixed `encoder_hid_proj`.

    Sentence embeddings of things' names are much alike, and what tells them apart lies in directions of small variance, which gradient
    descent learns last; whitened, a picture is remembered after several times fewer steps. The floor keeps noise in empty directions down.
    """
    mean = conditions.mean(0)
    variances, vectors = torch.linalg.eigh((conditions - mean).T @ (conditions - mean) / len(conditions))
    whiten = vectors @ torch.diag((variances + _WHITENING_FLOOR).rsqrt()) @ vectors.T
    unet.encoder_hid_proj.weight.copy_(whiten)
    unet.encoder_hid_proj.bias.copy_(-whiten @ mean)
    unet.encoder_hid_proj.requires_grad_(False)


@torch.no_grad()
def fold_whitening(trained: Any) -> UNet2DConditionModel:
    """The same function as a plain U-Net: attention over a single token is linear, so the projection goes into its values and bias."""
    state = dict(trained.state_dict())
    weight, bias = state.pop("encoder_hid_proj.weight"), state.pop("encoder_hid_proj.bias")
    for name in [name for name in state if name.endswith("attn2.to_v.weight")]:
        block = name.removesuffix("to_v.weight")
        out = state[f"{block}to_out.0.weight"]
        state[f"{block}to_out.0.bias"] = state[f"{block}to_out.0.bias"] + out @ (state[name] @ bias)
        state[name] = state[name] @ weight
        state[f"{block}to_k.weight"] = state[f"{block}to_k.weight"] @ weight  # of no effect with a single token
    unet = make_unet()
    unet.load_state_dict(state)
    return unet.eval()


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


def compact(vae: Any, *, scenes: int = 1500) -> AutoencoderTiny:
    """The autoencoder's linear code without its idle blocks: a fifth of the bytes, and a decoder that looks at neighbouring patches."""
    first = vae.encoder.conv_in
    encode = first.weight[: autoencoder.LATENTS, :, 1, 1].T.detach() * vae.config["scaling_factor"]
    shift = -first.bias[: autoencoder.LATENTS].detach() * vae.config["scaling_factor"]
    return computed_autoencoder(encode, shift, torch.from_numpy(autoencoder.scene_pixels(np.random.default_rng(4), scenes)))


SHEET_CAPTIONS = [
    "a dog", "a cat", "an apple", "a house", "a car", "a rocket", "a tree", "a guitar",
    "a fish", "a pizza", "a camera", "a castle", "an umbrella", "a heart", "a robot", "a bicycle",
    "a puppy", "a burger", "an owl", "a sailboat", "a clock", "a butterfly", "a rose", "a cup of coffee",
    "two red apples on a blue background", "a blue cat", "three bananas", "a small car on the left", "a green dragon on a black background",
    "a yellow bird", "a big heart on a pink background", "a dog in a flat style",
]  # fmt: skip


def contact_sheet(captions: list[str], path: Path, *, seed: int = 0) -> None:
    """A PNG of what the exported decoder makes of captions, eight in a row."""
    decoder = StableDiffusionDecoder.from_folder(EXPORT)
    made = [
        decoder.generate(wish[None], settings=decoder.defaults, generator=torch.Generator().manual_seed(seed))
        for wish in encode_texts(captions) * CONDITION_SCALE
    ]
    rows = [np.concatenate(made[begin : begin + 8], 1) for begin in range(0, len(made), 8)]
    Image.fromarray(np.concatenate([row for row in rows if row.shape == rows[0].shape])).save(path)


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
