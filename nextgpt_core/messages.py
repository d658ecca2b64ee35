"""What goes into a turn (Message, Media) and what comes out of it (events, in the order they happen)."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from nextgpt_core.errors import SettingsError
from nextgpt_core.settings import BOUNDS, bounded, names

Role = Literal["user", "assistant"]


@dataclass(frozen=True)
class Media:
    """A file of one modality. `info` holds what is known of it (size, seconds, seed, settings…)."""

    modality: str  # a key of modalities.MODALITIES: "image", "video" or "audio"
    path: Path
    info: dict[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))  # a string will do


Part = str | Media


def whole_text(text: str) -> str:
    """The same text without halves of characters: browsers and JSON can carry a lone surrogate, which no file, tokenizer or answer can."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@dataclass(frozen=True)
class Message:
    """One side's contribution to a conversation: text and media, in order."""

    role: Role
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(whole_text(part) if isinstance(part, str) else part for part in self.parts))

    @property
    def text(self) -> str:
        return "".join(part for part in self.parts if isinstance(part, str))

    @property
    def media(self) -> tuple[Media, ...]:
        return tuple(part for part in self.parts if isinstance(part, Media))


@dataclass(frozen=True)
class TextDelta:
    """A piece of text the model just wrote."""

    text: str


@dataclass(frozen=True)
class SignalSpan:
    """A complete run of signal tokens: which modality fired, and at which generated token."""

    modality: str
    start: int  # index of the span's first token among the generated tokens
    length: int


@dataclass(frozen=True)
class MediaStarted:
    """A decoder starts. `index` tells the media of one turn apart."""

    index: int
    modality: str
    steps: int


@dataclass(frozen=True)
class MediaProgress:
    """One denoising step is done. `preview` is a cheap uint8 picture [H, W, 3] of the state, on some steps."""

    index: int
    modality: str
    step: int
    steps: int
    preview: Any | None = None


@dataclass(frozen=True)
class MediaReady:
    """A file is on disk."""

    index: int
    media: Media


@dataclass(frozen=True)
class MediaFailed:
    """A decoder failed; text and the other media are unharmed."""

    index: int
    modality: str
    reason: str


@dataclass(frozen=True)
class TurnDone:
    """The end of a turn: the whole answer, the spans that fired, seconds per stage, and how it ended."""

    message: Message
    spans: tuple[SignalSpan, ...]
    seconds: dict[str, float]
    seed: int
    finish_reason: Literal["stop", "length", "cancelled"]
    prompt_tokens: int = 0
    generated_tokens: int = 0


Event = TextDelta | SignalSpan | MediaStarted | MediaProgress | MediaReady | MediaFailed | TurnDone


@dataclass(frozen=True, kw_only=True)
class TurnSettings:
    """How one turn is sampled and decoded. None means: the preset's own default. Raises SettingsError for what is out of bounds."""

    temperature: float | None = None  # 0 is greedy
    top_p: float | None = None
    max_new_tokens: int | None = None
    seed: int | None = None  # None draws one; it is reported in TurnDone
    answer_with: frozenset[str] | None = None  # force exactly these of {"text", "image", "audio", "video"}; None lets the model choose
    forbid: frozenset[str] = frozenset()  # modalities that must not be made
    guidance: float | None = None
    steps: int | None = None
    seconds: float | None = None  # length of a sound
    frames: int | None = None  # length of a video

    def __post_init__(self) -> None:
        for name in BOUNDS:
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, bounded(name, value))
        for name in ("answer_with", "forbid"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, names(name, value))
        if both := sorted((self.answer_with or frozenset()) & self.forbid):
            raise SettingsError(f"An answer with {both[0]} is both asked for and forbidden; change one of the two settings.")
