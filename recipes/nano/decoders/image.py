"""The picture decoder: a small UNet2DConditionModel on the autoencoder's latents, conditioned on MiniLM's embedding of the caption."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from PIL import Image
from torch import Tensor, nn

from nextgpt_core.decoders.stable_diffusion import StableDiffusionDecoder
from recipes.nano.decoders import autoencoder
from recipes.nano.decoders.regression import residual
from recipes.nano.decoders.staging import Staging, train_staged
from recipes.nano.decoders.unet import (
    LatentSet,
    export_decoder,
    read_latents,
    train_denoiser,
    whitening,
    write_latents,
)
from recipes.nano.paths import DATA, PRESET, RUNS
from recipes.nano.text_space import CONDITION_SCALE, encode_texts
from recipes.nano.world.pictures import BACKGROUNDS, COLOURS, POSITIONS, SIZES, PictureScene, caption, places, render, sample_picture
from recipes.nano.world.things import Thing, things

log = logging.getLogger(__name__)

RUN = RUNS / "image_unet"
EXPORT = PRESET / "decoders" / "image"
LATENTS = DATA / "image_latents.safetensors"
SETTINGS: dict[str, Any] = {"pixels": autoencoder.PIXELS, "patch": autoencoder.PATCH, "steps": 20, "guidance": 1.5}
PREDICTION = "sample"
CHANNELS = 128  # latents of a cell
LAYERS = 3  # so often can a thing be there
_PLAIN_SHARE = 0.4
_MIXED = 10  # layouts of a thing with several attributes, beside those with one
_GROUNDS = 4  # backgrounds of a layout, beside white


def make_unet(**extra: Any) -> UNet2DConditionModel:
    """The untrained network."""
    return UNet2DConditionModel(
        **extra,
        sample_size=autoencoder.PIXELS // autoencoder.PATCH,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(48, 96),
        layers_per_block=1,
        cross_attention_dim=384,
        attention_head_dim=4,  # diffusers' name for the number of heads
        norm_num_groups=16,
    )


def train_image_unet(
    *, cpu_minutes: float = 2, mean_minutes: float = 20, batch: int = 16, peak: float = 1.2e-3, go_on: bool = False, run: Path = RUN
) -> None:
    """Train (resumes), with a contact sheet and an exported decoder folder on the way. `go_on`: begin to draw as the bundled one does."""
    torch.manual_seed(0)
    data, vae = load_latents()
    scenes = [row.scene for row in rows()]
    known = Staging.of(scenes, np.stack([poses(scene, layers=LAYERS) for scene in scenes]))
    start = EXPORT / "mean.safetensors" if go_on else None
    mean = train_staged(data, vae, known, run=run.with_name("image_mean"), cpu_minutes=mean_minutes, layers=LAYERS, start=start)
    data = residual(mean, data)

    def snapshot(trained: Any) -> None:
        unet = fold_whitening(trained)
        parts = {"unet": unet, "vae": vae, "unconditional": data.unconditional, "mean": mean}
        export_decoder(EXPORT, settings=SETTINGS, prediction=PREDICTION, **parts)
        contact_sheet(SHEET_CAPTIONS, run / "samples.png")

    unet = make_unet(encoder_hid_dim=384, encoder_hid_dim_type="text_proj").to(memory_format=torch.channels_last)
    set_whitening(unet, data.conditions.float())
    nn.init.zeros_(unet.conv_out.weight)  # the first residual is none
    nn.init.zeros_(unet.conv_out.bias)
    log.info("%d latents, %.1f M parameters", len(data.latents), unet.num_parameters() / 1e6)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.01)
    how: dict[str, Any] = {"batch": batch, "peak": peak, "optimizer": optimizer, "prediction": PREDICTION, "bias": 5.0}
    train_denoiser(unet, data, predict=predict, run=run, cpu_minutes=cpu_minutes, every=400, on_snapshot=snapshot, **how)


def predict(unet: Any, noisy: Tensor, times: Tensor, conditions: Tensor) -> Tensor:
    """The U-Net's call: one condition vector [b, 384] as a sequence of one token."""
    return unet(noisy.contiguous(memory_format=torch.channels_last), times, encoder_hidden_states=conditions[:, None]).sample


@torch.no_grad()
def set_whitening(unet: Any, conditions: Tensor) -> None:
    """Let the network see conditions decorrelated, through its fixed `encoder_hid_proj`."""
    whiten, mean = whitening(conditions)
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
    """Fit the autoencoder; render and encode each thing plainly (under all its names) and with attributes."""
    rng = np.random.default_rng(seed)
    vae = autoencoder.fit_autoencoder(_pixels([sample_picture(rng, canonical=0.5) for _ in range(2500)]), latents=CHANNELS)
    vae.save_pretrained(path.parent / "image_vae")
    found = rows()
    latents = []
    for begin in range(0, len(found), 512):
        pictures = _rendered([row.scene for row in found[begin : begin + 512]])
        latents.append(autoencoder.encode_frames(vae, torch.from_numpy(pictures).permute(0, 3, 1, 2)).half())
    write_latents(path, torch.cat(latents), [row.caption for row in found], torch.tensor([row.weight for row in found]))


class Row(NamedTuple):
    """One picture of the set."""

    scene: PictureScene
    caption: str
    weight: float


def rows(*, seed: int = 4) -> list[Row]:
    """The set in its order: each thing plainly, under all its names, and in layouts on several grounds."""
    rng = np.random.default_rng(seed)
    found = []
    for thing in things():
        names = _names(thing)
        found += [Row(PictureScene(thing), name, _PLAIN_SHARE * share) for name, share in zip(names, _shares(len(names)), strict=True)]
        scenes = [scene for layout in _layouts(rng, thing) for scene in _on_grounds(rng, layout)]
        found += [Row(scene, caption(scene), (1 - _PLAIN_SHARE) / len(scenes)) for scene in scenes]
    return found


def poses(scene: PictureScene, *, layers: int) -> np.ndarray:
    """Where its things are [1, layers, 6], as in StagedMean; layers that it does not need are invisible."""
    there = [[x, y, np.log(side), 1.0, 0.0, 1.0] for x, y, side in places(scene)]
    return np.array([there + [[*there[-1][:5], 0.0]] * (layers - len(there))])


def load_latents(path: Path = LATENTS) -> tuple[LatentSet, AutoencoderTiny]:
    """The cached set and its autoencoder, built on first use (eight minutes)."""
    if not path.exists():
        build_latents(path)
    return read_latents(path), AutoencoderTiny.from_pretrained(path.parent / "image_vae").eval()


def _pixels(scenes: Sequence[PictureScene]) -> Tensor:
    """uint8 [n, 3, PIXELS, PIXELS]."""
    return torch.from_numpy(np.stack([render(scene, autoencoder.PIXELS) for scene in scenes])).permute(0, 3, 1, 2).contiguous()


SHEET_CAPTIONS = [
    "a dog", "a cat", "an apple", "a house", "a car", "a rocket", "a tree", "a guitar",
    "a fish", "a pizza", "a camera", "a castle", "an umbrella", "a heart", "a robot", "a bicycle",
    "a puppy", "a burger", "an owl", "a sailboat", "a clock", "a butterfly", "a rose", "a cup of coffee",
    "two red apples on a blue background", "a blue cat", "three bananas", "a small car on the left", "a green dragon on a black background",
    "a yellow bird", "a big heart on a pink background", "two pink elephants",
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


def _names(thing: Thing) -> list[str]:
    """What a plain picture of it may be called, the usual name first."""
    names = [thing.singular, thing.name]
    for synonym in thing.synonyms:
        article = ("an" if synonym[0] in "aeiou" else "a") if thing.article else ""
        names.append(f"{article} {synonym}".strip())
    return names


def _shares(count: int) -> list[float]:
    """The first of `count` names weighs as much as four others."""
    weights = [4.0] + [1.0] * (count - 1)
    return [weight / sum(weights) for weight in weights]


def _layouts(rng: np.random.Generator, thing: Thing) -> list[PictureScene]:
    """Each colour, size, place and count of a thing by itself, and some together; all on white."""
    plain = PictureScene(thing)
    single = [replace(plain, **{name: value}) for name, values in _ATTRIBUTES.items() for value in values]
    found = [plain, *single]
    while len(found) < 1 + len(single) + _MIXED:
        kind = str(rng.choice(["size", "position", "count"]))
        value = _ATTRIBUTES[kind][int(rng.integers(len(_ATTRIBUTES[kind])))]
        found.append(replace(plain, colour=str(rng.choice(list(COLOURS))), **{kind: value}))
    for number in _ATTRIBUTES["count"]:  # "three small stars"
        size = str(rng.choice(_ATTRIBUTES["size"]))
        found.append(replace(plain, count=number, size=size, colour=str(rng.choice(["", *COLOURS]))))
    return [scene for scene in found if scene.count == 1 or thing.article]


def _on_grounds(rng: np.random.Generator, layout: PictureScene) -> list[PictureScene]:
    """The layout on white and on other backgrounds."""
    others = [name for name in BACKGROUNDS if name not in ("white", layout.colour)]
    return [layout, *(replace(layout, background=str(name)) for name in rng.choice(others, _GROUNDS, replace=False))]


def _rendered(scenes: Sequence[PictureScene]) -> np.ndarray:
    """uint8 [n, PIXELS, PIXELS, 3]. A picture is linear in its background's colour, so two renders of a layout tell what it is on any."""
    dark = np.array(BACKGROUNDS["black"], np.float32)

    @lru_cache(maxsize=4)
    def apart(layout: PictureScene) -> tuple[np.ndarray, np.ndarray]:
        white, black = (render(replace(layout, background=name), autoencoder.PIXELS).astype(np.float32) for name in ("white", "black"))
        return black, (white - black) / (255 - dark)

    pictures = []
    for scene in scenes:
        black, open_share = apart(replace(scene, background="white"))
        ground = np.array(BACKGROUNDS[scene.background], np.float32)
        pictures.append((black + open_share * (ground - dark)).round().clip(0, 255).astype(np.uint8))
    return np.stack(pictures)


_ATTRIBUTES: dict[str, tuple[Any, ...]] = {
    "colour": tuple(COLOURS),
    "size": tuple(name for name in SIZES if name),
    "position": tuple(name for name in POSITIONS if name),
    "count": (2, 3),
}
