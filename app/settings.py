"""Every limit of the page in one place. Each field can be set by an environment variable: NEXTGPT_ and the field's name in capitals."""

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nextgpt_core.errors import ConfigError, SettingsError
from nextgpt_core.messages import TurnSettings
from nextgpt_core.settings import bounded

ROOT = Path(__file__).resolve().parent.parent
MADE = {"picture": "image", "sound": "audio", "video": "video"}  # what a person calls it -> modality
ANSWERS = ("auto", "text", *MADE)
QUALITIES: dict[str, int | None] = {"fast": 8, "balanced": None, "fine": 40}  # denoising steps; None: the preset's own
# What the page's sliders reach, and an event of the page may ask for; `ask` goes as far as the core does.
PAGE_MOST: dict[str, float] = {"temperature": 1.5, "max_new_tokens": 512, "guidance": 15, "steps": 100, "seconds": 10, "frames": 32}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Limits of size, length, count, rate and time. Example: NEXTGPT_MAX_UPLOAD_MB=50."""

    max_upload_mb: int = 200  # one file
    max_files: int = 20  # files of one message
    max_text: int = 20_000  # characters of one message
    max_turns: int = 200  # of one conversation
    max_versions: int = 20  # answers to one message, by retry
    max_conversations: int = 30  # of one person
    max_waiting: int = 20  # turns waiting for the model, over all persons
    max_waiting_per_person: int = 3  # of those, over a person's conversations, with the one in the making
    turns_per_minute: int = 30  # of one person
    max_import_mb: int = 200  # a conversation file, unpacked
    max_store_gb: float = 20.0  # uploads and results of all persons; above it uploads, imports and made media are refused
    max_request_mb: int = 8  # any request but an upload; a browser hands its conversations over in one
    keep_hours: float = 24.0  # uploads and results are deleted after this
    updates_per_second: float = 20.0  # of a streaming answer
    data_dir: str = ""  # where uploads and results lie; empty: outputs/page beside launch.py, or a temporary folder

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, str) and value <= 0:
                raise ConfigError(f"NEXTGPT_{field.name.upper()} must be greater than 0, not {value}.")

    @property
    def data_path(self) -> Path:
        """The folder of uploads and results: absolute, existing, closed to other users of the machine."""
        wanted = Path(self.data_dir) if self.data_dir else ROOT / "outputs" / "page"
        try:
            wanted.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            if self.data_dir:
                raise ConfigError(f"NEXTGPT_DATA_DIR: {wanted} cannot be written; name another folder.") from None
            wanted = Path(tempfile.mkdtemp(prefix="nextgpt-"))
        return wanted.resolve()


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment. Raises ConfigError with the variable's name."""
    environment = os.environ if environment is None else environment
    values: dict[str, int | float | str] = {}
    for field in fields(Settings):
        name = f"NEXTGPT_{field.name.upper()}"
        if name not in environment:
            continue
        default: Any = field.default
        try:
            values[field.name] = type(default)(environment[name])
        except ValueError:
            raise ConfigError(f"{name} must be a number, not {environment[name]!r}.") from None
    return Settings(**values)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What a person set on the page (or in the terminal) for the next answer. None (for a decoder 0) means: the preset's own default."""

    answer: str = "auto"
    forbid: tuple[str, ...] = ()  # of "picture", "sound", "video"
    temperature: float | None = None
    top_p: float | None = None
    max_new_tokens: int | None = None
    guidance: float = 0.0
    steps: int = 0
    seconds: float = 0.0
    frames: int = 0
    seed: int | None = None

    def turn_settings(self, most: Mapping[str, float] = MappingProxyType({})) -> TurnSettings:
        """The core's form of these choices, none of them above `most`. Raises SettingsError for what is out of bounds or contradicts.

        The values may be anything: an event of the page can be forged.
        """
        if self.answer not in ANSWERS:
            raise SettingsError(f"Answer with one of {', '.join(ANSWERS)}, not {self.answer!r:.40}.")
        if unknown := [name for name in self.forbid if name not in tuple(MADE)]:
            raise SettingsError(f"What can be forbidden is {', '.join(MADE)}, not {unknown[0]!r:.40}.")
        if self.answer in self.forbid:
            raise SettingsError(f"A {self.answer} is both asked for and forbidden; change one of the two settings.")
        numbers = {name: getattr(self, name) for name in ("temperature", "top_p", "max_new_tokens", "seed")}
        numbers |= {name: getattr(self, name) or None for name in ("guidance", "steps", "seconds", "frames")}
        said = {name: bounded(name, value, most=most.get(name)) for name, value in numbers.items() if value is not None}
        wanted = None if self.answer == "auto" else frozenset({"text", MADE.get(self.answer, "text")})
        return TurnSettings(**said, answer_with=wanted, forbid=frozenset(MADE[name] for name in self.forbid))


def recalled(provenance: Mapping[str, Any]) -> dict[str, int | float]:
    """Seed, steps and guidance that a made file tells of, as the page's controls take them. A file can be forged: what is out of bounds
    is left out, and without a seed there is nothing to recall."""
    settings = provenance.get("settings")
    told = {**(settings if isinstance(settings, dict) else {}), "seed": provenance.get("seed")}
    found: dict[str, int | float] = {}
    for name in ("seed", "steps", "guidance"):
        with suppress(SettingsError):
            found[name] = bounded(name, told.get(name), most=PAGE_MOST.get(name))
    return found if "seed" in found else {}
