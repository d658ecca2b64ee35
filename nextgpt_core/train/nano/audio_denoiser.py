"""The sound denoiser: a U-Net over the autoencoder's 8 x 20 x 8 latents, told what to make by one MiniLM vector as class embedding."""

import copy
import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn

from nextgpt_core.checkpoints import read_tensors, save_tensors
from nextgpt_core.train.nano.audio_autoencoder import MEAN, MEL, PATCH, STD, spectrograms, to_network
from nextgpt_core.train.nano.audio_autoencoder import RUN as AUTOENCODER_RUN
from nextgpt_core.train.nano.muon import Muon
from nextgpt_core.train.nano.session import Session, learning_rate
from nextgpt_core.train.nano.sound_blocks import SECONDS
from nextgpt_core.train.nano.sound_data import sound_set
from nextgpt_core.train.nano.sounds import KINDS, SoundScene, caption
from nextgpt_core.train.nano.text_space import CONDITION_SCALE, WIDTH, encode_texts

log = logging.getLogger(__name__)

RUN = Path("runs/nano/audio_denoiser")
FOLDER = Path("checkpoints/nano/decoders/audio")
CACHE = Path(".cache/nano/audio_latents.safetensors")
DEFAULTS = {"steps": 20, "guidance": 3.0}
_UNCONDITIONAL_SHARE = 0.12
_CONDITION_NOISE = 0.3  # the output projection will not hit MiniLM's vectors exactly
_EXPORT_EVERY = 300  # CPU seconds


def make_denoiser() -> Any:
    """The untrained UNet2DConditionModel: the condition is a class embedding as in AudioLDM, there is no cross-attention."""
    return UNet2DConditionModel(
        in_channels=8,
        out_channels=8,
        block_out_channels=(64, 128, 192),
        down_block_types=("DownBlock2D",) * 3,
        mid_block_type="UNetMidBlock2D",
        up_block_types=("UpBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=16,
        class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=WIDTH,
    )


def make_noise_schedule() -> Any:
    """A DDIMScheduler with cosine schedule and velocity prediction; only its configuration is used when sounds are made."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
    )


def train_denoiser(*, cpu_minutes: float = 35, batch: int = 32, peak: float = 2e-3, run: Path = RUN) -> Any:
    """Train on the cached latents; a snapshot goes to FOLDER every few minutes and at the end."""
    torch.manual_seed(0)
    rng = np.random.default_rng(1)
    latents = cached_latents()  # [n, 8, 20, 8]
    wordings = Wordings(sound_set("train")[1])
    nothing = encode_texts([""]) * CONDITION_SCALE
    schedule = make_noise_schedule()
    unet = make_denoiser().to(memory_format=torch.channels_last)
    average = copy.deepcopy(unet).eval().requires_grad_(False)
    optimizer = Muon(unet, lr=peak, adam=("conv_in", "conv_out", "time_embedding", "class_embedding"))
    session = Session(run, cpu_seconds=cpu_minutes * 60, state={"unet": unet, "average": average, "optimizer": optimizer})
    exported, losses = session.seconds, []
    for step in session.steps():
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(session.progress, peak=peak, cooldown=0.5)
        rows = rng.integers(len(latents), size=batch)
        clean = latents[rows].float()
        condition = wordings.conditions(rows, rng)
        condition = condition + torch.randn_like(condition) * (_CONDITION_NOISE * torch.rand(batch, 1))
        condition[torch.rand(batch) < _UNCONDITIONAL_SHARE] = nothing
        noise = torch.randn_like(clean)
        times = ((torch.rand(1) + torch.arange(batch) / batch) % 1 * 1000).long()[torch.randperm(batch)]  # spread evenly: less variance
        noisy = schedule.add_noise(clean, noise, times).contiguous(memory_format=torch.channels_last)
        velocity = schedule.get_velocity(clean, noise, times)
        loss = (unet(noisy, times, encoder_hidden_states=None, class_labels=condition).sample - velocity).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        _follow(average, unet, rate=max(0.002, 1 / (step + 10)))
        losses.append(loss.item())
        if step % 50 == 0:
            session.log(loss=float(np.mean(losses)))
            losses.clear()
        if session.seconds - exported > _EXPORT_EVERY:
            exported = session.seconds
            export(average)
    export(average)
    return average


class Wordings:
    """The MiniLM vectors of every caption of a list of scenes, and of the same caption said with the kind's synonyms."""

    def __init__(self, scenes: Sequence[SoundScene]) -> None:
        texts = [[caption(scene), *(caption(scene, name=name) for name in KINDS[scene.kind].synonyms)] for scene in scenes]
        distinct = sorted({text for row in texts for text in row})
        index = {text: i for i, text in enumerate(distinct)}
        self.vectors = _cached_texts(distinct)
        self.rows = [[index[text] for text in row] for row in texts]

    def conditions(self, rows: np.ndarray, rng: np.random.Generator, *, canonical: float = 0.75) -> Tensor:
        """Scaled vectors [b, 384] for scene numbers [b]; a share `canonical` says the kind's own name."""
        chosen = [self.rows[row][0 if rng.uniform() < canonical else rng.integers(len(self.rows[row]))] for row in rows]
        return self.vectors[chosen] * CONDITION_SCALE


def cached_latents() -> Tensor:
    """The training sounds' scaled latents, float16 [n, 8, 20, 8], encoded once per autoencoder."""
    weights = AUTOENCODER_RUN / "vae" / "diffusion_pytorch_model.safetensors"
    if not CACHE.exists() or CACHE.stat().st_mtime < weights.stat().st_mtime:
        vae = AutoencoderKL.from_pretrained(AUTOENCODER_RUN / "vae").eval().to(memory_format=torch.channels_last)
        parts = []
        with torch.inference_mode():
            for mels in spectrograms(sound_set("train")[0]).split(64):
                mean = vae.encode(to_network(mels)).latent_dist.mode()
                parts.append(((mean - vae.config.shift_factor) * vae.config.scaling_factor).half())
        save_tensors({"latents": torch.cat(parts)}, CACHE)
    return read_tensors(CACHE)["latents"]


def export(unet: Any, *, folder: Path = FOLDER) -> None:
    """The decoder's folder as DecoderFolder reads it, in float16."""
    copy.deepcopy(unet).half().save_pretrained(folder / "unet")
    AutoencoderKL.from_pretrained(AUTOENCODER_RUN / "vae").half().save_pretrained(folder / "vae")
    shutil.rmtree(folder / "scheduler", ignore_errors=True)
    make_noise_schedule().save_pretrained(folder / "scheduler")
    save_tensors({"unconditional": encode_texts([""]) * CONDITION_SCALE}, folder / "unconditional.safetensors")
    settings = {"seconds": SECONDS, "rate": MEL["rate"], "patch": PATCH, **DEFAULTS, "mel": {**MEL, "mean": MEAN, "std": STD}}
    (folder / "decoder.json").write_text(json.dumps(settings, indent=2) + "\n")


def _cached_texts(texts: list[str]) -> Tensor:
    path = CACHE.with_name("audio_captions.pt")
    if path.exists():
        saved = torch.load(path)
        if saved["texts"] == texts:
            return saved["vectors"]
    vectors = encode_texts(texts)
    torch.save({"texts": texts, "vectors": vectors}, path)
    return vectors


@torch.no_grad()
def _follow(average: nn.Module, module: nn.Module, *, rate: float) -> None:
    for slow, fast in zip(average.parameters(), module.parameters()):
        slow.lerp_(fast, rate)
