"""Training of the picture tower's heads on cached features of the frozen trunk, bound to MiniLM's embeddings of the things' names."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core.checkpoints import save_tensors
from nextgpt_core.encoders.nano_image import NanoImageTower, PictureHeads, picture_inputs
from nextgpt_core.train.schedules import trapezoid
from nextgpt_core.train.session import Budget, Session
from recipes.nano.encoders.imagenet import thing_classes
from recipes.nano.encoders.photo_or_drawing import photograph_weights
from recipes.nano.encoders.trunk import classifier, trunk
from recipes.nano.paths import DATA, PRESET, RUNS
from recipes.nano.text_space import encode_texts
from recipes.nano.world.pictures import BACKGROUNDS, COLOURS, POSITIONS, SIZES, PictureScene, caption, render, sample_picture
from recipes.nano.world.sprites import HELD_OUT_STYLE, UNDERSTANDING_STYLES, hexcodes
from recipes.nano.world.things import things

log = logging.getLogger(__name__)

RUN = RUNS / "image_encoder"
EXPORT = PRESET / "encoder" / "image.safetensors"
FEATURES = DATA / "image_features.safetensors"
POOL = DATA / "pool_image.safetensors"
POOL_SIZE = 24  # pictures of a thing that the language model learns from
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "count": ("1", "2", "3"),
    "colour": ("", *COLOURS),
    "background": tuple(BACKGROUNDS),
    "size": tuple(SIZES),
    "position": tuple(POSITIONS),
}
_TEMPERATURE = 0.05
_RENDER_PIXELS = 192


def train_image_encoder(*, cpu_minutes: float = 6, batch: int = 256, peak: float = 1e-3, run: Path = RUN) -> NanoImageTower:
    """Train the heads, export the tower in float16, write the pool, and log the accuracy on the held-out style."""
    torch.manual_seed(0)
    data = load_features()
    names = encode_texts([thing.singular for thing in things()]).clone()  # [518, 384]; a clone, to be used under autograd
    heads = PictureHeads()
    probes = nn.ModuleDict({name: nn.Linear(names.shape[1], len(values)) for name, values in ATTRIBUTES.items()})
    learner = nn.ModuleDict({"heads": heads, "probes": probes})
    optimizer = torch.optim.AdamW(learner.parameters(), lr=peak, weight_decay=0.05)
    session = Session(run, budget=Budget(cpu_seconds=cpu_minutes * 60), state={"learner": learner, "optimizer": optimizer})
    by_thing = [torch.nonzero(data["thing"] == index).flatten() for index in range(len(names))]
    for step in session.steps():
        for group in optimizer.param_groups:
            group["lr"] = peak * trapezoid(session.progress, cooldown=0.6)
        rows = torch.randint(len(data["thing"]), (batch,))
        mates = [by_thing[int(data["thing"][row])] for row in rows]
        partners = torch.stack([mine[torch.randint(len(mine), ())] for mine in mates])
        loss = _thing_loss(heads, data, rows, partners, names) + _look_loss(heads, probes, data, rows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            session.log(loss=loss.item())
    tower = assemble(heads, names)
    save_tensors(tower.state_dict(), EXPORT, dtype=torch.float16)
    write_pool(tower, data)
    log.info("held-out style: %.1f %% named (of %d)", *held_out_accuracy(tower, names))
    for name, probe in probes.items():
        shown = tower.heads(data["features"][:2000].float(), data["look"][:2000].float())[:, 1]
        log.info("%s: %.1f %%", name, 100 * float((probe(shown).argmax(-1) == data[name][:2000]).float().mean()))
    return tower


def assemble(heads: PictureHeads, names: Tensor) -> NanoImageTower:
    """The tower for use: trunk, trained heads, and the ImageNet classifier's votes for the things it knows, heard of photographs."""
    tower = NanoImageTower()
    tower.trunk = trunk()
    tower.heads.load_state_dict(heads.state_dict())
    weight, bias = classifier()
    tower.heads.classes.copy_(torch.cat([weight, bias[:, None]], 1))
    index = {thing.name: row for row, thing in enumerate(things())}
    for name, classes in thing_classes().items():
        tower.heads.class_names[list(classes)] = names[index[name]]
    tower.heads.photograph.copy_(photograph_weights())
    return tower.eval().requires_grad_(False)


def build_features(path: Path = FEATURES, *, varied: int = 2, seed: int = 5) -> None:
    """Every drawing of every thing in the training styles, plain and in `varied` scenes, through the trunk (ten minutes)."""
    rng = np.random.default_rng(seed)
    scenes: list[PictureScene] = []
    for thing in things():
        for style in UNDERSTANDING_STYLES:
            for code in hexcodes(thing, style):
                loose = sample_picture(rng, thing=thing, styles=(style,), canonical=1.0)
                scenes.append(PictureScene(**{**loose.__dict__, "hexcode": code}))
                for _ in range(varied):
                    special = sample_picture(rng, thing=thing, styles=(style,), canonical=0.2)
                    scenes.append(PictureScene(**{**special.__dict__, "hexcode": code}))
    index = {thing.name: row for row, thing in enumerate(things())}
    features, look = scene_features(scenes)
    tensors = {"features": features.half(), "look": look.half(), "thing": torch.tensor([index[scene.thing.name] for scene in scenes])}
    for name, values in ATTRIBUTES.items():
        tensors[name] = torch.tensor([values.index(str(getattr(scene, name))) for scene in scenes])
    save_tensors(tensors, path)
    path.with_suffix(".jsonl").write_text("".join(json.dumps(_describe(scene)) + "\n" for scene in scenes))


def load_features(path: Path = FEATURES) -> dict[str, Tensor]:
    """The cached features, built on first use."""
    if not path.exists():
        build_features(path)
    return load_file(path)


@torch.inference_mode()
def scene_features(scenes: Sequence[PictureScene], *, batch: int = 32) -> tuple[Tensor, Tensor]:
    """Scenes -> trunk features [n, 1280] and miniatures [n, LOOK]."""
    network = trunk()
    features, looks = [], []
    for begin in range(0, len(scenes), batch):
        inputs = [picture_inputs(render(scene, _RENDER_PIXELS)) for scene in scenes[begin : begin + batch]]
        features.append(network(torch.stack([pixels for pixels, _ in inputs])))
        looks.append(torch.stack([look for _, look in inputs]))
    return torch.cat(features), torch.cat(looks)


def held_out_accuracy(tower: NanoImageTower, names: Tensor, style: str = HELD_OUT_STYLE) -> tuple[float, int]:
    """Per cent of things whose plain drawing in a style never trained on is nearest to its own name, and how many things were asked."""
    scenes = [PictureScene(thing, style) for thing in things()]
    features, look = scene_features(scenes)
    with torch.inference_mode():
        found = (tower.heads(features, look)[:, 0] @ names.T).argmax(-1)
    return 100 * float((found == torch.arange(len(names))).float().mean()), len(names)


@torch.inference_mode()
def write_pool(tower: NanoImageTower, data: dict[str, Tensor], path: Path = POOL, *, seed: int = 6) -> None:
    """POOL_SIZE encoded pictures of each thing with their descriptions: what the language model's stages learn from."""
    generator = torch.Generator().manual_seed(seed)
    chosen: list[int] = []
    for index in range(len(things())):
        mine = torch.nonzero(data["thing"] == index).flatten()
        chosen += mine[torch.randperm(len(mine), generator=generator)[:POOL_SIZE]].tolist()
    tokens = tower.heads(data["features"][chosen].float(), data["look"][chosen].float())
    save_tensors({"features": tokens}, path, dtype=torch.float16)
    lines = FEATURES.with_suffix(".jsonl").read_text().splitlines()
    path.with_suffix(".jsonl").write_text("".join(lines[row] + "\n" for row in chosen))


def _describe(scene: PictureScene) -> dict[str, object]:
    plain = PictureScene(**{**scene.__dict__, "style": ""})  # the style is not said of pictures that are looked at
    attributes = {name: getattr(scene, name) for name in (*ATTRIBUTES, "style")}
    return {"thing": scene.thing.name, "caption": caption(plain), "attributes": attributes}


def _thing_loss(heads: PictureHeads, data: dict[str, Tensor], rows: Tensor, partners: Tensor, names: Tensor) -> Tensor:
    """Which of all names is nearest, and how near. Features are mixed with those of another drawing of the same thing, style with style."""
    share = torch.rand(len(rows), 1) * 0.5
    mixed = (1 - share) * data["features"][rows].float() + share * data["features"][partners].float()
    vectors = F.normalize(heads.thing(mixed * (1 + 0.1 * torch.randn_like(mixed))), dim=-1)
    labels = data["thing"][rows]
    near = (vectors * names[labels]).sum(-1)
    return F.cross_entropy(vectors @ names.T / _TEMPERATURE, labels, label_smoothing=0.05) + 2 * (1 - near).mean()


def _look_loss(heads: PictureHeads, probes: nn.ModuleDict, data: dict[str, Tensor], rows: Tensor) -> Tensor:
    """Each attribute must be readable from token 1 by a linear probe (the probes are thrown away)."""
    shown = heads(data["features"][rows].float(), data["look"][rows].float())[:, 1]
    losses = [F.cross_entropy(probe(shown), data[name][rows]) for name, probe in probes.items()]
    return torch.stack(losses).sum()
