"""Peak activation memory of the published parts, traced without weights: every operation runs on tensors that have only a shape.

    python -m benchmarks.activations

Counts what is alive between operations in float16 (attention as a fused kernel, no workspaces).
The classes of the encoders and decoders hold the results, in `activations`; the language model's are in placement/parts.py.
"""

import weakref
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, UNet3DConditionModel
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import LlamaConfig, LlamaModel, SpeechT5HifiGan, SpeechT5HifiGanConfig

from benchmarks import architectures
from nextgpt_core.encoders.imagebind import HUGE, HUGE_OUT, ImageBind
from nextgpt_core.encoders.nano_video import CUT_PIXELS, NanoVideoTower


class Peak(TorchDispatchMode):
    """Adds up the storages that operations make and that are still alive."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = 0
        self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {id(leaf.untyped_storage()) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)}
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                key = storage._cdata
                if key not in self._seen and id(storage) not in given:
                    self._seen.add(key)
                    size = storage.nbytes()
                    self.alive += size
                    self.peak = max(self.peak, self.alive)
                    weakref.finalize(storage, self._freed, key, size)
        return out

    def _freed(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.alive -= size


def fused_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    return query.new_empty(*query.shape[:-1], value.shape[-1])


def half(build: Any) -> Any:
    with torch.device("meta"):
        return build().half().eval()


def traced(name: str, module: Any, *args: Any, **kwargs: Any) -> None:
    parameters = sum(value.numel() for value in module.parameters())
    with torch.no_grad(), Peak() as peak:
        module(*args, **kwargs)
    print(f"{name:36} {parameters / 1e6:8.1f} M parameters {peak.peak / 2**20:9.0f} MiB")


def empty(*shape: int, dtype: torch.dtype = torch.float16) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def main() -> None:
    F.scaled_dot_product_attention = fused_attention
    time = torch.zeros(1, device="meta")
    unet = half(lambda: UNet2DConditionModel.from_config(architectures.STABLE_DIFFUSION["unet"]))
    for side in (32, 64, 96):
        traced(f"image unet {side * 8}", unet, empty(2, 4, side, side), time, encoder_hidden_states=empty(2, 77, 768))
    vae = half(lambda: AutoencoderKL.from_config(architectures.STABLE_DIFFUSION["vae"]))
    vae.forward = lambda z: vae.decode(z)
    for side in (32, 64, 96):
        traced(f"image vae {side * 8}", vae, empty(1, 4, side, side))
    traced("video vae 4 x 320 x 576", vae, empty(4, 4, 40, 72))
    unet = half(lambda: UNet3DConditionModel.from_config(architectures.ZEROSCOPE["unet"]))
    for frames in (8, 16, 24):
        traced(f"video unet {frames} x 320 x 576", unet, empty(2, 4, frames, 40, 72), time, encoder_hidden_states=empty(2, 77, 1024))
    traced("video unet 24 x 160 x 288", unet, empty(2, 4, 24, 20, 36), time, encoder_hidden_states=empty(2, 77, 1024))
    unet = half(lambda: UNet2DConditionModel.from_config(architectures.AUDIOLDM["unet"]))
    vae_audio = half(lambda: AutoencoderKL.from_config(architectures.AUDIOLDM["vae"]))
    vae_audio.forward = lambda z: vae_audio.decode(z)
    vocoder = half(lambda: SpeechT5HifiGan(SpeechT5HifiGanConfig(**architectures.AUDIOLDM["vocoder"])))
    for seconds in (5, 9):
        rows = seconds * 25
        rows += rows % 2
        traced(f"audio unet {seconds} s", unet, empty(2, 8, rows, 16), time, None, class_labels=empty(2, 512))
        traced(f"audio vae {seconds} s", vae_audio, empty(1, 8, rows, 16))
        traced(f"audio vocoder {seconds} s", vocoder, empty(seconds * 100, 64))
    traced("nano's encoder, cut-outs of a video", half(NanoVideoTower).trunk, empty(3, 3, CUT_PIXELS, CUT_PIXELS))
    imagebind = half(lambda: ImageBind({name: HUGE[name] for name in ("vision", "audio")}, out=HUGE_OUT))
    traced("encoder picture", imagebind, "vision", empty(1, 3, 224, 224))
    traced("encoder video", imagebind, "vision", empty(1, 15, 3, 2, 224, 224))
    traced("encoder sound", imagebind, "audio", empty(1, 3, 1, 128, 204))
    llama = half(lambda: LlamaModel(LlamaConfig(**architectures.VICUNA_7B)))
    for tokens in (256, 1024, 2048):
        traced(f"llm prefill {tokens}", llama, inputs_embeds=empty(1, tokens, 4096), use_cache=True)


if __name__ == "__main__":
    main()
