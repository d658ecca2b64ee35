"""The picture autoencoder: 128 x 128 pixels as 4 x 4 cells of 32 x 32, each cell 128 latents. diffusers' AutoencoderKL.

The best linear code of patches (principal components) reaches 29 dB here, more than a convolutional autoencoder reaches in an hour of
training on two cores. So the AutoencoderKL is *initialised* to compute that linear code exactly, the encoder stays there (latents can be
cached at once), and training only teaches the decoder's residual blocks to hide the seams between patches. A cell is four patches of
16 x 16, each coded by itself: few wide cells make the denoiser three times as fast as many narrow ones, and it learns as much per sample.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core.train.nano.pictures import render, sample_picture
from nextgpt_core.train.nano.session import Session, learning_rate
from nextgpt_core.train.nano.sprites import FLAT_STYLES, MAIN_STYLE

log = logging.getLogger(__name__)

PIXELS = 128
PATCH = 32  # a cell's side
LATENTS = 128  # per cell
RUN = Path("runs/nano/autoencoder")
_SPLIT = 2  # a cell is _SPLIT x _SPLIT coded patches
_WIDTH = 320
_CONSTANTS = 16  # channels held at +-_LEVEL, which make GroupNorm's divisor the same for every picture
_LEVEL = 64.0
_GAIN = _LEVEL * (_CONSTANTS / _WIDTH) ** 0.5  # what GroupNorm then divides by
_LATENT_NOISE = 0.05  # the decoder learns to bear a denoiser's small errors


@dataclass(frozen=True)
class PatchCode:
    """The linear code: latents = (patch - mean) @ encode, patch = latents @ decode + mean. Patches as F.pixel_unshuffle orders them."""

    mean: Tensor  # [3 * PATCH^2]
    encode: Tensor  # [3 * PATCH^2, LATENTS]
    decode: Tensor  # [LATENTS, 3 * PATCH^2]


def train_autoencoder(
    *, cpu_minutes: float = 10, scenes: int = 5000, batch: int = 16, peak: float = 1e-3, run: Path = RUN
) -> AutoencoderKL:
    """Fit the code, train the decoder's seams, write `run`/vae; returns the network."""
    torch.manual_seed(0)
    rng = np.random.default_rng(1)
    pictures = scene_pixels(rng, scenes)
    held_out = torch.from_numpy(scene_pixels(np.random.default_rng(2), 96, main=1.0))
    vae = make_autoencoder(fit_patches(torch.from_numpy(pictures[:2000]))).to(memory_format=torch.channels_last)
    vae.encoder.requires_grad_(False)
    optimizer = torch.optim.AdamW(vae.decoder.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.0)
    session = Session(run, cpu_seconds=cpu_minutes * 60, state={"vae": vae, "optimizer": optimizer})
    log.info("linear code: %.2f dB", psnr(vae, held_out))
    for step in session.steps():
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(session.progress, peak=peak, cooldown=0.5)
        real = torch.from_numpy(pictures[rng.integers(len(pictures), size=batch)])
        loss = _loss(vae, real)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(vae.decoder.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0:
            session.log(loss=loss.item(), psnr=psnr(vae, held_out))
            vae.save_pretrained(run / "vae")
    vae.save_pretrained(run / "vae")
    return vae


def scene_pixels(rng: np.random.Generator, count: int, *, main: float = 0.75) -> np.ndarray:
    """Random scenes, uint8 [count, 3, PIXELS, PIXELS]; a share `main` of them in the main style."""
    out = np.empty((count, 3, PIXELS, PIXELS), np.uint8)
    for row in range(count):
        styles = (MAIN_STYLE,) if rng.random() < main else FLAT_STYLES
        out[row] = render(sample_picture(rng, styles=styles), PIXELS).transpose(2, 0, 1)
    return out


def fit_patches(pictures: Tensor) -> PatchCode:
    """Principal components of all patches of `pictures` (uint8 [n, 3, h, w]), then a cell's patches side by side.

    Each component is divided by the root of its deviation (half way to whitening: coarse components still stand above fine ones when
    noise comes in), and all by one number, so that latents have unit variance on the whole.
    """
    side, kept = PATCH // _SPLIT, LATENTS // _SPLIT**2
    patches = F.pixel_unshuffle(pictures.float() / 127.5 - 1, side).permute(0, 2, 3, 1).reshape(-1, 3 * side**2)
    mean = patches.mean(0)
    variances, vectors = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
    variances, vectors = variances[-kept:].flip(0), vectors[:, -kept:].flip(1)
    scale = variances.sqrt().sqrt()
    scale = scale * (variances.sqrt() / scale).square().mean().sqrt()
    encode = _spread(vectors / scale)
    decode = _spread(vectors * scale).T
    return PatchCode(mean.view(3, 1, side, 1, side).expand(3, _SPLIT, side, _SPLIT, side).flatten(), encode, decode)


def make_autoencoder(code: PatchCode | None = None) -> AutoencoderKL:
    """The network, computing the linear code exactly where one is given."""
    vae = AutoencoderKL(
        in_channels=3 * PATCH**2,
        out_channels=3 * PATCH**2,
        down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",),
        block_out_channels=(_WIDTH,),
        layers_per_block=1,
        latent_channels=LATENTS,
        norm_num_groups=1,
        mid_block_add_attention=False,
        scaling_factor=1.0,
    )
    if code is not None:
        with torch.no_grad():
            _set_linear(vae, code)
    return vae


def to_network(pictures: Tensor) -> Tensor:
    """uint8 [b, 3, h, w] -> float32 [b, 3 * PATCH^2, h / PATCH, w / PATCH] in -1..1."""
    return F.pixel_unshuffle(pictures.float() / 127.5 - 1, PATCH).contiguous(memory_format=torch.channels_last)


def to_pixels(out: Tensor) -> Tensor:
    """The network's output -> float32 [b, 3, h, w] in -1..1."""
    return F.pixel_shuffle(out, PATCH)


@torch.inference_mode()
def encode(vae: AutoencoderKL, pictures: Tensor, *, batch: int = 32) -> Tensor:
    """uint8 [n, 3, h, w] -> latents float32 [n, LATENTS, h / PATCH, w / PATCH]."""
    return torch.cat([vae.encode(to_network(part)).latent_dist.mode() for part in pictures.split(batch)])


@torch.inference_mode()
def decode(vae: AutoencoderKL, latents: Tensor, *, batch: int = 32) -> Tensor:
    """Latents -> uint8 [n, 3, h, w]."""
    pixels = torch.cat([to_pixels(vae.decode(part).sample) for part in latents.split(batch)])
    return ((pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def psnr(vae: AutoencoderKL, pictures: Tensor) -> float:
    """Mean over pictures (uint8 [n, 3, h, w]) of the reconstruction's peak signal-to-noise ratio, dB."""
    error = (decode(vae, encode(vae, pictures)).float() - pictures.float()).div(255).square().mean((1, 2, 3))
    return float((-10 * error.clamp(min=1e-9).log10()).mean())


def _spread(matrix: Tensor) -> Tensor:
    """[3 * side^2, kept] of one patch -> [3 * PATCH^2, LATENTS] of a cell, both as pixel_unshuffle orders them."""
    side, kept = PATCH // _SPLIT, matrix.shape[1]
    out = matrix.new_zeros(3, _SPLIT, side, _SPLIT, side, kept, _SPLIT, _SPLIT)
    for row in range(_SPLIT):
        for column in range(_SPLIT):
            out[:, row, :, column, :, :, row, column] = matrix.view(3, side, side, kept)
    return out.reshape(3 * PATCH**2, LATENTS)


def _loss(vae: AutoencoderKL, real: Tensor) -> Tensor:
    """Squared and absolute error, and the latter on differences of neighbours, where seams between patches show."""
    with torch.no_grad():
        latents = vae.encode(to_network(real)).latent_dist.mode()
    out = to_pixels(vae.decode(latents + _LATENT_NOISE * torch.randn_like(latents)).sample)
    difference = out - (real.float() / 127.5 - 1)
    edges = difference.diff(dim=3).abs().mean() + difference.diff(dim=2).abs().mean()
    return difference.square().mean() * 4 + difference.abs().mean() + 0.5 * edges


def _set_linear(vae: AutoencoderKL, code: PatchCode) -> None:
    """Weights with which encoder and decoder are the linear code.

    SiLU(x) - SiLU(-x) = x, so values travel as pairs (x, -x); GroupNorm divides by nearly the same number (_GAIN) for every picture
    because of the constant channels; residual blocks start as the identity.
    """
    pair = 2 * LATENTS
    for half in (vae.encoder, vae.decoder):
        for name, module in half.named_modules():
            if name.endswith("conv2"):
                nn.init.zeros_(module.weight)
                nn.init.zeros_(module.bias)
            if name.endswith(("norm1", "conv_norm_out")):
                module.weight[: _WIDTH - _CONSTANTS] = _GAIN  # undo the division: features keep their size
        _zero(half.conv_in)
        _zero(half.conv_out)
        half.conv_in.bias[_WIDTH - _CONSTANTS : _WIDTH - _CONSTANTS // 2] = _LEVEL
        half.conv_in.bias[_WIDTH - _CONSTANTS // 2 :] = -_LEVEL
    _set_centre(vae.encoder.conv_in, slice(0, pair), torch.cat([code.encode.T, -code.encode.T]))
    shift = code.mean @ code.encode
    vae.encoder.conv_in.bias[:pair] = torch.cat([-shift, shift])
    eye = torch.eye(LATENTS)
    _set_centre(vae.decoder.conv_in, slice(0, pair), torch.cat([eye, -eye]))
    vae.encoder.conv_out.weight[:LATENTS, :pair, 1, 1] = torch.cat([eye, -eye], 1)
    vae.encoder.conv_out.bias[LATENTS:] = -20.0  # log variance: the code has no noise of its own
    vae.decoder.conv_out.weight[:, :pair, 1, 1] = torch.cat([code.decode.T, -code.decode.T], 1)
    vae.decoder.conv_out.bias[:] = code.mean
    for conv in (vae.quant_conv, vae.post_quant_conv):
        nn.init.zeros_(conv.bias)
        conv.weight[:, :, 0, 0] = torch.eye(conv.weight.shape[0])


def _zero(conv: nn.Conv2d) -> None:
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)


def _set_centre(conv: nn.Conv2d, rows: slice, matrix: Tensor) -> None:
    conv.weight[rows, :, 1, 1] = matrix
