"""The video decoder: a small UNet3DConditionModel on the video autoencoder's latents, conditioned on MiniLM's embedding of the caption.

Every thing of the world in every motion but one, which is left for evaluation.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderTiny, UNet3DConditionModel
from PIL import Image
from torch import Tensor, nn

from nextgpt_core.decoders.zeroscope import ZeroscopeDecoder
from recipes.nano.decoders import autoencoder
from recipes.nano.decoders.regression import residual
from recipes.nano.decoders.staging import Staging, train_staged
from recipes.nano.decoders.unet import LatentSet, export_decoder, read_latents, train_denoiser, write_latents
from recipes.nano.paths import DATA, PRESET, RUNS
from recipes.nano.text_space import CONDITION_SCALE, encode_texts
from recipes.nano.world.pictures import BACKGROUNDS, COLOURS, SIZES, PictureScene
from recipes.nano.world.things import Thing, things
from recipes.nano.world.videos import FRAMES, MOTIONS, VideoScene, caption, is_held_out, poses, render, sample_video

log = logging.getLogger(__name__)

RUN = RUNS / "video_unet"
EXPORT = PRESET / "decoders" / "video"
LATENTS = DATA / "video_latents.safetensors"
SETTINGS: dict[str, Any] = {
    "pixels": autoencoder.PIXELS,
    "patch": autoencoder.PATCH,
    "frames": FRAMES,
    "fps": 8,
    "steps": 12,
    "guidance": 1.5,
}
PREDICTION = "sample"
CHANNELS = 128  # latents of a cell
_MIXED = 14  # videos of a thing with attributes, beside the plain ones


def make_unet() -> Any:
    """The untrained network."""
    return UNet3DConditionModel(
        sample_size=autoencoder.GRID,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        down_block_types=("DownBlock3D", "CrossAttnDownBlock3D"),
        up_block_types=("CrossAttnUpBlock3D", "UpBlock3D"),
        block_out_channels=(48, 64),
        layers_per_block=1,
        cross_attention_dim=384,
        attention_head_dim=4,  # diffusers' name for the number of heads
        norm_num_groups=16,
    )


def train_video_unet(
    *,
    cpu_minutes: float = 3,
    mean_minutes: float = 18,
    batch: int = 6,
    peak: float = 1e-3,
    every: int = 0,
    go_on: bool = False,
    run: Path = RUN,
) -> None:
    """Train (resumes), with a sheet of video strips and an exported decoder folder at the end, and every `every` steps if that is not 0.

    `go_on`: begin to draw as the bundled one does.
    """
    torch.manual_seed(0)
    data, vae = load_latents()
    found = scenes()
    known = Staging.of([scene.picture for scene in found], np.stack([poses(scene) for scene in found])[:, :, None])
    start = EXPORT / "mean.safetensors" if go_on else None
    mean = train_staged(data, vae, known, run=run.with_name("video_mean"), cpu_minutes=mean_minutes, staged=16, start=start)
    data = residual(mean, data)
    unet = make_unet()
    nn.init.zeros_(unet.conv_out.weight)  # the first residual is none
    nn.init.zeros_(unet.conv_out.bias)
    for module in unet.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.0)

    def snapshot(average: Any) -> None:
        parts = {"unet": average, "vae": vae, "unconditional": data.unconditional, "mean": mean}
        export_decoder(EXPORT, settings=SETTINGS, prediction=PREDICTION, **parts)
        video_sheet(SHEET_CAPTIONS, run / "samples.png")

    how: dict[str, Any] = {"batch": batch, "peak": peak, "optimizer": optimizer, "prediction": PREDICTION}
    train_denoiser(unet, data, predict=predict, run=run, cpu_minutes=cpu_minutes, every=every, on_snapshot=snapshot, **how)


def predict(unet: Any, noisy: Tensor, times: Tensor, conditions: Tensor) -> Tensor:
    """The U-Net's call: one condition vector [b, 384] as a sequence of one token."""
    made: Tensor = unet(noisy, times, encoder_hidden_states=conditions[:, None]).sample
    return made


def load_latents(path: Path = LATENTS) -> tuple[LatentSet, AutoencoderTiny]:
    """The cached videos and their autoencoder, built on first use (eight minutes)."""
    if not path.exists():
        build_latents(path)
    return read_latents(path), AutoencoderTiny.from_pretrained(path.parent / "video_vae").eval()


def build_latents(path: Path = LATENTS, *, seed: int = 5) -> None:
    """Each thing in each motion but its held-out one, plainly and with attributes."""
    rng = np.random.default_rng(seed)
    vae = autoencoder.fit_autoencoder(_frames([sample_video(rng) for _ in range(600)]), latents=CHANNELS)
    vae.save_pretrained(path.parent / "video_vae")
    latents, found = [], scenes()
    for begin in range(0, len(found), 24):
        some = found[begin : begin + 24]
        encoded = autoencoder.encode_frames(vae, _frames(some))
        latents.append(encoded.unflatten(0, (len(some), FRAMES)).transpose(1, 2).half())
    write_latents(path, torch.cat(latents), [caption(scene) for scene in found], torch.ones(len(found)))


def scenes(*, seed: int = 6) -> list[VideoScene]:
    """The set's videos in its order."""
    rng = np.random.default_rng(seed)
    return [scene for thing in things() for scene in _scenes(rng, thing)]


def _scenes(rng: np.random.Generator, thing: Thing) -> list[VideoScene]:
    motions = [motion for motion in MOTIONS if not is_held_out(thing, motion)]
    plain = [VideoScene(PictureScene(thing), motion) for motion in motions]
    return plain + [VideoScene(_attributes(rng, thing), str(rng.choice(motions))) for _ in range(_MIXED)]


def _attributes(rng: np.random.Generator, thing: Thing) -> PictureScene:
    """One to three of: another ground, another colour, another size."""
    ground, colour, size = rng.random(3) < ((0.7, 0.4, 0.2) if rng.random() < 0.7 else (1.0, 1.0, 0.3))
    dye = str(rng.choice(list(COLOURS))) if colour or not (ground or size) else ""
    grounds = [name for name in BACKGROUNDS if name not in ("white", dye)]
    return PictureScene(
        thing,
        colour=dye,
        background=str(rng.choice(grounds)) if ground else "white",
        size=str(rng.choice([name for name in SIZES if name])) if size else "",
    )


def _frames(scenes: Sequence[VideoScene]) -> Tensor:
    """uint8 [n * FRAMES, 3, PIXELS, PIXELS]."""
    return torch.from_numpy(np.concatenate([render(scene, autoencoder.PIXELS) for scene in scenes])).permute(0, 3, 1, 2).contiguous()


SHEET_CAPTIONS = (
    "a dog moving to the left", "a cat bouncing", "a car moving to the right", "a rocket moving up", "an apple growing",
    "a star spinning", "a bird fading away", "a balloon shrinking", "a fish shaking", "a house standing still on a blue background",
)  # fmt: skip


def video_sheet(captions: Sequence[str], path: Path, *, seed: int = 0) -> None:
    """A PNG of what the exported decoder makes of captions, one video strip a row."""
    decoder = ZeroscopeDecoder.from_folder(EXPORT)
    strips = [
        decoder.generate(wish[None], settings=decoder.defaults, generator=torch.Generator().manual_seed(seed)).frames
        for wish in encode_texts(captions) * CONDITION_SCALE
    ]
    Image.fromarray(np.concatenate([np.concatenate(list(strip), 1) for strip in strips], 0)).reduce(2).save(path)
