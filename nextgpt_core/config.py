"""A preset: one folder with a preset.json that names the parts, read into frozen dataclasses. What is not understood is refused."""

import json
import os
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from nextgpt_core.errors import ConfigError
from nextgpt_core.modalities import MODALITIES

PRESET_FILE = "preset.json"
DTYPES = ("float32", "float16", "bfloat16")
PRECISIONS = (*DTYPES, "8bit", "4bit", "packed")  # of a language model; the last three in few bits, packed: as it is stored
Config = TypeVar("Config")


def checkpoints_folder() -> Path:
    """Where presets lie by name: NEXTGPT_CHECKPOINTS, or the checkpoints/ beside this package (a clone); for code that was installed
    elsewhere, that of a clone which is the current folder."""
    if named := os.environ.get("NEXTGPT_CHECKPOINTS"):
        return Path(named).expanduser().resolve()
    beside = Path(__file__).resolve().parent.parent / "checkpoints"
    here = Path.cwd() / "checkpoints"
    return here if not beside.is_dir() and here.is_dir() else beside


CHECKPOINTS = checkpoints_folder()


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The frozen encoder: `tokens` vectors of `width` per file of each modality it reads."""

    kind: str  # a key of encoders.ENCODERS
    path: str  # in the preset's folder
    width: int
    tokens: Mapping[str, int]
    legacy: bool = False  # ImageBind: overlapping clips of short sounds as the original treats them


@dataclass(frozen=True, kw_only=True)
class InputProjectionConfig:
    """Encoder width -> LLM width."""

    kind: str  # a key of projections.INPUT_KINDS
    shared: bool  # one for all modalities, or one each
    spread: int = 1  # vectors that each of the encoder's becomes; only "tokenwise" can make several


@dataclass(frozen=True, kw_only=True)
class LanguageModelConfig:
    """The frozen language model and the form of its conversations."""

    path: str
    width: int
    vocabulary: int  # rows of the base tables, before tokens are added
    precision: str = "float32"  # one of PRECISIONS
    context: int = 2048  # positions used at most: prompt and answer together
    template: str  # a key of prompt.TEMPLATES
    system: str = ""  # what the conversation starts with, where the template has a place for it


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """The adapter on the language model's linear layers."""

    rank: int
    alpha: int
    targets: tuple[str, ...]
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """One modality that can be made: its signal tokens, the projection of their states, and the decoder it conditions."""

    signals: int  # how many signal tokens make a span
    width: int  # d of the projection's transformer
    layers: int
    condition_shape: tuple[int, int]  # [L, D] of the decoder
    decoder: str  # a key of decoders.DECODERS
    path: str
    precision: str = "float32"  # one of DTYPES
    tiling: bool = False  # the VAE decodes in overlapping tiles: slower, for large media and little memory


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """Where a turn's settings start from."""

    temperature: float = 0.0
    top_p: float = 0.9
    max_new_tokens: int = 200


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Everything `build` needs to assemble a NextGPT."""

    name: str
    title: str
    folder: Path
    encoder: EncoderConfig
    input_projection: InputProjectionConfig
    llm: LanguageModelConfig
    lora: LoraConfig
    boundary_tokens: tuple[str, str]  # before and after a file's vectors
    outputs: Mapping[str, OutputConfig]  # in the order in which their tokens were added
    boundary_as_text: bool = False  # the boundaries were written as words in training: their own tokens have rows, and are not used
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    def __post_init__(self) -> None:
        for where, names in (("encoder.tokens", self.encoder.tokens), ("outputs", self.outputs)):
            for name in names:
                if name not in MODALITIES:
                    raise ConfigError(f"{self.name}: {where} names '{name}'{_nearest(name, MODALITIES)}.")
        require_known(self.llm.precision, PRECISIONS, where=f"{self.name}: llm.precision")
        tokens = self.added_tokens
        if repeated := sorted({token for token in tokens if tokens.count(token) > 1}):
            raise ConfigError(f"{self.name}: the token {repeated[0]} is added twice; give every token its own name.")
        if self.input_projection.spread != 1 and (self.input_projection.kind != "tokenwise" or self.input_projection.spread < 1):
            raise ConfigError(f"{self.name}: input_projection.spread must be 1, or more with the kind 'tokenwise'.")
        for name, output in self.outputs.items():
            require_known(output.precision, DTYPES, where=f"{self.name}: outputs.{name}.precision")
            if min(output.signals, output.width, output.layers, *output.condition_shape) < 1:
                raise ConfigError(f"{self.name}: outputs.{name} must have at least one signal token, layer and condition vector.")

    def signal_tokens(self, modality: str) -> tuple[str, ...]:
        """The names of a modality's signal tokens, in the order of a span."""
        return tuple(f"[{MODALITIES[modality].signal}{i}]" for i in range(self.outputs[modality].signals))

    @property
    def added_tokens(self) -> tuple[str, ...]:
        """All tokens that follow the base vocabulary, in the order of their ids."""
        return self.boundary_tokens + tuple(token for modality in self.outputs for token in self.signal_tokens(modality))

    @property
    def handle(self) -> str:
        """What to type for it on the command line."""
        return self.folder.name if self.folder.parent == CHECKPOINTS else str(self.folder)

    def file(self, path: str) -> Path:
        """A path of this preset, made absolute."""
        return self.folder / path


def load_preset(preset: str | Path, *, checkpoints: Path = CHECKPOINTS) -> Preset:
    """A preset by name ("nano", a folder of `checkpoints`), or by the path of its folder or of its file. Raises ConfigError.

    A name of `checkpoints` comes before a folder of the current one that happens to be called the same: "./nano" is that folder.
    """
    named = checkpoints / preset / PRESET_FILE if Path(preset).name == str(preset) else None
    path = Path(preset) if Path(preset).suffix == ".json" else Path(preset) / PRESET_FILE
    path = named if named is not None and named.is_file() else path
    if not path.is_file():
        known = sorted(found.parent.name for found in checkpoints.glob(f"*/{PRESET_FILE}"))
        raise ConfigError(
            f"There is no preset '{preset}'{_nearest(str(preset), known)}; "
            f"known are {', '.join(known) or 'none'} and any folder that holds a {PRESET_FILE}."
        )
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is not valid JSON: {error}.") from error
    if isinstance(data, dict) and "folder" in data:
        raise ConfigError(f"{path}: 'folder' is where the file lies and cannot be set.")
    return _read(Preset, {**data, "folder": path.parent} if isinstance(data, dict) else data, where=str(path))


def with_precision(preset: Preset, precision: str) -> Preset:
    """The same preset with another precision of the language model. Raises ConfigError where there is no such precision."""
    return replace(preset, llm=replace(preset.llm, precision=precision))


def require_known(name: str, known: typing.Iterable[str], *, where: str) -> None:
    """Raises ConfigError for a name that is none of those there are."""
    if name not in known:
        raise ConfigError(f"{where} is '{name}'; known are {', '.join(sorted(known))}.")


def _read(kind: type[Config], data: Any, *, where: str) -> Config:
    """JSON object -> dataclass: every key known, every required key there, every value of the right type."""
    if not isinstance(data, dict):
        raise ConfigError(f"{where} must be a JSON object, not {json.dumps(data)[:40]}.")
    known = {item.name: item for item in fields(kind)}  # type: ignore[arg-type]
    for key in data:
        if key not in known:
            raise ConfigError(f"{where}: unknown key '{key}'{_nearest(key, known)}.")
    for name, item in known.items():
        if name not in data and item.default is MISSING and item.default_factory is MISSING:
            raise ConfigError(f"{where}: '{name}' is missing.")
    types_of = typing.get_type_hints(kind)
    return kind(**{key: _value(types_of[key], value, where=f"{where}: {key}") for key, value in data.items()})


def _value(kind: Any, value: Any, *, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if is_dataclass(kind):
        return _read(kind, value, where=where)  # type: ignore[arg-type]
    if origin is tuple and isinstance(value, list):
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) == len(value):
            return tuple(_value(each, item, where=where) for each, item in zip(kinds, value))
    elif origin is Mapping:
        if isinstance(value, dict):
            return types.MappingProxyType({key: _value(arguments[1], item, where=f"{where}.{key}") for key, item in value.items()})
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif isinstance(kind, type) and isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    raise ConfigError(f"{where} must be {_described(kind)}, not {json.dumps(value)[:40]}.")


def _described(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    if kind in names:
        return names[kind]
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        return "a list" if arguments[-1] is Ellipsis else f"a list of {len(arguments)}"
    return "a JSON object"


def _nearest(name: str, known: typing.Iterable[str]) -> str:
    close = get_close_matches(name, list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""
