"""Folders of a latent diffusion decoder, as diffusers lays them out and as the bundled preset's trainers export them.

unet/ vae/ scheduler/            config and weights, as save_pretrained writes them
decoder.json                     optional: what SETTINGS lists
mean.safetensors                 optional: a ConditionalMean or StagedMean; decoder.json gives its shape as "mean"
unconditional.safetensors        {"unconditional": [L, D]}, the encoding of ""; made from text_encoder/ and tokenizer/ where
                                 absent, or where another text encoder made it
vocoder/                         sounds: a SpeechT5HifiGan (or "mel" in decoder.json for Griffin-Lim)
safety_checker/                  pictures, optional
"""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor, nn

from nextgpt_core.checkpoints import assemble, fingerprint, read_metadata, read_tensors, save_tensors
from nextgpt_core.decoders.base import Vocoder
from nextgpt_core.decoders.reading import DIFFUSERS_FILES, HUB_FILES, first_of, modern_names, read_config, weights_file
from nextgpt_core.decoders.regression import ConditionalMean, Mean
from nextgpt_core.decoders.staged import StagedMean
from nextgpt_core.errors import CheckpointError, CheckpointMismatch, CheckpointMissing, ConfigError

log = logging.getLogger(__name__)

_VAES: dict[str, Any] = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny}
TEXT_ENCODER = "text_encoder"  # a folder, and the key of the metadata that tells which one made the encoding of ""
UNCONDITIONAL = "unconditional.safetensors"
# What decoder.json may say. pixels: a side or [height, width]; mel: arguments of the Griffin-Lim vocoder; mean: shape of its latents;
# layers: how often a thing can be there (StagedMean); safety: false leaves the safety checker out.
SETTINGS = frozenset(
    {"pixels", "patch", "frames", "fps", "seconds", "rate", "steps", "guidance", "scheduler", "mel", "mean", "layers", "safety"}
)


def needed_files(folder: Path) -> list[tuple[str, ...]]:
    """Patterns of what must lie in a decoder's folder, of each group one: what every decoder has, and what its model_index.json names."""
    index = read_config(folder / "model_index.json", optional=True)
    spared = {TEXT_ENCODER, "tokenizer"} if (folder / UNCONDITIONAL).is_file() else set()  # they only serve to make it
    if not folder_settings(folder, {}).get("safety", True):
        spared.add("safety_checker")
    named = [part for part in ("safety_checker", "vocoder", TEXT_ENCODER, "tokenizer") if (index.get(part) or [None])[0]]
    needed = [("scheduler/scheduler_config.json",), *_saved("unet"), *_saved("vae"), (UNCONDITIONAL, f"{TEXT_ENCODER}/config.json")]
    for part in named:
        if part not in spared:
            needed += [("tokenizer/tokenizer.json", "tokenizer/vocab.json")] if part == "tokenizer" else _saved(part)
    return needed


def _saved(part: str) -> list[tuple[str, ...]]:
    return [(f"{part}/config.json",), (f"{part}/*.safetensors", f"{part}/*.bin")]


def folder_settings(folder: Path, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What decoder.json says, over `defaults`. Raises CheckpointMismatch or ConfigError where it cannot be understood."""
    said = read_config(folder / "decoder.json", optional=True)
    if unknown := sorted(set(said) - SETTINGS):
        raise ConfigError(f"{folder / 'decoder.json'}: unknown {', '.join(unknown)}; known are {', '.join(sorted(SETTINGS))}.")
    return {**defaults, **said}


def sides(pixels: int | Sequence[int]) -> tuple[int, int]:
    """Height and width: "pixels" of decoder.json."""
    return (pixels, pixels) if isinstance(pixels, int) else (pixels[0], pixels[1])


class DecoderFolder:
    """Reads one decoder's folder; whatever does not match its config exactly is refused by name."""

    def __init__(self, path: Path, *, defaults: Mapping[str, Any], dtype: torch.dtype) -> None:
        if not path.is_dir():
            raise CheckpointMissing(f"The decoder folder {path} is not there.")
        self.path = path
        self.dtype = dtype
        self.settings = folder_settings(path, defaults)

    def mean(self) -> Mean | None:
        """The regression mean, where decoder.json names one."""
        shape = self.settings.get("mean")
        if shape is None:
            return None
        tensors = read_tensors(self.path / "mean.safetensors")
        if "painter" in tensors:
            width, condition, _ = _sizes(tensors, "drawing.")
            sizes: dict[str, Any] = {"width": width, "sprite": tensors["painter"].shape[0], "staging": _sizes(tensors, "staging.")[0]}
            make: Any = partial(StagedMean, condition=condition, shape=tuple(shape), layers=self.settings.get("layers", 1), **sizes)
        else:
            width, condition, depth = _sizes(tensors, "")
            make = partial(ConditionalMean, condition=condition, shape=tuple(shape), width=width, depth=depth)
        return assemble(make, tensors, name=str(self.path / "mean.safetensors"), dtype=self.dtype)

    def vae(self) -> nn.Module:
        name = read_config(self.path / "vae" / "config.json").get("_class_name", "AutoencoderKL")
        if name not in _VAES:
            raise ConfigError(f"{self.path / 'vae'} is a {name}; this project reads {', '.join(_VAES)}.")
        return self.network("vae", _VAES[name])

    def network(self, part: str, kind: Any) -> nn.Module:
        """A diffusers network `kind` from `part`/, all keys and shapes checked."""
        folder = self.path / part
        config = read_config(folder / "config.json")
        if kind is AutoencoderTiny:
            config.pop("block_out_channels", None)  # it writes down what follows from others, and complains when it reads that again
        tensors = modern_names(first_of(folder, DIFFUSERS_FILES))
        return assemble(lambda: kind.from_config(config), tensors, name=str(folder), dtype=self.dtype)

    def unconditional(self) -> Tensor:
        """[L, D]; encoded once with the folder's own text encoder and kept beside it, until there is another text encoder."""
        path = self.path / UNCONDITIONAL
        weights = weights_file(self.path / TEXT_ENCODER, HUB_FILES)
        maker = {TEXT_ENCODER: fingerprint(weights)} if weights else {}
        if path.exists() and (not maker or read_metadata(path).get(TEXT_ENCODER) == maker[TEXT_ENCODER]):
            tensors = read_tensors(path)
            if set(tensors) != {"unconditional"}:
                raise CheckpointMismatch(f"{path}: expected the one tensor 'unconditional', found {', '.join(sorted(tensors))}.")
            return tensors["unconditional"].float()
        if not (self.path / TEXT_ENCODER).is_dir():
            raise CheckpointMissing(f"{self.path} has neither {path.name} nor {TEXT_ENCODER}/ to make it with.")
        from nextgpt_core.decoders.text import encode_nothing  # needs transformers; not for the bundled preset

        encoded = encode_nothing(self.path)
        try:
            save_tensors({"unconditional": encoded}, path, metadata=maker)
        except CheckpointError as error:
            log.warning("the encoding of the empty text is not kept (%s); it is made again at the next start", error)
        return encoded

    def vocoder(self) -> Vocoder:
        """What makes the spectrograms of this folder audible."""
        if (self.path / "vocoder").is_dir():
            from nextgpt_core.decoders.hifigan import HifiGan  # the published preset only: needs transformers

            return HifiGan.from_folder(self.path / "vocoder", dtype=self.dtype)
        if "mel" not in self.settings:
            raise CheckpointMissing(f"{self.path} has neither vocoder/ nor 'mel' in decoder.json: its spectrograms cannot be heard.")
        from nextgpt_core.decoders.vocoders import GriffinLim

        try:
            return GriffinLim(**self.settings["mel"])
        except TypeError as error:
            raise ConfigError(f"{self.path / 'decoder.json'}: 'mel' cannot be understood ({error}).") from error

    def safety_check(self) -> Any:
        """A check of finished pictures; None in a folder that has and names none, or whose decoder.json says "safety": false.

        Raises CheckpointMissing where model_index.json names one that is absent.
        """
        folder, index = self.path / "safety_checker", read_config(self.path / "model_index.json", optional=True)
        named = (index.get("safety_checker") or [None])[0]
        if not self.settings.get("safety", True) or not (named or folder.is_dir()):
            return None
        if not folder.is_dir():
            raise CheckpointMissing(f'{folder} is not there; fetch it, or say "safety": false in {self.path / "decoder.json"}.')
        from nextgpt_core.decoders.safety import SafetyChecker  # the published preset only

        return SafetyChecker.from_folder(folder, dtype=self.dtype)


def _sizes(tensors: dict[str, Tensor], prefix: str) -> tuple[int, int, int]:
    """Width, condition and depth of a ConditionalMean by its tensors."""
    inner = tensors.get(f"{prefix}inner.weight", torch.empty(1, 1))
    blocks = {name.removeprefix(prefix).split(".")[1] for name in tensors if name.startswith(f"{prefix}blocks.")}
    return inner.shape[0], inner.shape[1], len(blocks)
