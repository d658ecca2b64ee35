"""The sound autoencoder: log-mel [160 frames, 64 bins], unshuffled by 4 to 16 channels at 40 x 16, to 8 x 20 x 8 latents."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from nextgpt_core.mel import LogMel
from nextgpt_core.train.schedules import trapezoid
from nextgpt_core.train.session import Budget, Session
from recipes.nano.muon import Muon
from recipes.nano.paths import PRESET, RUNS
from recipes.nano.world.sounds.dataset import sound_set

log = logging.getLogger(__name__)

# What the decoder paints; also written to its decoder.json, from which the vocoder is built.
MEL = {"rate": 16_000, "fft": 1024, "hop": 256, "bins": 64, "low": 0.0, "high": 8000.0, "floor": 2e-4}
MEAN, STD = -6.0, 2.0  # of log-mel over the training sounds, roughly: the network sees values of unit size
PATCH = 4
RUN = RUNS / "audio_autoencoder"
EXPORT = PRESET / "decoders" / "audio" / "vae"
_KL_WEIGHT = 1e-4
_EDGE_WEIGHT = 0.3


def make_autoencoder() -> Any:
    """The untrained AutoencoderKL."""
    return AutoencoderKL(
        in_channels=PATCH**2,
        out_channels=PATCH**2,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(48, 96),
        layers_per_block=1,
        latent_channels=8,
        norm_num_groups=16,
        mid_block_add_attention=False,
        scaling_factor=1.0,
    )


def spectrograms(samples: np.ndarray, *, chunk: int = 64) -> Tensor:
    """int16 or float [n, 40960] -> normalised log-mels float16 [n, 160, 64]."""
    mel = LogMel(**MEL)  # type: ignore[arg-type]
    scale = 1 / 32767 if samples.dtype == np.int16 else 1.0
    parts = [mel(torch.from_numpy(samples[i : i + chunk].astype(np.float32) * scale)) for i in range(0, len(samples), chunk)]
    return ((torch.cat([part.half() for part in parts]).float() - MEAN) / STD).half()


def to_network(mels: Tensor) -> Tensor:
    """[b, 160, 64] -> float32 [b, 16, 40, 16]."""
    return F.pixel_unshuffle(mels.float()[:, None], PATCH).contiguous(memory_format=torch.channels_last)


def to_mels(out: Tensor) -> Tensor:
    """The network's output [b, 16, 40, 16] -> [b, 160, 64]."""
    return F.pixel_shuffle(out, PATCH)[:, 0]


def train_autoencoder(*, cpu_minutes: float = 10, batch: int = 12, peak: float = 4e-3, run: Path = RUN) -> Any:
    """Train on all training sounds; returns the network with its latent scale set, and exports it to `run`/vae."""
    torch.manual_seed(0)
    rng = np.random.default_rng(1)
    mels = spectrograms(sound_set("train")[0])
    held_out = spectrograms(sound_set("heldout")[0][:180])
    vae = make_autoencoder().to(memory_format=torch.channels_last)
    optimizer = Muon(vae, lr=peak, adam=("encoder.conv_out", "decoder.conv_out", "quant_conv", "post_quant_conv"))
    session = Session(run, budget=Budget(cpu_seconds=cpu_minutes * 60), state={"vae": vae, "optimizer": optimizer})
    for step in session.steps():
        for group in optimizer.param_groups:
            group["lr"] = peak * trapezoid(session.progress, cooldown=0.6)
        rows = torch.from_numpy(rng.integers(len(mels), size=batch))
        loss = _loss(vae, mels[rows])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0:
            session.log(loss=loss.item(), error=error(vae, held_out[:60]))
    vae.eval()
    log.info("held-out error %.3f nat", error(vae, held_out))
    _normalise(vae, mels[:720])
    vae.save_pretrained(run / "vae")
    return vae


def load_autoencoder() -> Any:
    """The network as it was trained here, else the bundled one."""
    found = RUN / "vae"
    return AutoencoderKL.from_pretrained(found if found.is_dir() else EXPORT, torch_dtype=torch.float32).eval()


@torch.inference_mode()
def error(vae: Any, mels: Tensor) -> float:
    """Mean absolute error of reconstructed log-mels, in natural-log units."""
    out = torch.cat([to_mels(vae.decode(vae.encode(to_network(part)).latent_dist.mode()).sample) for part in mels.split(32)])
    return float((out - mels.float()).abs().mean() * STD)


def _loss(vae: Any, mels: Tensor) -> Tensor:
    """Absolute and squared error, the same on differences of neighbours (onsets, partials), and a slight pull of the latents to a unit
    Gaussian."""
    latents = vae.encode(to_network(mels)).latent_dist
    difference = to_mels(vae.decode(latents.sample()).sample) - mels.float()
    edges = difference.diff(dim=2).abs().mean() + difference.diff(dim=1).abs().mean()
    kl = latents.kl().mean() / latents.mean[0].numel()
    return difference.abs().mean() + 0.5 * difference.square().mean() + _EDGE_WEIGHT * edges + _KL_WEIGHT * kl


@torch.inference_mode()
def _normalise(vae: Any, mels: Tensor) -> None:
    """Set the configuration's scale and shift so that scaled latents have zero mean and unit deviation."""
    latents = torch.cat([vae.encode(to_network(part)).latent_dist.mode() for part in mels.split(32)])
    vae.register_to_config(scaling_factor=1 / float(latents.std()), shift_factor=float(latents.mean()))
