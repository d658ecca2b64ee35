"""What is asked of a frozen part (an encoder or a decoder) before it is loaded and when it is moved, with the answers that suit most."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Protocol, Self

import torch
from safetensors import safe_open
from torch import nn

from nextgpt_core.checkpoints import read_pickle, refuse_damaged
from nextgpt_core.errors import ConfigError

WEIGHTS = ("*.safetensors", "*.bin", "*.pth", "*.pt")
UNKNOWN_ACTIVATIONS = 256 * 2**20  # bytes at work of a part that does not say: a guess, for small networks


class FrozenPart(Protocol):
    """Files in a folder before it is loaded, networks in memory afterwards. A subclass overrides what is otherwise with it, and names
    nn.Module before this where it is a network itself.

    The class methods load nothing: `check` asks them which files must be there, `plan` how large the part is.
    """

    # Parameters in memory by network, by the name of a published part's folder: to plan for it before it is fetched.
    published: ClassVar[Mapping[str, Mapping[str, int]]] = {}

    @classmethod
    def needed_files(cls, folder: Path) -> Sequence[tuple[str, ...]]:
        """Patterns of what must lie in its folder: of each group one file at least. Empty for a part that is code alone."""
        return (WEIGHTS,)

    @classmethod
    def weight_files(cls, folder: Path) -> list[Path]:
        """The files whose tensors it holds in memory: those of its folder and of the folders in it, of several forms of the same one."""
        found: list[Path] = []
        for place in (folder, *sorted(inner for inner in folder.glob("*") if inner.is_dir())):
            forms = (file for pattern in reversed(WEIGHTS) for file in sorted(place.glob(pattern)))
            found += {file.name.partition(".")[0].removeprefix("pytorch_"): file for file in forms}.values()
        return found

    @classmethod
    def keeps(cls, key: str) -> bool:
        """Whether a tensor of those files is held in memory."""
        return True

    @classmethod
    def count_parameters(cls, folder: Path) -> int:
        """How many numbers it holds in memory: counted where its files are there. Raises ConfigError where that is not known."""
        if files := cls.weight_files(folder):
            return sum(size for file in files for key, size in _numbers(file) if cls.keeps(key))
        if folder.name in cls.published:
            return sum(cls.published[folder.name].values())
        if not (needed := cls.needed_files(folder)):
            return 0
        if lacking := absent(needed, folder):
            what = f"lacks {', '.join(lacking)}" if folder.is_dir() else "is not there"
            raise ConfigError(f"{folder} {what}, so the size of '{folder.name}' is not known; fetch it first.")
        raise ConfigError(
            f"{folder} has no weights of a form that can be counted; {cls.__name__}.count_parameters must tell how many there are."
        )

    def parts(self) -> dict[str, nn.Module]:
        """Its networks by name: itself if it is one, or those among its attributes."""
        return {"network": self} if isinstance(self, nn.Module) else {k: v for k, v in vars(self).items() if isinstance(v, nn.Module)}

    def freeze(self) -> Self:
        """Set its networks to work and not to learn."""
        for network in self.parts().values():
            network.eval().requires_grad_(False)
        return self

    def to(self, device: torch.device | str) -> Self:
        """Move all networks; what it works on must follow them there."""
        for network in self.parts().values():
            network.to(device)
        return self


def absent(needed: Iterable[tuple[str, ...]], folder: Path) -> list[str]:
    """The groups of patterns of which a folder has no file, each as "a or b"."""
    return [" or ".join(group) for group in needed if not any(any(folder.glob(form)) for form in group)]


def _numbers(file: Path) -> list[tuple[str, int]]:
    """Each tensor of a file, and how many numbers it holds."""
    if file.suffix != ".safetensors":
        return [(key, value.numel()) for key, value in read_pickle(file).items()]
    refuse_damaged(file)
    with safe_open(file, framework="pt") as tensors:
        return [(key, math.prod(tensors.get_slice(key).get_shape())) for key in tensors.keys()]  # noqa: SIM118  (not a dict)
