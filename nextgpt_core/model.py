"""NExT-GPT: the parts, injected, and the three ways between them. What is trained has a name and a file."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nextgpt_core.checkpoints import MANIFEST_FILE, load_strict, read_tensors, save_tensors, update_manifest
from nextgpt_core.decoders.base import Decoder
from nextgpt_core.encoders.base import Encoder
from nextgpt_core.errors import CheckpointError
from nextgpt_core.llm.language_model import LanguageModel
from nextgpt_core.projections.input import InputProjection
from nextgpt_core.projections.output import OutputProjection

# The trained parts and their files in a preset's folder.
TRAINED_FILES = {
    "input_projection": "input_projection.safetensors",
    "output_projections": "output_projections.safetensors",
    "tokens": "tokens.safetensors",
    "lora": "lora.safetensors",
}


class NextGPT(nn.Module):
    """Encoder -> input projection -> language model -> output projections -> decoders.

    `encoder` and `decoders` may be absent (training needs neither); a modality without a decoder cannot be made.
    """

    def __init__(
        self,
        *,
        name: str,
        llm: LanguageModel,
        input_projection: InputProjection,
        output_projections: Mapping[str, OutputProjection],
        boundary_tokens: tuple[str, str],
        signal_tokens: Mapping[str, tuple[str, ...]],
        boundary_as_text: bool = False,
        encoder: Encoder | None = None,
        decoders: Mapping[str, Decoder] | None = None,
    ) -> None:
        """`boundary_as_text`: the boundaries are read as words, although they have tokens (Preset.boundary_as_text)."""
        super().__init__()
        self.name = name
        self.llm = llm
        self.input_projection = input_projection
        self.output_projections = nn.ModuleDict(dict(output_projections))
        self.encoder = encoder
        self.decoders: dict[str, Decoder] = dict(decoders or {})
        self.before_reading: Callable[[], None] = lambda: None  # for `place`: makes sure that the language model is where it works
        before, after = (tuple(llm.tokenizer.encode(one)) if boundary_as_text else (llm.added[one],) for one in boundary_tokens)
        self.boundary: tuple[tuple[int, ...], tuple[int, ...]] = (before, after)
        self.signals = {modality: tuple(llm.added[token] for token in tokens) for modality, tokens in signal_tokens.items()}

    @property
    def inputs(self) -> tuple[str, ...]:
        """The modalities it can perceive."""
        return () if self.encoder is None else self.encoder.modalities

    @property
    def outputs(self) -> tuple[str, ...]:
        """The modalities it can make."""
        return tuple(modality for modality in self.signals if modality in self.decoders)

    @torch.inference_mode()
    def perceive(self, modality: str, content: Any) -> Tensor:
        """A file's content, as its spec loads it -> vectors that stand in the prompt [M, d]."""
        if self.encoder is None:
            raise RuntimeError("this NextGPT was built without its encoder")
        features = self.encoder.encode(modality, content)  # [N, D]
        parameter = next(self.input_projection.parameters())
        return self.input_projection(modality, features.to(parameter)[None])[0].to(self.llm.dtype)

    def condition(self, modality: str, states: Tensor, embeddings: Tensor) -> Tensor:
        """States at a span's k signal tokens [b, k, d] and their input embeddings [b, k, d] -> condition [b, L, D], float32."""
        parameter = next(self.output_projections[modality].parameters())
        return self.output_projections[modality](states.to(parameter), embeddings.to(parameter)).float()

    def trained_state(self, part: str) -> dict[str, Tensor]:
        """The tensors of a trained part (a key of TRAINED_FILES) under their file names."""
        if part == "tokens":
            return self.llm.token_state()
        if part == "lora":
            return self.llm.lora_state()
        module: nn.Module = getattr(self, part)
        return module.state_dict()

    def load_trained(self, folder: Path, *, parts: Collection[str] = tuple(TRAINED_FILES)) -> None:
        """Load every trained part (or those named) strictly. Raises CheckpointMissing or CheckpointMismatch."""
        for part, name in ((part, TRAINED_FILES[part]) for part in parts):
            if part == "tokens":
                self.llm.load_tokens(read_tensors(folder / name), name=str(folder / name))
            elif part == "lora":
                self.llm.load_lora(read_tensors(folder / name), name=str(folder / name))
            else:
                load_strict(getattr(self, part), folder / name)

    def save_trained(self, folder: Path, *, dtype: torch.dtype | None = torch.float16) -> None:
        """Write every trained part, a file each, from which `load_trained` reads the same. Raises CheckpointError for a merged adapter."""
        if self.llm.merged:
            raise CheckpointError("The adapter was merged into the language model and is not there to be saved; use build_trainable.")
        for part, name in TRAINED_FILES.items():
            tensors = self.llm.token_state(base=True) if part == "tokens" else self.trained_state(part)
            save_tensors(tensors, folder / name, dtype=dtype)
        if (folder / MANIFEST_FILE).is_file():  # of a converted folder: without this, loading would take them for damaged
            update_manifest(folder, TRAINED_FILES.values())
