"""nano's picture tower: what is in the picture (bound to MiniLM's embedding of its name), and how it is shown (colour, count, place …)."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core.checkpoints import load_strict
from nextgpt_core.encoders.efficientnet import FEATURES, EfficientNetLite0

WIDTH = 384
TRUNK_PIXELS = 160
LOOK_PIXELS = 16
LOOK = 3 * LOOK_PIXELS**2
_VOTE = 3.0  # weight of the ImageNet classifier's full certainty beside what was learnt from drawings


class NanoImageTower(nn.Module):
    """uint8 [H, W, 3] -> float32 [2, 384] of unit variance: token 0 the thing, token 1 the look."""

    tokens = 2

    def __init__(self) -> None:
        super().__init__()
        self.trunk = EfficientNetLite0()
        self.heads = PictureHeads()

    @classmethod
    def from_file(cls, path: Path) -> "NanoImageTower":
        """Strictly from image.safetensors. Raises CheckpointMissing or CheckpointMismatch."""
        return load_strict(cls(), path).eval().requires_grad_(False)

    @torch.inference_mode()
    def encode(self, content: np.ndarray) -> Tensor:
        """A picture of any size -> [2, 384]."""
        pixels, look = (one[None].to(self.heads.classes) for one in picture_inputs(content))
        tokens: Tensor = self.heads(self.trunk(pixels), look)[0]
        return tokens


class PictureHeads(nn.Module):
    """The part beside the frozen trunk: two small trained networks over its pooled features and a 16 x 16 miniature.

    They learn from drawings. Where the picture is a photograph the trunk's own ImageNet classifier votes too: each of its classes that
    shows a known thing pulls token 0 towards that thing's name, as far as the classifier is sure. (Of drawings it is often sure and wrong.)
    """

    classes: Tensor  # [1000, FEATURES + 1], the classifier's weight and bias
    class_names: Tensor  # [1000, 384], MiniLM's unit vector of the thing that a class shows, or zeros
    photograph: Tensor  # [FEATURES + 1], weight and bias of how much like a photograph the picture is (the logarithm of the odds)

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("classes", torch.zeros(1000, FEATURES + 1))
        self.register_buffer("class_names", torch.zeros(1000, WIDTH))
        self.register_buffer("photograph", torch.zeros(FEATURES + 1))
        self.thing = nn.Sequential(nn.LayerNorm(FEATURES), nn.Linear(FEATURES, 1024), nn.GELU(), nn.Dropout(0.3), nn.Linear(1024, WIDTH))
        self.narrow = nn.Sequential(nn.LayerNorm(FEATURES), nn.Linear(FEATURES, 128))
        self.look = nn.Sequential(nn.Linear(128 + LOOK, 512), nn.GELU(), nn.Dropout(0.1), nn.Linear(512, WIDTH))

    def forward(self, features: Tensor, look: Tensor) -> Tensor:
        """features [b, FEATURES], look [b, LOOK] (-1..1) -> [b, 2, 384]."""
        found = F.normalize(self.thing(features), dim=-1) + _VOTE * self.photo_share(features)[:, None] * self._votes(features)
        thing = F.normalize(found, dim=-1) * WIDTH**0.5
        shown = F.layer_norm(self.look(torch.cat([self.narrow(features), look], 1)), [WIDTH])
        return torch.stack([thing, shown], 1)

    def photo_share(self, features: Tensor) -> Tensor:
        """[b, FEATURES] -> how probably each is a photograph and no drawing, [b]; a thing cut out on white may be one too."""
        return (features @ self.photograph[:-1] + self.photograph[-1]).sigmoid()

    def _votes(self, features: Tensor) -> Tensor:
        """The classes' names weighted by their probability, [b, 384]."""
        return F.linear(features, self.classes[:, :-1], self.classes[:, -1]).softmax(-1) @ self.class_names


def picture_inputs(content: np.ndarray) -> tuple[Tensor, Tensor]:
    """uint8 [H, W, 3] -> the trunk's view, float [3, 160, 160] in 0..255, and the miniature, float [LOOK] in -1..1.

    The picture is squeezed to a square, not cropped: what is wanted may be at its edge.
    """
    picture = Image.fromarray(content)
    pixels = np.array(picture.resize((TRUNK_PIXELS, TRUNK_PIXELS), Image.Resampling.BICUBIC, reducing_gap=3.0))
    look = np.array(picture.resize((LOOK_PIXELS, LOOK_PIXELS), Image.Resampling.BOX))
    return torch.from_numpy(pixels).permute(2, 0, 1).float(), torch.from_numpy(look).float().flatten() / 127.5 - 1
