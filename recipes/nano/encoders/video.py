"""Trains nano's video tower on cached features; writes checkpoints/nano/encoder/video.safetensors and the language stages' pool."""

import json
import logging
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core.checkpoints import read_tensors, save_tensors
from nextgpt_core.encoders.nano_video import VideoHeads, video_inputs
from nextgpt_core.train.schedules import trapezoid
from nextgpt_core.train.session import Budget, Session
from recipes.nano.encoders.image import load_features
from recipes.nano.encoders.trunk import trunk
from recipes.nano.paths import DATA, PRESET, RUNS
from recipes.nano.text_space import encode_texts
from recipes.nano.world.pictures import BACKGROUNDS, COLOURS, SIZES
from recipes.nano.world.sprites import HELD_OUT_STYLE, UNDERSTANDING_STYLES, hexcodes
from recipes.nano.world.things import things
from recipes.nano.world.videos import MOTIONS, VideoScene, caption, render, sample_video

log = logging.getLogger(__name__)

RUN = RUNS / "video_encoder"
EXPORT = PRESET / "encoder" / "video.safetensors"
POOL = DATA / "pool_video.safetensors"
_SETS = DATA / "videos"
_PIXELS = 128
_TEMPERATURE = 0.06
_LOOKS = {"background": tuple(BACKGROUNDS), "colour": ("", *COLOURS), "size": tuple(SIZES)}


@dataclass(frozen=True)
class VideoSet:
    """Encoded inputs of videos, one row each."""

    features: Tensor  # float16 [n, 3, 1280], the trunk's view of three cut-outs
    stack: Tensor  # uint8 [n, 8, 3, 32, 32]
    look: Tensor  # float16 [n, LOOK]
    rows: list[dict[str, Any]]

    @property
    def stacks(self) -> Tensor:
        return self.stack.float() / 127.5 - 1


def train_video_encoder(
    *, cpu_minutes: float = 3, batch: int = 256, moving: int = 128, peak: float = 1.5e-3, only_naming: bool = False, run: Path = RUN
) -> dict[str, float]:
    """Train the heads (resumes), export the tower and the pool; returns held-out accuracies.

    The thing is learnt from videos and from the picture tower's cached pictures alike. Of each batch only `moving` videos have their frames
    looked at. `only_naming` leaves the other heads as they are, so that language stages trained on the pool need not be repeated.
    """
    torch.manual_seed(0)
    data = video_set("train", per_thing=8)
    heads = VideoHeads()
    readers = nn.ModuleDict({name: nn.Linear(384, len(values)) for name, values in _LOOKS.items()})
    both = nn.ModuleDict({"heads": heads, "readers": readers})
    optimizer = torch.optim.AdamW(both.parameters(), lr=peak, weight_decay=0.05)
    session = Session(run, budget=Budget(cpu_seconds=cpu_minutes * 60), state={"both": both, "optimizer": optimizer})
    names, motions = name_space()
    targets = _targets(data.rows)
    stills = load_features()
    for name, parameter in both.named_parameters():
        parameter.requires_grad_(not only_naming or name.startswith("heads.thing"))
    both.train()
    for step in session.steps():
        for group in optimizer.param_groups:
            group["lr"] = peak * trapezoid(session.progress, cooldown=0.6)
        rows = torch.randint(len(data.rows), (batch,))
        features, stack, look = augmented(data, rows, moving)
        rest = rows[:moving]
        tokens = heads(features[:moving], stack, look)
        more = torch.randint(len(stills["thing"]), (batch,))
        named = F.layer_norm(heads.thing(torch.cat([features, stills["features"][more].float()])), [384])
        parts = {
            "thing": nearest_loss(named, names, torch.cat([targets["thing"][rows], stills["thing"][more]])),
            "motion": nearest_loss(tokens[:, 1], motions, targets["motion"][rest]),
            **{name: 0.3 * F.cross_entropy(readers[name](tokens[:, 2]), targets[name][rest]) for name in _LOOKS},
        }
        optimizer.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        optimizer.step()
        if step % 25 == 0:
            session.log(**{name: float(loss.detach()) for name, loss in parts.items()})
    heads.eval()
    export(heads)
    write_pool(heads, data)
    scores = {f"{name} {what}": value for name in ("styles", "twemoji") for what, value in evaluate(heads, video_set(name)).items()}
    (run / "scores.json").write_text(json.dumps(scores, indent=1))
    log.info("%s", scores)
    return scores


def augmented(data: VideoSet, rows: Tensor, moving: int) -> tuple[Tensor, Tensor, Tensor]:
    """Training inputs: all rows' features, a random mix of the cut-outs; the first `moving` rows' frames, shifted and noisy; their look."""
    mix = torch.rand(len(rows), 3, 1) ** 2 + 1e-3
    features = (data.features[rows].float() * mix / mix.sum(1, keepdim=True)).sum(1)
    features = features * (torch.rand_like(features) > 0.1)
    few = rows[:moving]
    stack = data.stack[few].float() / 127.5 - 1
    stack = stack + 0.04 * torch.randn_like(stack)  # not dimmed: the path is measured against the background's colour in `look`
    shift = torch.randint(-1, 2, (2,)).tolist()
    return features, torch.roll(stack, shift, dims=(3, 4)), data.look[few].float()


def nearest_loss(tokens: Tensor, space: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the cosine similarities with every name of a space [n, 384] (a contrastive loss with all names as negatives)."""
    return F.cross_entropy(F.normalize(tokens, dim=-1) @ space.T / _TEMPERATURE, targets, label_smoothing=0.05)


@torch.inference_mode()
def evaluate(heads: VideoHeads, data: VideoSet) -> dict[str, float]:
    """How often the nearest name is right: thing, motion, both."""
    tokens = heads(data.features.float().mean(1), data.stacks, data.look.float())
    names, motions = name_space()
    targets = _targets(data.rows)
    thing = (F.normalize(tokens[:, 0], dim=-1) @ names.T).argmax(1) == targets["thing"]
    motion = (F.normalize(tokens[:, 1], dim=-1) @ motions.T).argmax(1) == targets["motion"]
    return {"thing": thing.float().mean().item(), "motion": motion.float().mean().item(), "both": (thing & motion).float().mean().item()}


def export(heads: VideoHeads, path: Path = EXPORT) -> None:
    """The whole tower, trunk included, in float16."""
    tensors = {f"trunk.{name}": tensor for name, tensor in trunk().state_dict().items()}
    save_tensors({**tensors, **{f"heads.{name}": tensor for name, tensor in heads.state_dict().items()}}, path, dtype=torch.float16)


@torch.inference_mode()
def write_pool(heads: VideoHeads, data: VideoSet, path: Path = POOL) -> None:
    """The training videos as the language stages see them: {"features": float16 [n, 3, 384]} and a line of JSON each."""
    tokens = torch.cat([heads(data.features[part].float().mean(1), data.stacks[part], data.look[part].float()) for part in _parts(data)])
    save_tensors({"features": tokens}, path, dtype=torch.float16)
    path.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in data.rows), encoding="utf-8")


def video_set(name: str, *, per_thing: int = 1) -> VideoSet:
    """The cached set "train" (seen pairs, training styles), "styles" (unseen pairs) or "twemoji" (unseen pairs, unseen style)."""
    path = _SETS / f"{name}.safetensors"
    if not path.exists():
        tensors, rows = build_set(name, per_thing)
        path.with_suffix(".jsonl").parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        save_tensors(tensors, path)
    rows = [json.loads(line) for line in path.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()]
    return VideoSet(**read_tensors(path), rows=rows)


@torch.inference_mode()
def build_set(name: str, per_thing: int) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Render videos and run the trunk over their cut-outs (about 40 ms a video)."""
    began = time.process_time()
    rng = np.random.default_rng({"train": 10, "styles": 11, "twemoji": 12}[name])
    styles = (HELD_OUT_STYLE,) if name == "twemoji" else UNDERSTANDING_STYLES
    features, stacks, looks, rows = [], [], [], []
    network = trunk()
    for thing in things():
        if not any(hexcodes(thing, style) for style in styles):
            continue
        for _ in range(per_thing):
            scene = sample_video(rng, thing=thing, styles=styles, held_out=name != "train")
            cuts, stack, look = video_inputs(render(scene, _PIXELS))
            features.append(network(cuts).half())
            stacks.append(((stack + 1) * 127.5).round().byte())
            looks.append(look.half())
            rows.append(row_of(scene))
    log.info("%s: %d videos, %.0f s", name, len(rows), time.process_time() - began)
    return {"features": torch.stack(features), "stack": torch.stack(stacks), "look": torch.stack(looks)}, rows


def row_of(scene: VideoScene) -> dict[str, Any]:
    """What the pool says of a video."""
    picture = scene.picture
    told = {"colour": picture.colour, "background": picture.background, "size": picture.size, "style": picture.style}
    return {"thing": picture.thing.name, "caption": caption(scene), "attributes": told, "motion": scene.motion}


@cache
def name_space() -> tuple[Tensor, Tensor]:
    """Unit vectors of all things' names [n, 384] and of all motions [11, 384]; what motions have in common is taken out."""
    names = encode_texts([thing.singular for thing in things()]).clone()  # clones, since autograd refuses tensors of inference mode
    motions = encode_texts([f"something {motion}" for motion in MOTIONS]).clone()
    return names, F.normalize(motions - motions.mean(0), dim=-1)


def _targets(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
    order = {thing.name: index for index, thing in enumerate(things())}
    motions = list(MOTIONS)
    found = {name: torch.tensor([values.index(row["attributes"][name]) for row in rows]) for name, values in _LOOKS.items()}
    found["thing"] = torch.tensor([order[row["thing"]] for row in rows])
    found["motion"] = torch.tensor([motions.index(row["motion"]) for row in rows])
    return found


def _parts(data: VideoSet) -> list[slice]:
    return [slice(begin, begin + 256) for begin in range(0, len(data.rows), 256)]
