"""What users type and what nano answers: the sentence frames that builder.py fills.

phrases.txt holds the users' side, one frame a line below the [kind: key] that it belongs to. `{x}` is a thing with its article ("a red
apple"), `{n}` without ("red apple"), `{name}` a bare name, `{c}` a colour, `{k}` a number word, `{do}` and `{doing}` a motion ("spin",
"spinning"), `{a}` to `{c}` are wishes. Every sixth frame or so is held out: training never sees it, `eval nano` routes with it. The split
follows the frame's own text, so adding a frame never moves another.
"""
# ruff: noqa: E501 (rows of data)

import zlib
from functools import cache
from pathlib import Path

FILE = Path(__file__).parent / "data" / "phrases.txt"

# What the motions of motions.py are called in a wish: infinitives and "-ing" forms.
MOTION_WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "moving to the left": (("move to the left", "go left", "slide to the left", "walk left", "run to the left"), ("moving to the left", "going left", "sliding left")),
    "moving to the right": (("move to the right", "go right", "slide to the right", "walk right", "drive right"), ("moving to the right", "going right", "sliding right")),
    "moving up": (("move up", "fly", "rise", "go up", "fly up", "take off"), ("moving up", "flying", "rising", "going up")),
    "moving down": (("move down", "fall", "sink", "go down", "fall down", "drop"), ("moving down", "falling", "sinking", "going down")),
    "spinning": (("spin", "rotate", "turn around", "twirl", "go round"), ("spinning", "rotating", "turning", "twirling")),
    "bouncing": (("bounce", "jump", "hop", "jump up and down"), ("bouncing", "jumping", "hopping")),
    "growing": (("grow", "get bigger", "become larger", "get larger"), ("growing", "getting bigger", "becoming larger")),
    "shrinking": (("shrink", "get smaller", "become tiny"), ("shrinking", "getting smaller", "becoming tiny")),
    "shaking": (("shake", "tremble", "wobble", "vibrate", "wiggle"), ("shaking", "trembling", "wobbling", "vibrating")),
    "fading away": (("fade away", "disappear", "vanish", "fade"), ("fading away", "disappearing", "vanishing")),
    "standing still": (("stand still", "stay still", "not move"), ("standing still", "not moving")),
}  # fmt: skip
MOTION_ANSWERS = {
    "moving to the left": "It moves to the left.", "moving to the right": "It moves to the right.", "moving up": "It moves up.",
    "moving down": "It moves down.", "spinning": "It spins.", "bouncing": "It bounces.", "growing": "It grows.", "shrinking": "It shrinks.",
    "shaking": "It shakes.", "fading away": "It fades away.", "standing still": "It stands still.",
}  # fmt: skip

# ---- answers ---------------------------------------------------------------------------------------------------------

# A sentence that makes something says in its first words which kind it is: then the signal token that follows has only one choice, and
# nothing that is made begins like the naming of what was sent.
MADE: dict[str, tuple[str, ...]] = {
    "image": ("Here is a picture of {x}.", "Here is a picture of {x}.", "I drew {x} for you.", "Of course! Here is a picture of {x}."),
    "audio": ("Listen: {x}.", "Here is the sound of {x}.", "Here you can hear {x}.", "Of course! Listen: {x}."),
    "video": ("Here is a film of {x}.", "Here is a film of {x}.", "I filmed {x} for you.", "Of course! Here is a film of {x}."),
}
CORRECTED: dict[str, tuple[str, ...]] = {
    "image": ("Sorry! Here is a picture of {x}.", "Of course, here is a picture of {x}."),
    "audio": ("Sorry! Here is the sound of {x}.", "Of course, here is the sound of {x}."),
    "video": ("Sorry! Here is a film of {x}.", "Of course, here is a film of {x}."),
}
NAMED: dict[str, tuple[str, ...]] = {
    "image": ("That's {x}.", "This is {x}.", "I see {x}.", "It's {x}."),
    "audio": ("That's {x}.", "I hear {x}.", "That sounds like {x}.", "It's {x}."),
    "video": ("It's {x}.", "I see {x}.", "The film shows {x}.", "That's {x}."),
}
DESCRIBED: dict[str, tuple[str, ...]] = {
    "image": ("The picture shows {x}.", "I see {x}."),
    "audio": ("The sound is {x}.", "I hear {x}."),
    "video": ("The film shows {x}.",),
}

OPENERS = (
    "",
    "",
    "",
    "",
    "",
    "",
    "please ",
    "hey, ",
    "hi! ",
    "ok, ",
    "so, ",
    "now ",
    "well, ",
    "hello. ",
    "um, ",
    "dear nano, ",
    "quick: ",
    "one wish: ",
)
CLOSERS = (
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    " please",
    ", please",
    " thanks",
    ", thank you",
    " pls",
    " for me",
    " now",
    " :)",
    ", would you",
    ", if you can",
    " right away",
)


def is_held_out(frame: str) -> bool:
    """True for about one frame in six: evaluation only."""
    return zlib.crc32(frame.encode()) % 6 == 3


@cache
def frames(kind: str, key: str = "", *, held_out: bool) -> tuple[str, ...]:
    """The frames of a kind ("wish", "implicit", "clause", "noun", "question", "describe", "detail", "edit", "words", …) on one side of the
    split. Raises KeyError for a kind that phrases.txt does not have."""
    return tuple(frame for frame in sections()[kind, key] if is_held_out(frame) == held_out)


@cache
def longings(*, held_out: bool) -> tuple[tuple[str, str, str], ...]:
    """Wishes that name no thing (what is typed, modality, caption of what is made), on one side of the split."""
    entries = (frame.rsplit(" = ", 1) for frame in frames("longing", held_out=held_out))
    return tuple((typed, *wanted.split(": ", 1)) for typed, wanted in entries)  # type: ignore[misc]


@cache
def small_talk(*, held_out: bool) -> tuple[tuple[str, str], ...]:
    """(message, reply) of what the base model answers badly, on one side of the split."""
    return tuple((frame, reply) for kind, reply in sections() if kind == "small talk" for frame in frames(kind, reply, held_out=held_out))


@cache
def sections() -> dict[tuple[str, str], tuple[str, ...]]:
    """(kind, key) -> its frames, as phrases.txt has them."""
    found: dict[tuple[str, str], list[str]] = {}
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            kind, _, key = line[1:-1].partition(": ")
            here = found.setdefault((kind, key), [])
        elif line:
            here.append(line)
    return {section: tuple(dict.fromkeys(lines)) for section, lines in found.items()}
