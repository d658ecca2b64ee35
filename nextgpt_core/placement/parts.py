"""What a preset's parts take: bytes of their weights, counted exactly, and what they need beside them at work.

Activations come from a trace of the published networks (benchmarks/activations.py) and grow with the sizes that are asked for.
"""

import json
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import safe_open

from nextgpt_core.checkpoints import read_pickle, refuse_damaged
from nextgpt_core.config import Preset
from nextgpt_core.encoders.imagebind import TOWERS, tower_of
from nextgpt_core.errors import ConfigError
from nextgpt_core.published.architectures import LANGUAGE_MODELS, PARAMETERS

GIB = 2**30
SLACK = 1.25  # for workspaces and fragmentation, on everything that is computed
# Bytes of one parameter. NF4 keeps a float32 scale for each 64 weights; packed ones are there twice, with three numbers for each 32.
BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "8bit": 1.0, "4bit": 0.5 + 4 / 64, "packed": 2 * (0.5 + 3 * 4 / 32)}
_NOT_RESIDENT = ("text_encoder", "tokenizer", "scheduler", "feature_extractor")
# Traced peaks in float16, in bytes.
_UNET_IMAGE = 130 * 2**20 / 512**2  # per pixel of a picture, guided (a batch of two)
_VAE_IMAGE = 384 * 2**20 / 512**2  # per pixel of a picture
_UNET_VIDEO = 2792 * 2**20 / (24 * 320 * 576)  # per pixel and frame of a video, guided
_VAE_VIDEO = 1080 * 2**20 / (320 * 576)  # per pixel of a frame; four frames are decoded at a time
_AUDIO = 9.5 * 2**20  # per second of a sound (its VAE needs more than its U-Net)
_ENCODER = 122 * 2**20  # a video of fifteen crops
_STATES = 11  # numbers per position and width that the language model works with, its cache apart


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The largest media that the plan allows for."""

    image: tuple[int, int] = (512, 512)  # height, width
    video: tuple[int, int] = (320, 576)
    frames: int = 24
    seconds: float = 9.0


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of the system: bytes of its weights, the most it needs besides while it runs, and what it keeps after that."""

    name: str
    parameters: int
    weights: int
    activations: int
    kept: int = 0  # the conversation's key-value cache


def parts_of(preset: Preset, *, precision: str, sizes: Sizes, decoders: Collection[str] | None = None) -> list[Part]:
    """The parts of a preset with their sizes, of its decoders all or some; published ones need not be on disk."""
    media = 2.0  # the encoder and the decoders run in float16 on a GPU
    found = [language_model_part(preset, precision), _projections(preset)]
    encoder = _count(preset, preset.encoder.path, loaded=_LOADED.get(preset.encoder.kind, _everything))
    found.append(_part("encoder", encoder, media, _ENCODER))
    at_work = {
        "image": math.prod(sizes.image) * max(_UNET_IMAGE, _VAE_IMAGE),
        "video": math.prod(sizes.video) * max(sizes.frames * _UNET_VIDEO, _VAE_VIDEO),
        "audio": sizes.seconds * _AUDIO,
    }
    for modality, output in preset.outputs.items():
        if decoders is None or modality in decoders:
            found.append(_part(modality, _count(preset, output.path), media, at_work[modality]))
    return found


def decoders_on_disk(preset: Preset) -> list[str]:
    """The modalities whose decoder can be loaded: `fetch --only` may have left some out."""
    return [modality for modality, output in preset.outputs.items() if _weight_files(preset.file(output.path))]


def sizes_of(preset: Preset) -> Sizes:
    """The sizes of the media that a preset's decoders make: what their decoder.json say, the published ones elsewhere."""
    found: dict[str, Any] = {}
    for modality, output in preset.outputs.items():
        path = preset.file(output.path) / "decoder.json"
        said = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if "pixels" in said:
            found[modality] = (said["pixels"],) * 2 if isinstance(said["pixels"], int) else tuple(said["pixels"])
        found |= {name: said[name] for name in ("frames", "seconds") if name in said}
    return replace(Sizes(), **found)


def cpu_bytes(preset: Preset, precision: str, *, decoders: Collection[str] | None = None) -> tuple[dict[str, int], int]:
    """On a CPU, with the language model in `precision`: bytes by part of what is on disk, and the most that is held at once.

    `decoders`: those that are loaded (None: all). Raises ConfigError where the language model is not there and its size not known.
    """
    plain = "float32" if precision == "8bit" else None  # our own 8 bits: what is not rounded works in float32
    llm = language_model_part(preset, precision, plain=plain)
    found = {"llm": llm.weights + llm.kept + llm.activations}
    paths = {"encoder": preset.encoder.path}
    paths |= {name: output.path for name, output in preset.outputs.items() if decoders is None or name in decoders}
    for name, path in paths.items():
        if _weight_files(preset.file(path)):  # one that is absent is not loaded
            loaded = _LOADED.get(preset.encoder.kind, _everything) if name == "encoder" else _everything
            found[name] = int(_count(preset, path, loaded=loaded) * BYTES["float32"])
    wide = language_model_part(preset, "float16").weights if precision == "8bit" else 0  # it is rounded after it was read
    return found, max(wide, sum(found.values()))


def _part(name: str, parameters: int, bytes_each: float, activations: float) -> Part:
    return Part(name=name, parameters=parameters, weights=int(parameters * bytes_each), activations=int(activations * SLACK))


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
    other = BYTES[plain or ("float32" if precision in ("float32", "packed") else "float16")]
    adapter, adapter_bytes = 0, 0.0
    if precision == "4bit" or (precision == "8bit" and plain is None):  # merged into the weights elsewhere
        adapter = layers * 2 * preset.lora.rank * width * len(preset.lora.targets)
        adapter_bytes = adapter * (BYTES["float32"] if precision == "8bit" else other)  # beside whole numbers, peft makes it in 32 bits
    weights = linear * BYTES[precision] + (tables + norms) * other + adapter_bytes
    cache = preset.llm.context * layers * int(2 * width * grouped) * other
    states = preset.llm.context * width * _STATES * other
    return Part(
        name="llm",
        parameters=linear + tables + norms + adapter,
        weights=int(weights),
        activations=int(states * SLACK),
        kept=int(cache),
    )


def _projections(preset: Preset) -> Part:
    from nextgpt_core.published.convert import published_shapes  # the layout of the trained parts, however they are stored

    tables = ("embed_tokens.weight", "lm_head.weight")
    count = sum(math.prod(shape) for name, shape in published_shapes(preset, layers=0).items() if name not in tables)
    return _part("projections", count, BYTES["float32"], 16 * 2**20)


def _everything(key: str) -> bool:
    return True


# Of an encoder's file, what does not stay on disk.
_LOADED: dict[str, Callable[[str], bool]] = {"imagebind": lambda key: tower_of(key) in TOWERS}


def _count(preset: Preset, path: str, *, loaded: Callable[[str], bool] = _everything) -> int:
    """Parameters that are loaded from a part's folder, from its files or from what is known of the published one."""
    folder = preset.file(path)
    if files := _weight_files(folder):
        return sum(size for file in files for key, size in _numbers(file) if loaded(key))
    if path in PARAMETERS:
        return sum(PARAMETERS[path].values())
    raise ConfigError(f"{folder} is not there, so the size of '{path}' is not known; fetch it first.")


def _weight_files(folder: Path) -> list[Path]:
    """The weight files that are loaded from a folder: of several forms of the same weights, one."""
    found = []
    for place in (folder, *(sub for sub in sorted(folder.glob("*")) if sub.is_dir() and sub.name not in _NOT_RESIDENT)):
        tensors = [file for file in sorted(place.glob("*.safetensors")) if file.name != "unconditional.safetensors"]
        same = [file for file in tensors if file.name.startswith(("diffusion_pytorch_model.", "model."))]
        pickles = sorted((*place.glob("*.bin"), *place.glob("*.pth")))
        found += same[-1:] or tensors or pickles[:1]
    return found


def _numbers(file: Path) -> list[tuple[str, int]]:
    """Each tensor of a file, and how many numbers it holds."""
    if file.suffix != ".safetensors":
        return [(key, value.numel()) for key, value in read_pickle(file).items()]
    refuse_damaged(file)
    with safe_open(file, framework="pt") as tensors:
        return [(key, math.prod(tensors.get_slice(key).get_shape())) for key in tensors.keys()]  # noqa: SIM118  (not a dict)
