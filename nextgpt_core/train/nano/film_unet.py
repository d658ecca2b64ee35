"""The film decoder: a small UNet3DConditionModel on the film autoencoder's latents, conditioned on MiniLM's embedding of the caption.

Few things, drawn always alike, in every motion: what two laptop cores can learn in minutes is a small repertoire, not the whole world.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderTiny, UNet3DConditionModel
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from nextgpt_core.checkpoints import save_tensors
from nextgpt_core.decoders.diffusion import denoise, make_scheduler
from nextgpt_core.train.nano import film_autoencoder as codec
from nextgpt_core.train.nano.denoiser import Average, LatentSet, export_decoder, noise_schedule
from nextgpt_core.train.nano.films import FRAMES, MOTIONS, FilmScene, caption, is_held_out, render
from nextgpt_core.train.nano.pictures import BACKGROUNDS, PictureScene
from nextgpt_core.train.nano.session import Session, learning_rate
from nextgpt_core.train.nano.sources import CACHE
from nextgpt_core.train.nano.text_space import CONDITION_SCALE, encode_texts
from nextgpt_core.train.nano.world import Thing, things

log = logging.getLogger(__name__)

RUN = Path("runs/nano/film_unet")
EXPORT = Path("checkpoints/nano/decoders/video")
LATENTS = CACHE / "nano" / "film_latents.safetensors"
SETTINGS: dict[str, Any] = {"pixels": codec.PIXELS, "patch": codec.PATCH, "frames": FRAMES, "fps": 8, "steps": 12, "guidance": 1.5}
REPERTOIRE = (
    "dog", "cat", "horse", "cow", "pig", "rabbit", "elephant", "lion", "bear", "monkey", "penguin", "bird", "duck", "frog", "turtle",
    "fish", "whale", "shark", "butterfly", "bee", "snake", "dinosaur", "unicorn", "dragon", "tree", "rose", "sunflower", "apple",
    "banana", "strawberry", "pizza", "hamburger", "donut", "car", "bus", "train", "airplane", "rocket", "sailboat", "bicycle", "house",
    "sun", "moon", "star", "heart", "balloon", "robot", "ghost", "guitar", "umbrella", "snowman", "key",
)  # fmt: skip
CORE = (  # what the bundled weights were trained on; the time for more was not there
    "dog", "cat", "horse", "elephant", "lion", "penguin", "bird", "duck", "frog", "fish", "butterfly", "tree", "sunflower", "apple",
    "banana", "pizza", "car", "bus", "airplane", "rocket", "house", "star", "heart", "balloon",
)  # fmt: skip
_DROP = 0.06  # share of unconditional samples, for guidance
_CONDITION_NOISE = 0.1


def repertoire() -> list[Thing]:
    """The things that films are made of."""
    known = {thing.name: thing for thing in things()}
    return [known[name] for name in REPERTOIRE]


def make_unet() -> Any:
    """The untrained network."""
    return UNet3DConditionModel(
        sample_size=codec.GRID,
        in_channels=codec.LATENTS,
        out_channels=codec.LATENTS,
        down_block_types=("DownBlock3D", "CrossAttnDownBlock3D"),
        up_block_types=("CrossAttnUpBlock3D", "UpBlock3D"),
        block_out_channels=(128, 192),
        layers_per_block=1,
        cross_attention_dim=384,
        attention_head_dim=4,  # diffusers' name for the number of heads
        norm_num_groups=16,
    )


def train_film_unet(
    *, cpu_minutes: float = 45, batch: int = 6, peak: float = 1e-3, every: int = 150, names: Sequence[str] = CORE, run: Path = RUN
) -> None:
    """Train on films of `names` (resumes), with a sheet of film strips and an exported decoder folder every `every` steps."""
    torch.manual_seed(0)
    data, vae = load_latents()
    share = len(data.weights) // len(REPERTOIRE)  # films per thing
    data.weights[[row for row in range(len(data.weights)) if REPERTOIRE[row // share] not in names]] = 0.0
    unet = make_unet()
    for module in unet.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = Average(unet, decay=0.995)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.0)
    session = Session(run, cpu_seconds=cpu_minutes * 60, state={"unet": unet, "average": average, "optimizer": optimizer}, save_every=120)
    generator = torch.Generator().manual_seed(session.step)
    losses: list[float] = []

    def snapshot() -> None:
        export_decoder(EXPORT, unet=average.network, vae=vae, unconditional=data.unconditional, settings=SETTINGS)
        film_sheet(average.network, vae, data.unconditional, SHEET_CAPTIONS, run / "samples.png")

    for step in session.steps():
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(session.progress, peak=peak)
        loss = velocity_loss(unet, data, batch, generator)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        average.update(unet)
        losses.append(loss.item())
        if step % 25 == 24:
            session.log(loss=sum(losses) / len(losses))
            losses.clear()
        if step % every == every - 1:
            snapshot()
    snapshot()


def velocity_loss(unet: Any, data: LatentSet, batch: int, generator: torch.Generator) -> Tensor:
    """Mean squared error of the predicted velocity on random films at random times, biased to the noisy end: there the caption decides."""
    scheduler: Any = noise_schedule()
    rows = torch.multinomial(data.weights, batch, replacement=True, generator=generator)
    clean, conditions = data.latents[rows].float(), data.conditions[rows].float()
    conditions = conditions + _CONDITION_NOISE * torch.randn(conditions.shape, generator=generator)
    conditions[torch.rand(batch, generator=generator) < _DROP] = data.unconditional
    last = scheduler.config["num_train_timesteps"]
    times = ((1 - torch.rand(batch, generator=generator) ** 2.5) * last).long().clamp(max=last - 1)
    noise = torch.randn(clean.shape, generator=generator)
    wanted = scheduler.get_velocity(clean, noise, times)
    made: Tensor = unet(scheduler.add_noise(clean, noise, times), times, encoder_hidden_states=conditions[:, None]).sample
    return (made - wanted).square().mean()


def load_latents(path: Path = LATENTS) -> tuple[LatentSet, AutoencoderTiny]:
    """The cached films and their autoencoder, built on first use (two minutes)."""
    if not path.exists():
        build_latents(path)
    return LatentSet(**load_file(path)), AutoencoderTiny.from_pretrained(path.parent / "film_vae").eval()


def build_latents(path: Path = LATENTS) -> None:
    """Each thing of the repertoire in each motion but the held-out one: on white, and on one of the other backgrounds in turn."""
    grounds = [name for name in BACKGROUNDS if name != "white"]
    scenes, weights = [], []
    for row, thing in enumerate(repertoire()):
        for column, motion in enumerate(motion for motion in MOTIONS if not is_held_out(thing, motion)):
            scenes.append(FilmScene(PictureScene(thing), motion))
            scenes.append(FilmScene(PictureScene(thing, background=grounds[(row + column) % len(grounds)]), motion))
            weights += [0.75, 0.25]
    frames = torch.from_numpy(np.stack([render(scene, codec.PIXELS) for scene in scenes])).permute(0, 1, 4, 2, 3)  # [n, T, 3, p, p]
    flat = frames.flatten(0, 1)
    vae = codec.fit_autoencoder(flat[:: max(1, len(flat) // 3000)].contiguous())
    log.info("%d films, autoencoder %.1f dB", len(scenes), codec.psnr(vae, flat[::50]))
    latents = codec.encode_frames(vae, flat).view(len(scenes), FRAMES, codec.LATENTS, codec.GRID, codec.GRID).transpose(1, 2)
    vae.save_pretrained(path.parent / "film_vae")
    save_tensors(
        {
            "latents": latents.half(),
            "conditions": (encode_texts([caption(scene) for scene in scenes]) * CONDITION_SCALE).half(),
            "weights": torch.tensor(weights),
            "unconditional": encode_texts([""])[0] * CONDITION_SCALE,
        },
        path,
    )


@torch.inference_mode()
def make_films(
    unet: Any, vae: Any, unconditional: Tensor, captions: Sequence[str], *, steps: int = 12, guidance: float = 1.5, seed: int = 0
) -> np.ndarray:
    """Films for captions, uint8 [n, FRAMES, PIXELS, PIXELS, 3]; the trainer's own look at what it makes."""
    shape = (len(captions), codec.LATENTS, FRAMES, codec.GRID, codec.GRID)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    latents = denoise(
        noise,
        predict=lambda noisy, time, condition: unet(noisy, time, encoder_hidden_states=condition[:, None]).sample,
        condition=encode_texts(captions) * CONDITION_SCALE,
        unconditional=unconditional.expand(len(captions), -1),
        scheduler=make_scheduler(dict(noise_schedule().config), "dpm++"),
        steps=steps,
        guidance=guidance,
    )
    frames = codec.decode_frames(vae, latents.transpose(1, 2).flatten(0, 1))
    return frames.view(len(captions), FRAMES, 3, codec.PIXELS, codec.PIXELS).permute(0, 1, 3, 4, 2).numpy()


SHEET_CAPTIONS = (
    "a dog moving to the left", "a cat bouncing", "a car moving to the right", "a rocket moving up", "an apple growing",
    "a star spinning", "a bird fading away", "a balloon shrinking", "a fish shaking", "a house standing still on a blue background",
)  # fmt: skip


def film_sheet(unet: Any, vae: Any, unconditional: Tensor, captions: Sequence[str], path: Path, **how: Any) -> None:
    """A PNG of film strips, one caption a row."""
    films = make_films(unet, vae, unconditional, captions, **how)
    Image.fromarray(np.concatenate([np.concatenate(list(film), 1) for film in films], 0)).reduce(2).save(path)
