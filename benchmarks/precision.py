"""What reduced precision costs: outputs of one full-width layer of Vicuna-7B's shape, and of the tiny golden model, against float32.

    python -m benchmarks.precision

Random weights; the layer's inputs contain three features 60 times larger than the rest, as 7B models have. Needs bitsandbytes for its rows.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaModel

from benchmarks import architectures
from nextgpt_core.llm.int8 import quantize_linears
from tests.golden_model import golden_model


def bitsandbytes_layer(kind: str) -> Callable[[nn.Module], None]:
    def replace(module: nn.Module) -> None:
        import bitsandbytes as bnb

        for parent in list(module.modules()):
            for name, child in list(parent.named_children()):
                if type(child) is not nn.Linear:
                    continue
                shape = {"input_features": child.in_features, "output_features": child.out_features, "bias": False}
                if kind == "nf4":
                    made = bnb.nn.Linear4bit(**shape, compute_dtype=torch.float32, quant_type="nf4")
                    made.weight = bnb.nn.Params4bit(child.weight.data, requires_grad=False, quant_type="nf4")
                else:
                    made = bnb.nn.Linear8bitLt(**shape, has_fp16_weights=False, threshold=6.0)
                    made.weight = bnb.nn.Int8Params(child.weight.data, requires_grad=False, has_fp16_weights=False)
                setattr(parent, name, made.to("cpu"))

    return replace


WAYS: dict[str, Callable[[nn.Module], object]] = {
    "float16": lambda module: module.half(),
    "bfloat16": lambda module: module.bfloat16(),
    "8 bits, ours (CPU)": quantize_linears,
    "8 bits, bitsandbytes": bitsandbytes_layer("int8"),
    "4 bits (NF4), bitsandbytes": bitsandbytes_layer("nf4"),
}


@torch.no_grad()
def error(change: Callable[[nn.Module], object], network: nn.Module, inputs: Tensor) -> float:
    """Change a network's precision -> the relative error of its states."""
    wanted = network(inputs_embeds=inputs).last_hidden_state
    change(network)
    found = network(inputs_embeds=inputs.to(next(network.parameters()).dtype)).last_hidden_state
    return float((found.float() - wanted).norm() / wanted.norm())


def full_width() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    network = LlamaModel(LlamaConfig(**{**architectures.VICUNA_7B, "num_hidden_layers": 1, "vocab_size": 8})).eval()
    inputs = torch.randn(1, 24, 4096)
    inputs[:, :, [11, 1200, 3000]] *= 60
    return network, inputs


def tiny() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    return golden_model().llm.network, torch.randn(1, 24, 64) * 0.02


def main() -> None:
    print("| precision | one full-width layer | tiny golden model, two layers |\n|---|---:|---:|")
    for name, change in WAYS.items():
        cells = []
        for make in (full_width, tiny):
            try:
                cells.append(f"{error(change, *make()):.2%}")
            except (RuntimeError, ImportError) as failure:
                cells.append(f"not here ({type(failure).__name__})")
        print(f"| {name} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
