"""The nano preset's world: 518 everyday things that several public picture sets draw, with names as people say them.

The list itself is data (things.txt, beside this file); hexcodes come from emojibase-data by label.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from recipes.nano.sources import source

_LINE = re.compile(r"(?P<mark>[~^]?)(?P<name>[^(=]+)(?:\((?P<synonyms>[^)]*)\))?\s*(?:=(?P<labels>.*))?$")
_IRREGULAR = {
    "sheep": "sheep", "deer": "deer", "fish": "fish", "blowfish": "blowfish", "jellyfish": "jellyfish", "squid": "squid",
    "shrimp": "shrimp", "mouse": "mice", "computer mouse": "computer mice", "goose": "geese", "wolf": "wolves",
    "maple leaf": "maple leaves", "kitchen knife": "kitchen knives", "scarf": "scarves", "tooth": "teeth", "foot": "feet",
    "die": "dice", "cactus": "cacti", "potato": "potatoes", "sweet potato": "sweet potatoes", "tomato": "tomatoes", "mango": "mangoes",
    "volcano": "volcanoes", "snowman": "snowmen", "soap": "bars of soap", "fork and knife": "forks and knives",
    "plate with fork and knife": "plates with forks and knives", "nut and bolt": "nuts and bolts", "bow and arrow": "bows and arrows",
    "statue of liberty": "statues of liberty", "face in love": "faces in love", "sunrise over mountains": "sunrises over mountains",
    "cool face with sunglasses": "cool faces with sunglasses",
}  # fmt: skip
_SILENT = ("hourglass",)  # spelled with a consonant, said with a vowel
_YOO = ("unicorn",)  # spelled with a vowel, said with a consonant


@dataclass(frozen=True)
class Thing:
    """One everyday thing. `article` is "a", "an" or "" (bread, scissors); `hexcodes` are its pictures, the canonical one first."""

    name: str
    plural: str
    article: str
    synonyms: tuple[str, ...]
    group: str
    hexcodes: tuple[str, ...]

    @property
    def singular(self) -> str:
        """The name with its article: "a dog", "bread"."""
        return f"{self.article} {self.name}".strip()


@cache
def things() -> tuple[Thing, ...]:
    """All things, in the order of things.txt (the class order of judges and pools). Raises KeyError for an unknown label."""
    labels = _hexcodes_by_label()
    found: list[Thing] = []
    group = ""
    for line in (Path(__file__).parent / "things.txt").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            group = line.strip("[]")
            continue
        found.append(_parse(line, group, labels))
    return tuple(found)


def _parse(line: str, group: str, labels: dict[str, str]) -> Thing:
    match = _LINE.match(line)
    if match is None:
        raise ValueError(f"things.txt: cannot read {line!r}; write `name (synonym) = label + label`.")
    name = match["name"].strip()
    synonyms = tuple(word.strip() for word in (match["synonyms"] or "").split(",") if word.strip())
    hexcodes = tuple(labels[label.strip()] for label in (match["labels"] or name).split(" + "))
    bare = bool(match["mark"])
    return Thing(name, name if bare else _plural(name), "" if bare else _article(name), synonyms, group, hexcodes)


def _article(name: str) -> str:
    if name.startswith(_YOO):
        return "a"
    return "an" if name[0] in "aeiou" or name.startswith(_SILENT) else "a"


def _plural(name: str) -> str:
    if name in _IRREGULAR:
        return _IRREGULAR[name]
    head, of, rest = name.partition(" of ")
    if of:
        return f"{_plural(head)} of {rest}"
    if name.endswith(("s", "x", "z", "ch", "sh")):
        return name + "es"
    if name.endswith("y") and name[-2] not in "aeiou":
        return name[:-1] + "ies"
    return name + "s"


def _hexcodes_by_label() -> dict[str, str]:
    """English emojibase labels -> hexcode in lower case without variation selectors, as the picture packages write them."""
    rows = json.loads((source("names") / "package" / "en" / "data.json").read_text(encoding="utf-8"))
    return {row["label"]: row["hexcode"].lower().replace("-fe0f", "") for row in rows}
