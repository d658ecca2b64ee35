"""What the three latent diffusion decoders share: one turn of noise -> denoise -> decode, and how their folders are read."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core.decoders.base import Decoder, DecoderSettings, Denoiser, Size, StepCallback, generation_errors
from nextgpt_core.decoders.diffusion import denoise, make_scheduler
from nextgpt_core.decoders.folders import TEXT_ENCODER, UNCONDITIONAL, DecoderFolder, folder_settings, needed_files, sides
from nextgpt_core.decoders.preview import LinearPreview
from nextgpt_core.decoders.reading import read_config
from nextgpt_core.decoders.regression import Mean
from nextgpt_core.errors import ConfigError, GenerationError

_TILES = ("tile_sample_min_size", "tile_latent_min_size")  # of diffusers' VAEs: pixels, and the latent cells that these are


class LatentDecoder(Decoder):
    """A U-Net and a VAE of diffusers behind the project's loop. Subclasses say how latents are shaped, predicted and decoded."""

    network: ClassVar[Any]  # the class of its U-Net
    settings: ClassVar[Mapping[str, Any]]  # of the published one; what decoder.json says comes before them

    def __init__(
        self,
        *,
        unet: Any,
        vae: Any,
        noise_schedule: Mapping[str, Any],
        unconditional: Tensor,
        defaults: DecoderSettings,
        scheduler: str = "dpm++",
        patch: int = 1,
        mean: Mean | None = None,
        tiling: bool = False,
    ) -> None:
        """`noise_schedule` is a diffusers scheduler_config; `unconditional` [L, D] is the encoding of ""; the VAE sees pictures whose
        pixels were folded into channels by `patch` (pixel unshuffle); with a `mean` the U-Net makes what is added to it;
        `tiling` decodes in overlapping tiles (large media, little memory)."""
        if unconditional.ndim != 2:
            raise ConfigError(f"The unconditional encoding of the {self.noun} decoder must be [L, D], not {list(unconditional.shape)}.")
        self.unet, self.vae = unet, vae
        make_scheduler(noise_schedule, scheduler)  # a wrong name fails here, not in the first turn
        _agree(self.noun, "condition width", unet=self.takes(unet.config), other=unconditional.shape[1], of="text encoder")
        _agree(self.noun, "latent channels", unet=unet.config.in_channels, other=vae.config.latent_channels, of="VAE")
        if tiling:
            vae.enable_tiling()
        self.mean = mean
        self.freeze()
        self.noise_schedule: Mapping[str, Any] = dict(noise_schedule)
        self.scheduler = scheduler
        self.unconditional = unconditional.float()
        self.condition_shape: tuple[int, int] = (unconditional.shape[0], unconditional.shape[1])
        self.defaults = defaults
        self.patch = patch
        self._apart = False  # run the halves of guidance one after the other
        self.shrink = patch * 2 ** (len(self.vae.config.block_out_channels) - 1)  # pixels per latent cell
        self._linear = LinearPreview(self.decode_latents, self.unet.config.in_channels)
        if self.device.type == "cpu":
            for module in (*self.unet.modules(), *self.vae.modules()):
                if isinstance(module, nn.Conv2d):
                    module.to(memory_format=torch.channels_last)  # about twice as fast

    @classmethod
    def from_folder(cls, path: Path, /, *, dtype: torch.dtype = torch.float32, tiling: bool = False) -> Self:
        """Load a folder of diffusers strictly (see folders.py)."""
        folder = DecoderFolder(path, defaults=cls.settings, dtype=dtype)
        said = folder.settings
        return cls(
            unet=folder.network("unet", cls.network),
            vae=folder.vae(),
            noise_schedule=read_config(path / "scheduler" / "scheduler_config.json"),
            unconditional=folder.unconditional(),
            defaults=DecoderSettings(
                steps=said["steps"], guidance=said["guidance"], seconds=said.get("seconds"), frames=said.get("frames")
            ),
            mean=folder.mean(),
            tiling=tiling,
            **{name: said[name] for name in ("scheduler", "patch") if name in said},
            **cls.extras(folder),
        )

    @staticmethod
    def extras(folder: DecoderFolder) -> dict[str, Any]:
        """What a subclass takes besides."""
        return {}

    @classmethod
    def needed_files(cls, folder: Path) -> Sequence[tuple[str, ...]]:
        return needed_files(folder)

    @classmethod
    def weight_files(cls, folder: Path) -> list[Path]:
        """All but what only serves to make the encoding of "", and that encoding."""
        return [file for file in super().weight_files(folder) if file.parent.name != TEXT_ENCODER and file.name != UNCONDITIONAL]

    @classmethod
    def size(cls, folder: Path) -> Size:
        said = folder_settings(folder, cls.settings)
        return Size(pixels=sides(said["pixels"]) if "pixels" in said else None, frames=said.get("frames"), seconds=said.get("seconds"))

    @staticmethod
    def takes(config: Any) -> Any:
        """The width D of the condition that a U-Net of this kind reads."""
        return config.cross_attention_dim

    @property
    def device(self) -> torch.device:
        return next(self.unet.parameters()).device

    def denoiser(self) -> Denoiser:
        return self

    @contextmanager
    def sparing_memory(self) -> Iterator[None]:
        """The smallest peak, for the length of a context: the halves of guidance one after the other, and the VAE decodes frame by frame
        in overlapping tiles of half the size. Slower, and seams may show faintly; afterwards a seed gives the bytes it always gave."""
        before = {name: getattr(self.vae, name) for name in ("use_slicing", "use_tiling", *_TILES) if hasattr(self.vae, name)}
        smaller = {name: max(1, before[name] // 2) for name in _TILES if name in before}
        try:
            self._apart = True
            self._set_vae({**before, "use_slicing": True, "use_tiling": True, **smaller})
            yield
        finally:
            self._apart = False
            self._set_vae(before)

    def _set_vae(self, switches: Mapping[str, Any]) -> None:
        for name, value in switches.items():
            setattr(self.vae, name, value)

    @torch.no_grad()
    def generate(
        self, condition: Tensor, *, settings: DecoderSettings, generator: torch.Generator, on_step: StepCallback | None = None
    ) -> Any:
        """A condition [L, D] -> the picture, sound or video. Noise comes from `generator` alone, so the same seed gives the same bytes.

        Raises GenerationError (OutOfMemory when that is the reason); Cancelled from `on_step` passes through.
        """
        if tuple(condition.shape) != self.condition_shape:
            raise GenerationError(
                f"The {self.noun} decoder expects a condition of {list(self.condition_shape)}, not {list(condition.shape)}; "
                "the output projection belongs to another decoder."
            )
        if settings.steps < 1:
            raise GenerationError("A generation needs at least one step.")
        with generation_errors(self.noun):
            # Drawn where the generator lives (the CPU): a seed means the same picture on every device.
            noise = torch.randn(self.latent_shape(settings), generator=generator, device=generator.device).to(self.device)
            wish = condition.float().to(self.device)[None]
            latents = denoise(
                noise,
                predict=self._predict_apart if self._apart else self.predict,
                condition=wish,
                unconditional=self.unconditional.to(self.device)[None],
                scheduler=make_scheduler(self.noise_schedule, self.scheduler),
                steps=settings.steps,
                guidance=settings.guidance,
                on_step=self._completing(on_step, wish),
            )
            latents = self.complete(latents, wish)
            return self.finish(self.valid(latents), settings)

    def valid(self, values: Tensor) -> Tensor:
        """The same values. Raises GenerationError where a network ran out of its 16 bits: they would be noise or silence."""
        if not torch.isfinite(values).all():
            raise GenerationError(f"The {self.noun} came out as invalid numbers; try other settings or float32.")
        return values

    def complete(self, denoised: Tensor, conditions: Tensor) -> Tensor:
        """What the loop made [B, …] for conditions [B, L, D] -> latents: with a mean, the loop makes only what is added to it."""
        return denoised if self.mean is None else self.mean.complete(denoised, conditions)

    def _completing(self, on_step: StepCallback | None, conditions: Tensor) -> StepCallback | None:
        """`on_step` that is handed complete latents."""
        if on_step is None or self.mean is None:
            return on_step
        report = on_step
        return lambda step, steps, denoised: report(step, steps, self.complete(denoised, conditions))

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Latents [B, C, h, w] of unit scale -> the VAE's picture, unfolded: float [B, K, h * shrink, w * shrink]."""
        config = self.vae.config
        scaled = latents / config.scaling_factor + (getattr(config, "shift_factor", None) or 0.0)
        made = self.vae.decode(scaled.to(self.device, self.vae.dtype)).sample.float()
        return F.pixel_shuffle(made, self.patch) if self.patch > 1 else made

    @abstractmethod
    def latent_shape(self, settings: DecoderSettings) -> tuple[int, ...]:
        """The shape of the first noise, batch of one included."""

    def predict(self, latents: Tensor, timestep: Tensor, condition: Tensor) -> Tensor:
        """One pass of the U-Net; pictures and videos take the condition [B, L, D] by cross-attention."""
        dtype = self.unet.dtype
        return self.unet(latents.to(dtype), timestep, encoder_hidden_states=condition.to(dtype)).sample.float()

    def _predict_apart(self, latents: Tensor, timestep: Tensor, condition: Tensor) -> Tensor:
        """`predict` for each of the batch alone: the same but for rounding, with the activations of one."""
        return torch.cat([self.predict(one, timestep, its) for one, its in zip(latents.split(1), condition.split(1), strict=True)])

    @abstractmethod
    def finish(self, latents: Tensor, settings: DecoderSettings) -> Any:
        """Clean latents -> content as the modality's spec saves it."""

    @abstractmethod
    def preview(self, latents: Tensor) -> np.ndarray:
        """Latents of a running generation -> a small uint8 picture [h, w, 3] of them."""


def _agree(noun: str, what: str, *, unet: Any, other: int, of: str) -> None:
    if isinstance(unet, int) and unet != other:
        raise ConfigError(f"The {noun} decoder's U-Net has {what} {unet} and its {of} {other}: they belong to different models.")


def cells(pixels: int, shrink: int, noun: str) -> int:
    """Pixels along a side -> latent cells. Raises ConfigError where they do not divide."""
    if pixels % shrink:
        raise ConfigError(f"The {noun} decoder makes sides in multiples of {shrink} pixels; {pixels} is none.")
    return pixels // shrink
