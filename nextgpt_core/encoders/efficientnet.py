"""EfficientNet-Lite0 (Tan & Le 2019; the Lite variant without squeeze-and-excitation): pictures -> pooled features, frozen."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEATURES = 1280
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
# (blocks, kernel, stride of the first, expansion, channels out), from the published B0 table; the stem gives 32 channels
_STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))


class EfficientNetLite0(nn.Module):
    """Batch norms are folded into the convolutions (see recipes/nano/encoders/trunk.py for where the weights come from)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, 32, 3, stride=2)
        self.blocks = nn.ModuleList()
        width = 32
        for repeats, kernel, stride, expansion, out in _STAGES:
            for index in range(repeats):
                self.blocks.append(Block(width, out, kernel, stride=stride if index == 0 else 1, expansion=expansion))
                width = out
        self.head = SameConv(width, FEATURES, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """float [b, 3, h, w] in 0..255 -> [b, FEATURES], averaged over places."""
        mean, deviation = pixels.new_tensor(_MEAN).view(1, 3, 1, 1), pixels.new_tensor(_DEVIATION).view(1, 3, 1, 1)
        x = ((pixels / 255 - mean) / deviation).contiguous(memory_format=torch.channels_last)
        x = F.relu6(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return F.relu6(self.head(x)).mean((2, 3))


class Block(nn.Module):
    """Inverted bottleneck: widen, filter each channel by itself, narrow; added to its input where the shape stays."""

    def __init__(self, width: int, out: int, kernel: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        inner = width * expansion
        self.expand = SameConv(width, inner, 1) if expansion > 1 else None
        self.depthwise = SameConv(inner, inner, kernel, stride=stride, groups=inner)
        self.project = SameConv(inner, out, 1)
        self.residual = stride == 1 and width == out

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu6(self.expand(x)) if self.expand is not None else x
        out: Tensor = self.project(F.relu6(self.depthwise(inner)))
        return out + x if self.residual else out


class SameConv(nn.Conv2d):
    """TensorFlow's "same" padding, which the weights were trained with: at stride 2 the odd pixel goes to the right and below."""

    def __init__(self, width: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(width, out, kernel, stride=stride, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        if kernel == 1:
            return super().forward(x)
        missing = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[-2:]]
        (up, left) = (missing[0] // 2, missing[1] // 2)
        return super().forward(F.pad(x, (left, missing[1] - left, up, missing[0] - up)))
