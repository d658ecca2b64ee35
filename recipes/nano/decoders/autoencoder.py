"""The autoencoder of pictures and videos: 128 x 128 pixels as 4 x 4 cells of 32 x 32, an AutoencoderTiny that is computed, not trained.

The encoder is the principal components of cells, the decoder the least-squares map from each cell's latents and its eight neighbours' back
to pixels, which hides most seams. It loses less than a convolutional one after an hour of training on two cores, and few wide cells make
the U-Nets cheap enough for a laptop.
"""

from typing import Any

import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn
from torch.nn import functional as F

PIXELS = 128
PATCH = 32
GRID = PIXELS // PATCH
_SCALE = 20.0  # AutoencoderTiny squeezes raw latents by tanh(x / 3) * 3: kept this small, they pass unchanged
_RIDGE = 0.01
_COARSE = PATCH // 2  # components are found at half resolution; the decoder paints at full


@torch.no_grad()
def fit_autoencoder(frames: Tensor, *, latents: int) -> AutoencoderTiny:
    """uint8 [n, 3, PIXELS, PIXELS] -> the network with so many `latents` a cell, scaling_factor set so that they have unit variance on
    the whole."""
    encode, shift = _components(frames, latents)
    vae = AutoencoderTiny(
        in_channels=3 * PATCH**2,
        out_channels=3 * PATCH**2,
        encoder_block_out_channels=(2 * latents,),
        decoder_block_out_channels=(2 * latents,),
        num_encoder_blocks=(0,),
        num_decoder_blocks=(0,),
        latent_channels=latents,
        scaling_factor=_SCALE,
    )
    for parameter in vae.requires_grad_(False).parameters():
        nn.init.zeros_(parameter)
    project, rename = _convs(vae.encoder)
    project.weight[:latents, :, 1, 1] = encode.T * 2 / _SCALE  # the encoder sees 0..1 where `encode` was made for -1..1
    project.bias[:latents] = (-encode.sum(0) - shift) / _SCALE
    rename.weight[:, :latents, 1, 1] = torch.eye(latents)
    split, paint = _convs(vae.decoder)
    split.weight[:, :, 1, 1] = torch.cat([torch.eye(latents), -torch.eye(latents)])  # ReLU(x) and ReLU(-x): nothing is lost
    taps, mean = _least_squares(frames, encode_frames(vae, frames))  # [9 * latents, 3 * PATCH^2]
    taps = taps.T.reshape(3 * PATCH**2, latents, 3, 3) * _SCALE / 2  # the decoder's output is 0..1
    paint.weight[:] = torch.cat([taps, -taps], 1)
    paint.bias[:] = (mean + 1) / 2
    return vae.eval()


@torch.no_grad()
def encode_frames(vae: Any, frames: Tensor, *, batch: int = 256) -> Tensor:
    """uint8 [n, 3, PIXELS, PIXELS] -> float32 [n, latents, GRID, GRID] of unit variance."""
    weight, bias = linear_encoder(vae)
    parts = [F.conv2d(F.avg_pool2d(part.float() / 255, 2), weight, bias, stride=_COARSE) for part in frames.split(batch)]
    return torch.cat(parts)


@torch.no_grad()
def linear_encoder(vae: Any) -> tuple[Tensor, Tensor]:
    """The encoder's outer taps are zero and it is constant on 2 x 2 pixels; so it is one convolution over pictures of half the size with
    colours 0..1: (weight [latents, 3, PATCH / 2, PATCH / 2], bias [latents])."""
    latents, scale = vae.config.latent_channels, vae.config.scaling_factor
    project = _convs(vae.encoder)[0]
    fine = project.weight[:latents, :, 1, 1].unflatten(1, (3, _COARSE, 2, _COARSE, 2))
    return fine.sum((3, 5)) * scale, project.bias[:latents] * scale


@torch.no_grad()
def decode_frames(vae: Any, latents: Tensor) -> Tensor:
    """The reverse: uint8 [n, 3, PIXELS, PIXELS]."""
    pixels = F.pixel_shuffle(vae.decoder(latents / vae.config.scaling_factor), PATCH)
    return ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte()


def _components(frames: Tensor, latents: int) -> tuple[Tensor, Tensor]:
    """(encode [3 * PATCH^2, latents], shift [latents]): latents = patch @ encode - shift, patches in -1..1.

    Latents are scaled by the square root of their deviation (details stay smaller than outlines, as in pictures), then all by one number.
    """
    coarse = F.avg_pool2d(frames.float() / 127.5 - 1, 2)
    patches = F.pixel_unshuffle(coarse, _COARSE).permute(0, 2, 3, 1).reshape(-1, 3 * _COARSE**2)
    mean = patches.mean(0)
    variances, vectors = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
    deviations, vectors = variances[-latents:].flip(0).sqrt(), vectors[:, -latents:].flip(1)
    scale = deviations.sqrt()
    scale = scale * (deviations / scale).square().mean().sqrt()
    small = vectors / scale  # [3 * 16^2, latents]
    spread = small.T.reshape(latents, 3, _COARSE, _COARSE).repeat_interleave(2, 2).repeat_interleave(2, 3) / 4
    return spread.reshape(latents, -1).T.contiguous(), mean @ small


def _least_squares(frames: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
    """Ridge regression of patches on the 3 x 3 latents around them: (taps [9 * width, 3 * PATCH^2], mean [3 * PATCH^2])."""
    width = latents.shape[1]
    around = F.unfold(latents, 3, padding=1).transpose(1, 2).reshape(-1, 9 * width)
    wanted = F.pixel_unshuffle(frames.float() / 127.5 - 1, PATCH).permute(0, 2, 3, 1).reshape(len(around), -1)
    mean = wanted.mean(0)
    gram = around.T @ around + _RIDGE * len(around) * torch.eye(9 * width)
    return torch.linalg.solve(gram, around.T @ (wanted - mean)), mean


def _convs(half: nn.Module) -> list[Any]:
    return [module for module in half.modules() if isinstance(module, nn.Conv2d)]
