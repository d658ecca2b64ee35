"""A regression half (see regression.py) for pictures and videos of things: it draws the thing once, and stages it.

Where a thing is, how large, how often, in which colour, on which ground and how it moves is the same for all things; so the condition is
read twice. One network draws the thing by itself as a small RGBA image. Another says where that image goes in every frame, by spatial
transformers (Jaderberg et al. 2015), and what becomes of its colours. The renderer between them is differentiable, so that
both learn from finished pictures and videos; the staging network is also taught where things are in them.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from nextgpt_core.decoders.regression import ConditionalMean, Mean

PATCH = 16  # pixels of the stage along a cell
_LEVELS = 2  # of the drawing's pyramid: grid_sample does not smooth what it shrinks
_POSE = 6  # of a layer in a frame: x, y, log of the side, cosine and sine of the angle, opacity
_PAINT = (3, 5)  # of colours: a matrix from red, green, blue, alpha and darkness to red, green and blue; one more number says what is dark


class StagedMean(Mean):
    """Conditions [B, L, D] -> mean latents [B, C, h, w] of pictures or [B, C, T, h, w] of videos."""

    painter: Tensor
    blank: Tensor
    reader: Tensor
    offset: Tensor

    def __init__(
        self, *, condition: int, shape: tuple[int, ...], width: int = 640, sprite: int = 160, layers: int = 1, staging: int = 256
    ) -> None:
        """`condition` is L * D; `shape` is that of one file's latents, batch left out; `width` is that of the drawing network, `sprite`
        the numbers it draws a cell with, `layers` how often a thing can be there, `staging` the width of the staging network."""
        super().__init__(shape)
        channels, *frames, rows, columns = self.shape
        self.frames, self.layers = (frames or [1])[0], layers
        self.drawing = ConditionalMean(condition=condition, shape=(sprite, rows, columns), width=width)
        self.staging = ConditionalMean(condition=condition, shape=(self.frames * layers * _POSE + 16 + 3,), width=staging, depth=3)
        self.register_buffer("painter", torch.zeros(sprite, 4, PATCH, PATCH))  # code of a cell -> RGBA
        self.register_buffer("blank", torch.zeros(4, PATCH * rows, PATCH * columns))  # the drawing of a code of zeros
        self.register_buffer("reader", torch.zeros(channels, 3, PATCH, PATCH))  # the VAE's encoder, a linear map: pixels 0..1 -> latents
        self.register_buffer("offset", torch.zeros(channels))

    def forward(self, conditions: Tensor) -> Tensor:
        return self.stage(self.draw(conditions), conditions)

    def sized(self, conditions: Tensor, shape: torch.Size) -> Tensor:
        """The mean in another `shape`; a video of another length moves as far in more or fewer frames."""
        if len(shape) < 4 or shape[1] == self.frames:
            return super().sized(conditions, shape)
        poses, paint, ground = self.staged(conditions)
        flat = F.interpolate(poses.flatten(2).transpose(1, 2), size=shape[1], mode="linear", align_corners=True)
        poses = flat.transpose(1, 2).unflatten(2, poses.shape[2:])
        return self.read(self.render(self.draw(conditions), poses, paint, ground))

    def draw(self, conditions: Tensor) -> Tensor:
        """Codes [B, S, h, w] of the things by themselves."""
        return self.drawing(conditions)

    def stage(self, codes: Tensor, conditions: Tensor, *, coarse: int = 1) -> Tensor:
        """Codes of things -> latents of the pictures or videos that the conditions ask for; with `coarse` times fewer pixels a side in
        between (faster, for training)."""
        return self.read(self.render(codes, *self.staged(conditions), coarse=coarse), coarse=coarse)

    def staged(self, conditions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the staging network says: poses [B, T, K, 6], paint [B, 16] and the ground's colour [B, 3] before the sigmoid."""
        poses, paint, ground = self.staging(conditions).split([self.frames * self.layers * _POSE, 16, 3], dim=1)
        return poses.unflatten(1, (self.frames, self.layers, _POSE)), paint, ground

    def render(self, codes: Tensor, poses: Tensor, paint: Tensor, ground: Tensor, *, coarse: int = 1) -> Tensor:
        """Codes [B, S, h, w], poses [B, T, K, 6], paint and ground -> frames [B, T, 3, H, W], colours 0..1."""
        sprites = self.painted(self.sprites(codes, coarse=coarse), paint)
        frames = ground.sigmoid()[:, None, :, None, None].expand(-1, poses.shape[1], -1, *sprites.shape[2:])
        for layer in range(self.layers):
            shown = self.placed(sprites, poses[:, :, layer])
            frames = frames * (1 - shown[:, :, 3:]) + shown[:, :, :3]
        return frames

    def read(self, frames: Tensor, *, coarse: int = 1) -> Tensor:
        """Frames [B, T, 3, H, W] -> latents [B, C, T, h, w], or [B, C, h, w] of pictures."""
        reader = F.avg_pool2d(self.reader, coarse) * coarse**2
        latents = F.conv2d(frames.flatten(0, 1), reader, self.offset, stride=PATCH // coarse).unflatten(0, frames.shape[:2])
        return latents.transpose(1, 2) if len(self.shape) == 4 else latents[:, 0]

    def sprites(self, codes: Tensor, *, coarse: int = 1) -> Tensor:
        """Codes [B, S, h, w] -> RGBA [B, 4, H, W], colours multiplied by alpha; what is nearly transparent is."""
        painter, blank = (F.avg_pool2d(image, coarse) for image in (self.painter, self.blank))
        drawn = F.conv_transpose2d(codes, painter, stride=PATCH // coarse) + blank
        alpha = (1.1 * drawn[:, 3:] - 0.05).clamp(0, 1)
        return torch.cat([drawn[:, :3].clamp(min=0).minimum(alpha), alpha], 1)

    @staticmethod
    def painted(sprites: Tensor, paint: Tensor) -> Tensor:
        """Sprites [B, 4, H, W] in other colours: a matrix over what is there and over how dark it is, by paint [B, 16]."""
        red, green, blue, alpha = sprites.split(1, dim=1)
        lightness = 0.3 * red + 0.59 * green + 0.11 * blue
        knee = paint[:, 15].sigmoid()[:, None, None, None]
        seen = torch.cat([sprites, lightness.minimum(knee * alpha)], 1)  # [B, 5, H, W]
        colours = torch.einsum("bij,bjhw->bihw", paint[:, :15].unflatten(1, _PAINT), seen)
        return torch.cat([colours.clamp(min=0).minimum(alpha), alpha], 1)

    @staticmethod
    def placed(sprites: Tensor, poses: Tensor) -> Tensor:
        """Sprites [B, 4, H, W] at poses [B, T, 6] -> RGBA [B, T, 4, H, W]."""
        batch, frames, _ = poses.shape
        x, y, size, cos, sin, opacity = poses.unbind(-1)
        side = size.exp()
        norm = (cos.square() + sin.square() + 1e-6).sqrt() * side
        cos, sin = cos / norm, sin / norm
        maps = torch.stack([cos, sin, -2 * (cos * x + sin * y), -sin, cos, 2 * (sin * x - cos * y)], -1).view(-1, 2, 3)
        grid = F.affine_grid(maps, [batch * frames, 4, *sprites.shape[2:]], align_corners=False)
        level = (-size / torch.log(torch.tensor(2.0))).clamp(0, _LEVELS - 1).flatten()
        shown = torch.zeros(())
        for number in range(_LEVELS):
            smooth = F.avg_pool2d(sprites, 2**number)[:, None].expand(-1, frames, -1, -1, -1).flatten(0, 1)
            share = (1 - (level - number).abs()).clamp(min=0)[:, None, None, None]
            shown = shown + share * F.grid_sample(smooth, grid, align_corners=False)
        return (shown * opacity.sigmoid().view(-1, 1, 1, 1)).unflatten(0, (batch, frames))
