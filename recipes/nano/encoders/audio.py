"""Training nano's ears: sounds are bound to the MiniLM embeddings of their names, and what captions tell beside is read off token 1."""

import json
import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core.checkpoints import save_tensors
from nextgpt_core.encoders.nano_audio import WIDTH, AudioTower
from nextgpt_core.train.schedules import trapezoid
from nextgpt_core.train.session import Budget, Session
from recipes.nano.muon import Muon
from recipes.nano.paths import DATA, PRESET, RUNS
from recipes.nano.text_space import encode_texts
from recipes.nano.world.sounds.catalogue import KINDS, SOUNDS, SoundScene, caption
from recipes.nano.world.sounds.dataset import sound_set

log = logging.getLogger(__name__)

RUN = RUNS / "audio_encoder"
WEIGHTS = PRESET / "encoder" / "audio.safetensors"
POOL = DATA / "pool_audio"
POOL_PER_KIND = 24

# The answers that linear heads read off token 1; "force" is weak or strong, whatever the kind's own words are.
ANSWERS = {
    "form": ("", "note", "melody", "rhythm"),
    "pitch": ("", "low", "high"),
    "tempo": ("", "slow", "fast"),
    "mood": ("", "cheerful", "sad"),
    "force": ("", "weak", "strong"),
    "loudness": ("", "quiet"),
}
_IGNORED = -100  # cross entropy's mark for "cannot be heard"


def train_audio_encoder(*, cpu_minutes: float = 8, batch: int = 32, peak: float = 3e-3, run: Path = RUN) -> AudioTower:
    """Train, export WEIGHTS and the feature pool, and log the held-out accuracy."""
    torch.manual_seed(0)
    rng = np.random.default_rng(1)
    samples, scenes = sound_set("train")
    order = [kind.name for kind in SOUNDS]
    kinds = torch.tensor([order.index(scene.kind) for scene in scenes])
    answers = {axis: torch.tensor([_answer(scene, axis) for scene in scenes]) for axis in ANSWERS}
    wordings = [encode_texts([kind.name, *kind.synonyms]) for kind in SOUNDS]
    tower = AudioTower().to(memory_format=torch.channels_last)
    heads = nn.ModuleDict({axis: nn.Linear(WIDTH, len(words)) for axis, words in ANSWERS.items()})
    scale = nn.ParameterDict({"log": nn.Parameter(torch.tensor(3.0))})
    learner = nn.ModuleDict({"tower": tower, "heads": heads, "scale": scale})
    optimizer = Muon(learner, lr=peak, adam=("heads", "scale", "tower.trunk.0"))
    session = Session(run, budget=Budget(cpu_seconds=cpu_minutes * 60), state={"learner": learner, "optimizer": optimizer})
    for step in session.steps():
        for group in optimizer.param_groups:
            group["lr"] = peak * trapezoid(session.progress, cooldown=0.6)
        rows = rng.integers(len(samples), size=batch)
        clips, same_level = augment(torch.from_numpy(samples[np.sort(rows)].astype(np.float32) / 32767), rng)
        rows = np.sort(rows)
        tokens = tower(clips)
        # Each step hears every kind under one of its names, so that synonyms are near as well.
        texts = torch.stack([words[0 if rng.uniform() < 0.5 else rng.integers(len(words))] for words in wordings])
        logits = scale["log"].exp().clamp(max=100) * (tokens[:, 0] / WIDTH**0.5) @ texts.T
        naming = F.cross_entropy(logits, kinds[rows], label_smoothing=0.05)
        telling = torch.zeros(())
        for axis, labels in answers.items():
            wanted = labels[rows].clone()
            if axis == "loudness":
                wanted[~same_level] = _IGNORED
            if (wanted != _IGNORED).any():
                telling = telling + F.cross_entropy(heads[axis](tokens[:, 1]), wanted, ignore_index=_IGNORED)
        loss = naming + 0.25 * telling
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 2.0)
        optimizer.step()
        if step % 50 == 0:
            right = (logits.argmax(1) == kinds[rows]).float().mean()
            session.log(naming=naming.item(), telling=telling.item(), right=right.item())
    tower.eval().requires_grad_(False)
    heads.eval()
    save_tensors(tower.state_dict(), WEIGHTS, dtype=torch.float16)
    log.info("held out: %s", evaluate_audio_encoder(tower, heads))
    write_pool(tower)
    return tower


def augment(clips: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """[B, n] -> [B, m] with other gains, offsets, lengths, bandwidths and noise; and a mask [B] of those whose level is kept."""
    count, n = clips.shape
    decibels = rng.uniform(-4, 4, count)
    wild = rng.uniform(size=count) < 0.3
    decibels[wild] = rng.uniform(-35, 6, wild.sum())
    clips = clips * torch.from_numpy(10 ** (decibels / 20)).float()[:, None]
    clips = torch.stack([_shifted(clip, int(rng.integers(-n // 5, n // 5))) for clip in clips])
    if rng.uniform() < 0.25:  # a telephone, an old recording
        rate = int(rng.choice([8000, 11025]))
        spectrum = torch.fft.rfft(clips)
        spectrum[:, int(spectrum.shape[1] * rate / 16000) :] = 0
        clips = torch.fft.irfft(spectrum, n)
    if rng.uniform() < 0.35:
        clips = _other_length(clips, rng)
    noisy = torch.from_numpy(rng.uniform(size=count) < 0.6)
    ratio = torch.from_numpy(10 ** (-rng.uniform(8, 40, count) / 20)).float()
    level = clips.square().mean(1).sqrt() * ratio * noisy
    noise = torch.randn(clips.shape)
    if rng.uniform() < 0.5:
        noise = _pink(noise)
    return clips + noise * level[:, None], torch.from_numpy(~wild)


@torch.inference_mode()
def evaluate_audio_encoder(tower: AudioTower, heads: nn.ModuleDict | None = None) -> dict[str, float]:
    """Held-out sounds (unseen keys, velocities; noise): the share named right by the nearest kind name, and each attribute's."""
    samples, scenes = sound_set("heldout")
    names = encode_texts([kind.name for kind in SOUNDS])
    order = [kind.name for kind in SOUNDS]
    tokens = torch.cat([tower(torch.from_numpy(samples[i : i + 32].astype(np.float32) / 32767)) for i in range(0, len(samples), 32)])
    ranks = (tokens[:, 0] @ names.T).argsort(dim=1, descending=True)
    kinds = torch.tensor([order.index(scene.kind) for scene in scenes])
    found = {
        "top1": float((ranks[:, 0] == kinds).float().mean()),
        "top5": float((ranks[:, :5] == kinds[:, None]).any(1).float().mean()),
    }
    for axis, head in () if heads is None else heads.items():
        wanted = torch.tensor([_answer(scene, axis) for scene in scenes])
        told = head(tokens[:, 1]).argmax(1)
        mask = wanted != _IGNORED
        found[axis] = float((told[mask] == wanted[mask]).float().mean())
    return {name: round(value, 4) for name, value in found.items()}


def write_pool(tower: AudioTower, *, per_kind: int = POOL_PER_KIND) -> None:
    """Features of augmented training sounds for the language model's stages: POOL.safetensors {"features": [n, 2, 384]} and POOL.jsonl."""
    rng = np.random.default_rng(2)
    torch.manual_seed(2)
    samples, scenes = sound_set("train")
    wanted = per_kind * len(SOUNDS)  # the set goes through the kinds in turn
    features, lines = [], []
    for begin in range(0, wanted, 16):
        part = scenes[begin : min(begin + 16, wanted)]
        clips = torch.from_numpy(samples[begin : begin + len(part)].astype(np.float32) / 32767)
        clips, same_level = augment(clips, rng)
        with torch.inference_mode():
            made = tower(clips)
        for row in same_level.nonzero()[:, 0].tolist():  # others would contradict a caption that says "quiet"
            features.append(made[row].half())
            scene = part[row]
            lines.append(json.dumps({"thing": scene.kind, "caption": caption(scene), "attributes": scene.attributes}))
    save_tensors({"features": torch.stack(features)}, POOL.with_suffix(".safetensors"))
    POOL.with_suffix(".jsonl").write_text("\n".join(lines) + "\n")


def _answer(scene: SoundScene, axis: str) -> int:
    """The index of what can be heard, or _IGNORED for an axis the kind does not have."""
    kind = KINDS[scene.kind]
    if axis not in kind.axes:
        return _IGNORED
    value = getattr(scene, axis)
    if axis == "force" and value:
        value = ("weak", "strong")[kind.force.index(value)]
    return ANSWERS[axis].index(value)


def _shifted(clip: Tensor, by: int) -> Tensor:
    out = torch.zeros_like(clip)
    if by >= 0:
        out[by:] = clip[: len(clip) - by]
    else:
        out[:by] = clip[-by:]
    return out


def _other_length(clips: Tensor, rng: np.random.Generator) -> Tensor:
    """A piece, a piece in a longer silence, or a repetition."""
    n = clips.shape[1]
    way = rng.integers(3)
    if way == 0:
        length = int(rng.uniform(0.5, 1) * n)
        begin = int(rng.integers(0, n - length + 1))
        return clips[:, begin : begin + length]
    if way == 1:
        extra = int(rng.uniform(0.2, 1.5) * n)
        before = int(rng.integers(0, extra))
        return F.pad(clips, (before, extra - before))
    return clips.repeat(1, 2)[:, : int(rng.uniform(1.2, 2) * n)]


def _pink(noise: Tensor) -> Tensor:
    spectrum = torch.fft.rfft(noise)
    shape = torch.arange(1, spectrum.shape[1] + 1).float().rsqrt()
    pink = torch.fft.irfft(spectrum * shape, noise.shape[1])
    return pink / pink.std()
