"""One denoising loop for pictures, videos and sounds, and the samplers it can run."""

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, PNDMScheduler, UniPCMultistepScheduler
from torch import Tensor

from nextgpt_core.decoders.base import StepCallback
from nextgpt_core.errors import ConfigError

# (latents [B, …], timestep, condition [B, …]) -> the network's prediction, shaped like the latents
Predict = Callable[[Tensor, Tensor, Tensor], Tensor]

# All four are deterministic once the first latents are drawn, and keep them on the variance-preserving scale that `clean_estimate` reads.
SCHEDULERS: dict[str, Any] = {
    "dpm++": DPMSolverMultistepScheduler,  # second order: 20-25 steps look like 50 of the first-order ones, hence the default
    "unipc": UniPCMultistepScheduler,
    "ddim": DDIMScheduler,  # what Zeroscope and AudioLDM ship with
    "pndm": PNDMScheduler,  # what Stable Diffusion 1.5 ships with
}


@torch.no_grad()
def denoise(
    latents: Tensor,
    *,
    predict: Predict,
    condition: Tensor,
    unconditional: Tensor,
    scheduler: Any,
    steps: int,
    guidance: float,
    on_step: StepCallback | None = None,
) -> Tensor:
    """Turn unit noise [1, …] into clean latents of the same shape.

    `condition` and `unconditional` are [1, …]; classifier-free guidance (Ho & Salimans 2022) runs both as one batch of two, and only where
    `guidance` > 1. After each step `on_step(step, steps, estimate)` gets the clean latents as far as they can be foreseen; what it raises
    (Cancelled) ends the loop. `scheduler` is used up: take a fresh one from `make_scheduler` for every call.
    """
    scheduler.set_timesteps(steps, device=latents.device)
    guided = guidance > 1
    if guided:
        condition = torch.cat([unconditional, condition])
    latents = latents * scheduler.init_noise_sigma
    total = len(scheduler.timesteps)
    for index, timestep in enumerate(scheduler.timesteps):
        inputs = scheduler.scale_model_input(torch.cat([latents, latents]) if guided else latents, timestep)
        prediction = predict(inputs, timestep, condition)
        if guided:
            without, with_condition = prediction.chunk(2)
            prediction = without + guidance * (with_condition - without)
        before, latents = latents, scheduler.step(prediction, timestep, latents).prev_sample
        if on_step is not None:
            last = index + 1 == total
            on_step(index + 1, total, latents if last else clean_estimate(before, prediction, timestep, scheduler))
    return latents


def clean_estimate(latents: Tensor, prediction: Tensor, timestep: Tensor, scheduler: Any) -> Tensor:
    """The clean latents that the network's prediction at `timestep` implies (for previews: sharp long before the noise is gone)."""
    kept = scheduler.alphas_cumprod.to(latents.device)[timestep.long()]
    signal, noise = kept.sqrt(), (1 - kept).sqrt()
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        return (latents - noise * prediction) / signal
    if kind == "v_prediction":
        return signal * latents - noise * prediction
    return prediction


def make_scheduler(config: Mapping[str, Any], name: str) -> Any:
    """A fresh sampler of SCHEDULERS with the noise schedule of `config` (a diffusers scheduler_config.json)."""
    if name not in SCHEDULERS:
        raise ConfigError(f"There is no scheduler called {name!r}; choose one of {', '.join(SCHEDULERS)}.")
    known = signature(SCHEDULERS[name].__init__).parameters
    # A config of another sampler says things that this one has no use for, and of which the library would complain at every start.
    return SCHEDULERS[name].from_config({key: value for key, value in config.items() if key in known})
