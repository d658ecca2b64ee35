"""A LoRA adapter that is no longer trained: two thin matrices beside a linear layer, read strictly (Hu et al. 2021, arXiv 2106.09685)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from nextgpt_core.checkpoints import refuse_mismatch


@dataclass(frozen=True)
class Adapter:
    """What is added to a layer's weights [out, in]: `up @ down`."""

    down: Tensor  # float32 [rank, in]
    up: Tensor  # float32 [out, rank], with the adapter's scale in it


def read_adapters(
    tensors: Mapping[str, Tensor], layers: Mapping[str, tuple[int, int]], *, rank: int, alpha: int, targets: Sequence[str], name: str
) -> dict[str, Adapter]:
    """The adapters of those `layers` (name -> out, in) whose names end in one of `targets`.

    `tensors` are as TorchLanguageModel.lora_state names them. Raises CheckpointMismatch for what is missing, unexpected or misshapen.
    """
    chosen = {layer: shape for layer, shape in layers.items() if layer.rpartition(".")[2] in targets}
    wanted: dict[str, tuple[int, ...]] = {}
    for layer, (out, width) in chosen.items():
        wanted |= {f"{layer}.lora_A.weight": (rank, width), f"{layer}.lora_B.weight": (out, rank)}
    refuse_mismatch(wanted, tensors, name=name)
    return {
        layer: Adapter(tensors[f"{layer}.lora_A.weight"].float(), tensors[f"{layer}.lora_B.weight"].float() * (alpha / rank))
        for layer in chosen
    }
