"""The trainer of nano's denoisers: cached latents and condition vectors -> a diffusers U-Net with averaged weights."""

import copy
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn

from nextgpt_core.checkpoints import read_tensors, save_tensors
from nextgpt_core.decoders.regression import Mean
from nextgpt_core.decoders.staged import StagedMean
from nextgpt_core.train.schedules import trapezoid
from nextgpt_core.train.session import Budget, Session
from recipes.nano.muon import Muon
from recipes.nano.text_space import CONDITION_SCALE, encode_texts

log = logging.getLogger(__name__)

# (network, noisy latents [b, …], timesteps [b], conditions [b, 384]) -> its prediction, shaped like the latents
Predict = Callable[[Any, Tensor, Tensor, Tensor], Tensor]

_DROP = 0.1  # share of unconditional samples, for classifier-free guidance
_WHITENING_FLOOR = 0.05  # beside variances of 1 on the average
_CONDITION_NOISE = 0.15  # on elements of unit variance: the output projection will not hit the text embedding exactly


@dataclass(frozen=True)
class LatentSet:
    """What a denoiser learns from. Rows are drawn in proportion to `weights`."""

    latents: Tensor  # float16 [n, …], unit variance on the whole
    conditions: Tensor  # float16 [n, 384], MiniLM's embeddings of the captions, scaled by CONDITION_SCALE
    weights: Tensor  # float32 [n]
    unconditional: Tensor  # float32 [384], scaled likewise
    projected: Tensor | None = None  # float16 [n, 384], what the output projection makes of statements with these captions; NaN: not known

    def seen(self, rows: Tensor, generator: torch.Generator, *, noise: float) -> Tensor:
        """Conditions of these rows as they may come: half the time the projected one where it is known, else their own with `noise`."""
        own = self.conditions[rows].float()
        own = own + noise * torch.randn(own.shape, generator=generator)
        if self.projected is None:
            return own
        projected = self.projected[rows].float()
        use = (torch.rand(len(rows), 1, generator=generator) < 0.5) & ~projected.isnan()
        return torch.where(use, projected, own)

    def best(self, rows: slice) -> Tensor:
        """Conditions of these rows without chance: projected where that is known."""
        own = self.conditions[rows].float()
        return own if self.projected is None else torch.where(self.projected[rows].isnan(), own, self.projected[rows].float())

    def drawn(self, count: int, *, seed: int = 0) -> "LatentSet":
        """`count` different rows, drawn by their weights, which then all count the same."""
        rows = torch.multinomial(self.weights, count, generator=torch.Generator().manual_seed(seed))
        return replace(
            self,
            latents=self.latents[rows],
            conditions=self.conditions[rows],
            weights=torch.ones(count),
            projected=None if self.projected is None else self.projected[rows],
        )


def read_latents(path: Path) -> LatentSet:
    """A cached set, with what `write_projected` wrote beside it, if it did."""
    data = LatentSet(**read_tensors(path))
    extra = _projected_path(path)
    if not extra.is_file():
        return data
    known = dict(zip(json.loads(extra.with_suffix(".json").read_text(encoding="utf-8")), read_tensors(extra)["conditions"], strict=True))
    unknown = torch.full_like(data.conditions[0], torch.nan)
    return replace(data, projected=torch.stack([known.get(caption, unknown) for caption in read_captions(path)]))


def write_projected(path: Path, captions: Sequence[str], conditions: Tensor) -> None:
    """Keep what the output projection makes of some of a set's captions."""
    save_tensors({"conditions": conditions}, _projected_path(path), dtype=torch.float16)
    _projected_path(path).with_suffix(".json").write_text(json.dumps(list(captions)), encoding="utf-8")


def _projected_path(path: Path) -> Path:
    return path.with_suffix(".projected.safetensors")


def read_captions(path: Path) -> list[str]:
    """The captions of a cached set's rows."""
    captions: list[str] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return captions


def write_latents(path: Path, latents: Tensor, captions: Sequence[str], weights: Tensor) -> None:
    """Cache a set: latents [n, …] of unit variance, a caption and a weight each."""
    distinct = list(dict.fromkeys(captions))
    vectors = dict(zip(distinct, encode_texts(distinct), strict=True))
    tensors = {"latents": latents.half(), "weights": weights, "unconditional": encode_texts([""])[0] * CONDITION_SCALE}
    tensors["conditions"] = (torch.stack([vectors[caption] for caption in captions]) * CONDITION_SCALE).half()
    save_tensors(tensors, path)
    path.with_suffix(".json").write_text(json.dumps(list(captions)), encoding="utf-8")


def whitening(conditions: Tensor) -> tuple[Tensor, Tensor]:
    """(matrix [384, 384], mean [384]): (conditions - mean) @ matrix has no correlations.

    Sentence embeddings of things' names are much alike, and what tells them apart lies in directions of small variance, which gradient
    descent learns last; whitened, a thing is remembered after several times fewer steps. The floor keeps noise in empty directions down.
    """
    mean = conditions.mean(0)
    variances, vectors = torch.linalg.eigh((conditions - mean).T @ (conditions - mean) / len(conditions))
    return vectors @ torch.diag((variances + _WHITENING_FLOOR).rsqrt()) @ vectors.T, mean


def noise_schedule(**overrides: Any) -> DDPMScheduler:
    """The schedule all three decoders are trained and sampled with: linear betas end in noise that holds nearly nothing."""
    settings = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02, "prediction_type": "v_prediction", "clip_sample": False}
    return DDPMScheduler(**{**settings, "timestep_spacing": "trailing", **overrides})


def train_denoiser(
    unet: nn.Module,
    data: LatentSet,
    *,
    predict: Predict,
    run: Path,
    cpu_minutes: float,
    batch: int = 32,
    peak: float = 1e-3,
    seed: int = 0,
    optimizer: torch.optim.Optimizer | None = None,
    prediction: str = "v_prediction",
    bias: float = 1.5,
    every: int = 0,
    on_snapshot: Callable[[nn.Module], None] | None = None,
) -> nn.Module:
    """Train until the budget is used up (resumes from `run`); returns the averaged network.

    Timesteps are drawn with a `bias` (1: evenly) to the noisy end, where the condition decides what appears; the rest is learnt quickly by
    any sample.
    `optimizer` is Muon at rate `peak` unless another is given; Muon's work is per step, so it pays where steps are long.
    `prediction` is diffusers' name of the target; "sample" (the clean latents) suits a network that has seen little: what it cannot do yet
    shows as blur, where a velocity leaves noise.
    `on_snapshot` gets the averaged network every `every` steps and at the end.
    """
    scheduler = noise_schedule(prediction_type=prediction)
    generator = torch.Generator().manual_seed(seed)
    average = Average(unet)
    optimizer = optimizer or Muon(unet, lr=peak, adam=("conv_in", "conv_out", "time_embedding"))
    session = Session(run, budget=Budget(cpu_seconds=cpu_minutes * 60), state={"unet": unet, "average": average, "optimizer": optimizer})
    generator.manual_seed(seed + session.step)
    unet.train()
    losses: list[float] = []
    for step in session.steps():
        for group in optimizer.param_groups:
            group["lr"] = peak * trapezoid(session.progress)
        rows = torch.multinomial(data.weights, batch, replacement=True, generator=generator)
        losses.append(_step(unet, data, rows, predict, scheduler, generator, optimizer, bias))
        average.update(unet)
        if step % 50 == 49:
            session.log(loss=sum(losses) / len(losses))
            losses.clear()
        if every and on_snapshot is not None and step % every == every - 1:
            on_snapshot(average.network)
    if on_snapshot is not None:
        on_snapshot(average.network)
    return average.network


class Average:
    """Exponential average of a network's weights; the horizon grows with the steps up to 1 / (1 - decay)."""

    def __init__(self, network: nn.Module, *, decay: float = 0.998) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay, self._updates = decay, 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        self._updates += 1
        decay = min(self.decay, (1 + self._updates) / (10 + self._updates))
        for mine, new in zip(self.network.parameters(), network.parameters(), strict=True):
            mine.lerp_(new, 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "updates": self._updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self._updates = state["updates"]


def export_decoder(
    folder: Path,
    *,
    unet: Any,
    vae: Any,
    unconditional: Tensor,
    settings: dict[str, Any],
    prediction: str = "v_prediction",
    mean: Mean | None = None,
) -> None:
    """Write a decoder folder: diffusers' subfolders in float16, unconditional.safetensors [1, 384], decoder.json and the mean, if any."""
    if mean is not None:
        save_tensors(mean.state_dict(), folder / "mean.safetensors", dtype=torch.float16)
        settings = {**settings, "mean": list(mean.shape), **({"layers": mean.layers} if isinstance(mean, StagedMean) else {})}
    copy.deepcopy(unet).half().save_pretrained(folder / "unet")
    copy.deepcopy(vae).half().save_pretrained(folder / "vae")
    noise_schedule(prediction_type=prediction).save_pretrained(folder / "scheduler")
    save_tensors({"unconditional": unconditional.reshape(1, -1)}, folder / "unconditional.safetensors", dtype=torch.float16)
    (folder / "decoder.json").write_text(json.dumps(settings, indent=2) + "\n")
    log.info("exported %s", folder)


def _step(
    unet: nn.Module,
    data: LatentSet,
    rows: Tensor,
    predict: Predict,
    scheduler: DDPMScheduler,
    generator: torch.Generator,
    optimizer: torch.optim.Optimizer,
    bias: float,
) -> float:
    clean = data.latents[rows].float()
    conditions = data.seen(rows, generator, noise=_CONDITION_NOISE)
    dropped = torch.rand(len(rows), generator=generator) < _DROP
    conditions[dropped] = data.unconditional
    last = scheduler.config["num_train_timesteps"]
    times = ((1 - torch.rand(len(rows), generator=generator) ** bias) * last).long().clamp(max=last - 1)
    noise = torch.randn(clean.shape, generator=generator)
    noisy = scheduler.add_noise(clean, noise, times)
    wanted = clean if scheduler.config["prediction_type"] == "sample" else scheduler.get_velocity(clean, noise, times)
    loss = (predict(unet, noisy, times, conditions) - wanted).square().mean()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
    optimizer.step()
    return loss.item()
