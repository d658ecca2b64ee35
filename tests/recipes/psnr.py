"""How well an autoencoder keeps what it is given."""

from typing import Any

from torch import Tensor

from recipes.nano.decoders.autoencoder import decode_frames, encode_frames


def psnr(vae: Any, frames: Tensor) -> float:
    """Of the reconstruction, mean over frames, dB."""
    error = (decode_frames(vae, encode_frames(vae, frames)).float() - frames.float()).div(255).square().mean((1, 2, 3))
    return float((-10 * error.clamp(min=1e-9).log10()).mean())
