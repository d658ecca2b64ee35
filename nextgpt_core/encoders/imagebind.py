"""ImageBind (Girdhar et al. 2023, arXiv 2305.05665): six towers into one space. Names and shapes are those of imagebind_huge.pth."""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextgpt_core.checkpoints import assemble, read_pickle, read_tensors
from nextgpt_core.encoders import imagebind_preprocess as preprocess
from nextgpt_core.encoders.base import Encoder
from nextgpt_core.encoders.kaldi import RATE
from nextgpt_core.errors import ConfigError
from nextgpt_core.modalities.audio import AudioClip
from nextgpt_core.modalities.video import VideoClip

_TOWER_OF = {"image": "vision", "video": "vision", "audio": "audio"}
TOWERS = ("vision", "audio")  # that chat has use for; the others stay on disk


@dataclass(frozen=True, kw_only=True)
class Tower:
    """The size of one tower. `patches` and what a patch is follow from the modality."""

    width: int
    blocks: int
    heads: int
    patches: int
    kernel: int = 0
    stride: int = 0
    scale: float | None = None  # factor after normalisation
    vocabulary: int = 0


HUGE: dict[str, Tower] = {
    "vision": Tower(width=1280, blocks=32, heads=16, patches=256, kernel=14),
    "text": Tower(width=1024, blocks=24, heads=16, patches=77, scale=1 / 0.07, vocabulary=49408),
    "audio": Tower(width=768, blocks=12, heads=12, patches=12 * 19, kernel=16, stride=10, scale=20.0),
    "depth": Tower(width=384, blocks=12, heads=8, patches=14 * 14, kernel=16, stride=16, scale=5.0),
    "thermal": Tower(width=768, blocks=12, heads=12, patches=14 * 14, kernel=16, stride=16, scale=10.0),
    "imu": Tower(width=512, blocks=6, heads=8, patches=250, kernel=8, scale=5.0),
}
HUGE_OUT = 1024


class ImageBindEncoder(Encoder):
    """The Encoder of the published system: one vector per file.

    `legacy` treats sounds as the original does where its clips overlap; media given as a Path are always read by the original's own rules
    (no EXIF rotation, first channel only). See docs/fidelity.md for what differs and why the default is off.
    """

    modalities = tuple(_TOWER_OF)
    gpu_dtype = torch.float16
    published: ClassVar = {"imagebind": {"vision and audio towers": 719_065_088}}

    def __init__(self, model: "ImageBind", *, legacy: bool = False) -> None:
        self.model = model
        self.legacy = legacy
        self.width = model.out

    @classmethod
    def from_folder(cls, path: Path, /, *, legacy: bool = False) -> "ImageBindEncoder":
        """A folder with imagebind_huge.pth as published, or imagebind_huge.safetensors; only TOWERS are loaded."""
        faster = path / "imagebind_huge.safetensors"
        file = faster if faster.is_file() else path / "imagebind_huge.pth"
        return cls(load_imagebind(file, towers=TOWERS), legacy=legacy)

    @classmethod
    def needed_files(cls, folder: Path) -> Sequence[tuple[str, ...]]:
        return [("imagebind_huge.safetensors", "imagebind_huge.pth")]

    @classmethod
    def keeps(cls, key: str) -> bool:
        return tower_of(key) in TOWERS

    @classmethod
    def activations(cls) -> float:
        """A video of fifteen crops (`benchmarks.activations`)."""
        return 122 * 2**20

    def tokens(self, modality: str) -> int:
        return 1

    @torch.no_grad()
    def encode(self, modality: str, content: np.ndarray | AudioClip | VideoClip | Path) -> Tensor:
        """A loaded file, or the path of one for the original's own reading -> float32 [1, width]."""
        pixels = self.prepare(modality, content)
        parameter = next(self.model.parameters())
        return self.model(_TOWER_OF[modality], pixels[None].to(parameter.device, parameter.dtype)).float().cpu()

    def prepare(self, modality: str, content: np.ndarray | AudioClip | VideoClip | Path) -> Tensor:
        """A file -> what its tower takes: image [3, 224, 224], audio [3, 1, 128, 204], video [15, 3, 2, 224, 224]."""
        if isinstance(content, Path):
            read = {"image": preprocess.original_picture, "audio": preprocess.original_sound, "video": preprocess.original_video}
            return read[modality](content)
        if isinstance(content, AudioClip):
            samples = torch.from_numpy(np.ascontiguousarray(content.resampled(RATE).samples, dtype=np.float32))
            return preprocess.sound_clips(samples[None], shared=self.legacy)
        if isinstance(content, VideoClip):
            pairs = preprocess.video_frames(len(content.frames), content.fps)
            return preprocess.video_clips([(content.frames[first], content.frames[last]) for first, last in pairs])
        return preprocess.clip_picture(content)


def load_imagebind(path: Path, *, towers: Iterable[str], dtype: torch.dtype = torch.float32) -> "ImageBind":
    """Build the wanted towers of ImageBind-huge from a file. Unwanted ones are skipped by name; any other difference is refused."""
    wanted = {name: HUGE[name] for name in towers}
    tensors = read_tensors(path) if path.suffix == ".safetensors" else read_pickle(path)
    skipped = tuple(name for name in HUGE if name not in wanted)
    tensors = {key: value for key, value in tensors.items() if tower_of(key) not in skipped}
    return assemble(lambda: ImageBind(wanted, out=HUGE_OUT), tensors, name=str(path), dtype=dtype)


def tower_of(key: str) -> str:
    """The tower that a key of the file belongs to ("" for a key of no known form)."""
    parts = key.split(".")
    return parts[1] if len(parts) > 2 and parts[0].startswith("modality_") else ""


class ImageBind(nn.Module):
    """The towers by name; see HUGE for the published sizes."""

    def __init__(self, towers: Mapping[str, Tower], *, out: int) -> None:
        super().__init__()
        if unknown := sorted(set(towers) - set(_STEMS)):
            raise ConfigError(f"ImageBind has no tower called {', '.join(unknown)}; it has {', '.join(_STEMS)}.")
        self.out = out
        self.modality_preprocessors = nn.ModuleDict({name: _STEMS[name](tower) for name, tower in towers.items()})
        self.modality_trunks = nn.ModuleDict({name: _Trunk(name, tower) for name, tower in towers.items()})
        self.modality_heads = nn.ModuleDict({name: _head(name, tower.width, out) for name, tower in towers.items()})
        self.modality_postprocessors = nn.ModuleDict({name: _Finish(tower.scale) for name, tower in towers.items()})

    def forward(self, tower: str, inputs: Tensor, *, scaled_audio: bool = False) -> Tensor:
        """One batch of a tower's inputs -> [B, out].

        vision: [B, 3, H, W] or clips [B, S, 3, T, H, W]; audio: [B, 1, 128, 204] or [B, S, 1, 128, 204]; text: ids [B, 77];
        depth, thermal: [B, 1, H, W]; imu: [B, 6, 2000]. Each clip's vector is L2-normalised, then the clips are averaged.
        `scaled_audio` multiplies sounds by 20 as ImageBind itself does; NExT-GPT leaves that out, and its projection expects so.
        """
        clips = inputs.shape[1] if inputs.ndim >= 5 else None
        if clips is not None:
            inputs = inputs.flatten(0, 1)
        vectors = self.per_clip(tower, inputs)
        finish: Any = self.modality_postprocessors[tower]
        vectors = finish(vectors, scaled=tower != "audio" or scaled_audio)
        return vectors if clips is None else vectors.unflatten(0, (-1, clips)).mean(dim=1)

    def per_clip(self, tower: str, inputs: Tensor) -> Tensor:
        """Before normalisation and averaging: [clips, …] -> [clips, out]."""
        tokens = self.modality_preprocessors[tower](inputs)
        mask = self.modality_preprocessors[tower].mask if tower == "text" else None
        states = self.modality_trunks[tower](tokens, mask)
        if tower == "text":
            ends = inputs.argmax(dim=1)  # the end-of-text token has the highest id
            return self.modality_heads[tower](states[torch.arange(len(states)), ends])
        return self.modality_heads[tower](states[:, 0])


class _Positions(nn.Module):
    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, width))


class _Stem(nn.Module):
    """Patches of a file behind the class token, with positions: [B, …] -> [B, 1 + patches, width]."""

    def __init__(self, tower: Tower, patches: nn.Module, *, name: str = "rgbt_stem") -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, tower.width))
        self.add_module(name, patches)
        self._name = name
        self.pos_embedding_helper = _Positions(1 + tower.patches, tower.width)

    def forward(self, inputs: Tensor) -> Tensor:
        patches = getattr(self, self._name)(inputs)
        return _with_class(self.cls_token, patches) + self.pos_embedding_helper.pos_embed


class _VideoPatches(nn.Module):
    """[B, 3, H, W] or [B, 3, T, H, W] -> [B, patches, width]. A still picture is a video of two equal frames."""

    def __init__(self, tower: Tower) -> None:
        super().__init__()
        size = (2, tower.kernel, tower.kernel)
        # The file's numbering has a parameterless step (that padding) before the convolution.
        self.proj = nn.Sequential(nn.Identity(), nn.Conv3d(3, tower.width, size, size, bias=False))

    def forward(self, inputs: Tensor) -> Tensor:
        video = inputs[:, :, None].expand(-1, -1, 2, -1, -1) if inputs.ndim == 4 else inputs
        return self.proj(video).flatten(2).transpose(1, 2)


class _Patches(nn.Module):
    """[B, 1, H, W] -> [B, patches, width]."""

    def __init__(self, tower: Tower) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, tower.width, tower.kernel, tower.stride, bias=False)
        self.norm_layer = nn.LayerNorm(tower.width)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.norm_layer(self.proj(inputs).flatten(2).transpose(1, 2))


class _MotionPatches(nn.Module):
    """Six channels of a motion sensor [B, 6, n] -> [B, n / kernel, width]."""

    def __init__(self, tower: Tower) -> None:
        super().__init__()
        self.kernel = tower.kernel
        self.proj = nn.Linear(6 * tower.kernel, tower.width, bias=False)
        self.norm_layer = nn.LayerNorm(tower.width)

    def forward(self, inputs: Tensor) -> Tensor:
        windows = inputs.unfold(-1, self.kernel, self.kernel).permute(0, 2, 1, 3).flatten(2)  # [B, n / kernel, 6 * kernel]
        return self.norm_layer(self.proj(windows))


class _MotionStem(nn.Module):
    def __init__(self, tower: Tower) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + tower.patches, tower.width))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, tower.width))
        self.imu_stem = _MotionPatches(tower)

    def forward(self, inputs: Tensor) -> Tensor:
        return _with_class(self.cls_token, self.imu_stem(inputs)) + self.pos_embed


class _TextStem(nn.Module):
    mask: Tensor

    def __init__(self, tower: Tower) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, tower.patches, tower.width))
        self.register_buffer("mask", torch.full((tower.patches, tower.patches), -torch.inf).triu(1))
        self.token_embedding = nn.Embedding(tower.vocabulary, tower.width)

    def forward(self, ids: Tensor) -> Tensor:
        return self.token_embedding(ids) + self.pos_embed


_STEMS: dict[str, Callable[[Tower], nn.Module]] = {
    "vision": lambda tower: _Stem(tower, _VideoPatches(tower)),
    "text": _TextStem,
    "audio": lambda tower: _Stem(tower, _Patches(tower)),
    "depth": lambda tower: _Stem(tower, _Patches(tower), name="depth_stem"),
    "thermal": lambda tower: _Stem(tower, _Patches(tower)),
    "imu": _MotionStem,
}


class _Trunk(nn.Module):
    """A pre-norm transformer. Vision normalises its tokens first; the smaller towers have a learned extra key and value."""

    def __init__(self, name: str, tower: Tower) -> None:
        super().__init__()
        self.pre_transformer_layer = nn.Sequential(_norm(tower.width) if name == "vision" else nn.Identity())
        extra = name not in ("vision", "text")
        self.blocks = nn.ModuleList(_Block(tower.width, tower.heads, extra) for _ in range(tower.blocks))

    def forward(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        states = self.pre_transformer_layer(tokens)
        for block in self.blocks:
            states = block(states, mask)
        return states


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, extra_key: bool) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, add_bias_kv=extra_key, batch_first=True)
        self.norm_1 = _norm(width)
        self.mlp = nn.Sequential(OrderedDict(fc1=nn.Linear(width, 4 * width), act=nn.GELU(), fc2=nn.Linear(4 * width, width)))
        self.norm_2 = _norm(width)

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        seen = self.norm_1(states)
        states = states + self.attn(seen, seen, seen, attn_mask=mask, need_weights=False)[0]
        return states + self.mlp(self.norm_2(states))


class _TextHead(nn.Module):
    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(_norm(width), nn.Linear(width, out, bias=False))

    def forward(self, states: Tensor) -> Tensor:
        return self.proj(states)


def _head(name: str, width: int, out: int) -> nn.Module:
    """[B, width] of the class (or end) token -> [B, out]. The file numbers the selecting and the dropping step of the original too."""
    if name == "text":
        return _TextHead(width, out)
    between = [nn.Identity()] * (2 if name == "imu" else 1)
    return nn.Sequential(_norm(width), *between, nn.Linear(width, out, bias=False))


class _Finish(nn.Sequential):
    """L2 normalisation and the tower's scale, if it has one."""

    def __init__(self, scale: float | None) -> None:
        super().__init__(nn.Identity(), *([] if scale is None else [_Scale(scale)]))

    def forward(self, vectors: Tensor, *, scaled: bool = True) -> Tensor:
        vectors = F.normalize(vectors, dim=-1)
        return self[1](vectors) if scaled and len(self) > 1 else vectors


class _Scale(nn.Module):
    log_logit_scale: Tensor

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.register_buffer("log_logit_scale", torch.tensor(math.log(scale)))

    def forward(self, vectors: Tensor) -> Tensor:
        return vectors * self.log_logit_scale.exp().clamp(max=100)


def _norm(width: int) -> nn.LayerNorm:
    return nn.LayerNorm(width, eps=1e-6)  # the patch norms keep torch's 1e-5


def _with_class(cls_token: Tensor, patches: Tensor) -> Tensor:
    return torch.cat([cls_token.expand(len(patches), -1, -1), patches], dim=1)
