"""What a preset's parts take: bytes of their weights, counted exactly, and what they need beside them at work.

The encoder's and the decoders' numbers are their classes' own (frozen.py); here are those of the language model and the projections.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nextgpt_core.config import Preset
from nextgpt_core.decoders import decoder_class
from nextgpt_core.decoders.base import Size
from nextgpt_core.encoders import encoder_class
from nextgpt_core.errors import ConfigError
from nextgpt_core.frozen import FrozenPart, absent
from nextgpt_core.projections import make_projections

GIB = 2**30
SLACK = 1.25  # for workspaces and fragmentation, on everything that is computed
# Bytes of one parameter. NF4 keeps a float32 scale for each 64 weights.
BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "8bit": 1.0, "4bit": 0.5 + 4 / 64}
LANGUAGE_MODELS: dict[str, dict[str, Any]] = {  # the published one's config, by the folder that checkpoints/7b/preset.json gives it
    "vicuna-7b-v0": {
        **{"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
        **{"max_position_embeddings": 2048, "rms_norm_eps": 1e-6},
    }
}
_STATES = 11  # numbers per position and width that the language model works with, its cache apart


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of the system: bytes of its weights, the most it needs besides while it runs, and what it keeps after that."""

    name: str
    parameters: int
    weights: int
    activations: int
    kept: int = 0  # the conversation's key-value cache


def parts_of(
    preset: Preset, *, precision: str, sizes: Mapping[str, Size] | None = None, decoders: Collection[str] | None = None
) -> list[Part]:
    """The parts of a preset with their sizes on a GPU, of its decoders all or some; published ones need not be on disk.

    `precision` is the language model's; `sizes` those of the media, by modality (None: the decoders' own). Raises ConfigError.
    """
    sizes = sizes or sizes_of(preset)
    encoder = encoder_class(preset)
    count = encoder.count_parameters(preset.file(preset.encoder.path))
    found = [language_model_part(preset, precision), _projections(preset)]
    found.append(_part("encoder", count, encoder.gpu_dtype.itemsize, encoder.activations()))
    for modality in _wanted(preset, decoders):
        decoder, output = decoder_class(preset, modality), preset.outputs[modality]
        count = decoder.count_parameters(preset.file(output.path))
        found.append(_part(modality, count, BYTES[output.precision], decoder.activations(sizes[modality])))
    return found


def sizes_of(preset: Preset, *, pixels: int | None = None, frames: int | None = None, seconds: float | None = None) -> dict[str, Size]:
    """The sizes of the media that a preset's decoders make by their defaults, or as asked for; `pixels` is the side of a still picture."""
    found = {modality: decoder_class(preset, modality).size(preset.file(output.path)) for modality, output in preset.outputs.items()}
    for modality, size in found.items():
        side = (pixels, pixels) if pixels and size.frames is None else None
        asked: dict[str, Any] = {"pixels": side, "frames": frames, "seconds": seconds}
        found[modality] = replace(size, **{name: value for name, value in asked.items() if value and getattr(size, name)})
    return found


def decoders_on_disk(preset: Preset) -> list[str]:
    """The modalities whose decoder has the files that it needs: `fetch --only` may have left some out."""
    return [modality for modality, output in preset.outputs.items() if _there(decoder_class(preset, modality), preset.file(output.path))]


def cpu_bytes(preset: Preset, precision: str, *, decoders: Collection[str] | None = None) -> tuple[dict[str, int], int]:
    """On a CPU, with the language model in `precision`: bytes by part of what is on disk, and the most that is held at once.

    `decoders`: those that are loaded (None: all). Raises ConfigError where the language model is not there and its size not known.
    """
    plain = "float32" if precision == "8bit" else None  # our own 8 bits: what is not rounded works in float32
    llm = language_model_part(preset, precision, plain=plain)
    found = {"llm": llm.weights + llm.kept + llm.activations}
    parts: dict[str, tuple[type[FrozenPart], str]] = {"encoder": (encoder_class(preset), preset.encoder.path)}
    parts |= {modality: (decoder_class(preset, modality), preset.outputs[modality].path) for modality in _wanted(preset, decoders)}
    for name, (part, path) in parts.items():
        if _there(part, preset.file(path)):  # one that is not is missed by whoever loads it
            found[name] = int(part.count_parameters(preset.file(path)) * BYTES["float32"])
    wide = language_model_part(preset, "float16").weights if precision == "8bit" else 0  # it is rounded after it was read
    return found, max(wide, sum(found.values()))


def _wanted(preset: Preset, decoders: Collection[str] | None) -> list[str]:
    return [modality for modality in preset.outputs if decoders is None or modality in decoders]


def _there(part: type[FrozenPart], folder: Path) -> bool:
    return not absent(part.needed_files(folder), folder)


def language_model_part(preset: Preset, precision: str, *, plain: str | None = None) -> Part:
    """The language model in one of BYTES, from its config or what is known of the published one. Raises ConfigError.

    What is not quantized is in `plain` (None: float32 beside float32, 16 bits elsewhere).
    """
    path = preset.file(preset.llm.path) / "config.json"
    if path.is_file():
        config = json.loads(path.read_text(encoding="utf-8"))
    elif preset.llm.path in LANGUAGE_MODELS:
        config = LANGUAGE_MODELS[preset.llm.path]
    else:
        raise ConfigError(f"{path} is not there, so the size of the language model is not known; fetch it first.")
    width, layers = config["hidden_size"], config["num_hidden_layers"]
    grouped = config.get("num_key_value_heads", config["num_attention_heads"]) / config["num_attention_heads"]
    linear = layers * int(width * width * (2 + 2 * grouped) + 3 * width * config["intermediate_size"])
    tables = (1 if config.get("tie_word_embeddings") else 2) * (config["vocab_size"] + len(preset.added_tokens)) * width
    norms = (2 * layers + 1) * width
    other = BYTES[plain or ("float32" if precision == "float32" else "float16")]
    adapter, adapter_bytes = 0, 0.0
    if precision == "4bit" or (precision == "8bit" and plain is None):  # merged into the weights elsewhere
        adapter = layers * 2 * preset.lora.rank * width * len(preset.lora.targets)
        adapter_bytes = adapter * (BYTES["float32"] if precision == "8bit" else other)  # beside whole numbers, peft makes it in 32 bits
    weights = linear * BYTES[precision] + (tables + norms) * other + adapter_bytes
    cache = preset.llm.context * layers * int(2 * width * grouped) * other
    states = preset.llm.context * width * _STATES * other
    count = linear + tables + norms + adapter
    return Part(name="llm", parameters=count, weights=int(weights), activations=int(states * SLACK), kept=int(cache))


def _projections(preset: Preset) -> Part:
    with torch.device("meta"):
        into, out = make_projections(preset, llm_width=preset.llm.width)
    modules: list[nn.Module] = [into, *out.values()]
    count = sum(value.numel() for module in modules for value in module.state_dict().values())
    return _part("projections", count, BYTES["float32"], 8 * 2**20)


def _part(name: str, parameters: int, width: float, activations: float) -> Part:
    """Of parameters and activations of `width` bytes; `activations` are those in 16 bits."""
    return Part(name=name, parameters=parameters, weights=int(parameters * width), activations=int(activations * width / 2 * SLACK))
