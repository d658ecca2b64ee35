"""The published NExT-GPT file (pytorch_model.pt: 647 tensors) -> one safetensors file per trained part, and a manifest of them."""

import json
import logging
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaModel

from nextgpt_core.checkpoints import read_pickle, refuse_mismatch, save_tensors, sha256, write_manifest, writing
from nextgpt_core.config import Preset
from nextgpt_core.errors import CheckpointError, CheckpointMismatch, ConfigError
from nextgpt_core.placement.parts import LANGUAGE_MODELS
from nextgpt_core.projections import make_projections
from nextgpt_core.projections.output import OutputProjection
from nextgpt_core.published.token_order import TOLD, UNKNOWN

log = logging.getLogger(__name__)

# How the published file calls the output projection of each modality.
_OUTPUT_NAMES = {"image": "gen_text_hidden_fcs.0", "video": "gen_text_hidden_fcs_video.0", "audio": "gen_text_hidden_fcs_audio.0"}
_LLAMA_LAYERS = {4096: 32, 5120: 40}  # width -> layers of 7B and 13B, where the language model itself is not there to be asked
_NEW_ROWS = 0.02  # the standard deviation of rows that transformers adds to a Llama's tables
_WRAPPERS = re.compile(r"^((_forward_module|_orig_mod|module|llama_model|base_model\.model|model)\.)+")  # DeepSpeed, torch, upstream, peft
_TABLES = {"embed_tokens.weight": "input", "lm_head.weight": "output"}


def convert(source: Path, preset: Preset, *, folder: Path | None = None) -> Path:
    """Check `source` against the preset and write its parts to `folder` (the preset's own by default) -> the manifest's path.

    Nothing in the file is executed, nothing is written unless everything fits, and no half-written file is left. Raises
    CheckpointMissing or CheckpointMismatch naming what is wrong, CheckpointError where it cannot be written.
    """
    folder = folder or preset.folder
    found = _canonical(read_pickle(source), name=source.name)
    layers = _layers(preset)
    _refuse_other_stages(found, name=source.name)
    refuse_mismatch(published_shapes(preset, layers), found, name=source.name)
    order = _token_order(source.parent / "added_tokens.json", preset)
    if broken := [key for key, value in found.items() if not torch.isfinite(value).all()]:
        raise CheckpointMismatch(f"{source.name}: {', '.join(broken[:4])} hold invalid numbers; fetch the file again.")
    if preset.boundary_as_text:
        _look_at_boundaries(found["embed_tokens.weight"], preset, name=source.name)
    parts = split(found, preset)
    _refuse_full_disk(folder, parts)
    facts = {
        "preset": preset.name,
        "source": {"file": source.name, "bytes": source.stat().st_size, "sha256": sha256(source)},
        "vocabulary": preset.llm.vocabulary,
        "token_order": order,
        "added_tokens": {token: preset.llm.vocabulary + index for index, token in enumerate(preset.added_tokens)},
    }
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".convert-") as partial:
            for name, tensors in parts.items():
                save_tensors(tensors, Path(partial) / name)
            for name in parts:
                (Path(partial) / name).replace(folder / name)
        return write_manifest(folder, parts, facts)


def published_shapes(preset: Preset, layers: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor that the published file of such a preset holds, without the prefixes that vary between versions."""
    width = preset.llm.width
    rows = preset.llm.vocabulary + len(preset.added_tokens)
    shapes: dict[str, tuple[int, ...]] = {name: (rows, width) for name in _TABLES}
    for layer in range(layers):
        for name, (rows_out, columns) in _adapted(preset).items():
            shapes[f"layers.{layer}.{name}.lora_A.weight"] = (preset.lora.rank, columns)
            shapes[f"layers.{layer}.{name}.lora_B.weight"] = (rows_out, preset.lora.rank)
    into, out = _projections(preset)
    for name, shape in _module_shapes(into).items():
        shapes[name.replace("networks.shared", "llama_proj")] = shape
    for modality, projection in out.items():
        for name, shape in _module_shapes(projection).items():
            shape = (1, *shape) if name == "queries" else shape
            shapes[f"{_OUTPUT_NAMES[modality]}.{_their_name(name)}"] = shape
    return shapes


def split(found: Mapping[str, Tensor], preset: Preset) -> dict[str, dict[str, Tensor]]:
    """The file's tensors under the project's file and tensor names."""
    tokens: dict[str, Tensor] = {}
    for theirs, ours in _TABLES.items():
        tokens[ours] = found[theirs][preset.llm.vocabulary :]
        # Upstream's training went through the whole tables, so the base rows are not Vicuna's any more.
        tokens[f"base_{ours}"] = found[theirs][: preset.llm.vocabulary]
    outputs: dict[str, Tensor] = {}
    into, out = _projections(preset)
    for modality, projection in out.items():
        for name in _module_shapes(projection):
            value = found[f"{_OUTPUT_NAMES[modality]}.{_their_name(name)}"]
            outputs[f"{modality}.{name}"] = value[0] if name == "queries" else value
    return {
        "input_projection.safetensors": {name: found[name.replace("networks.shared", "llama_proj")] for name in _module_shapes(into)},
        "output_projections.safetensors": outputs,
        "lora.safetensors": {key: value for key, value in found.items() if ".lora_" in key},
        "tokens.safetensors": tokens,
    }


def _canonical(tensors: Mapping[str, Tensor], *, name: str) -> dict[str, Tensor]:
    """Keys without what differs between versions of peft, and without the prefixes of whatever the model was wrapped in."""
    plain: dict[str, Tensor] = {}
    for key, value in tensors.items():
        short = _WRAPPERS.sub("", key)
        short = re.sub(r"\.(lora_[AB])\.default\.", r".\1.", short)
        if short in plain:
            raise CheckpointMismatch(f"{name} holds {short} twice, in two spellings; it was put together from two files.")
        plain[short] = value
    return plain


def _refuse_other_stages(found: Mapping[str, Tensor], *, name: str) -> None:
    if found and all(".lora_" in key for key in found):
        raise CheckpointMismatch(
            f"{name} is a bare adapter, as peft saves it (adapter_model): the projections and the tokens' rows are not in it; "
            "give the file that holds the whole trained state dict."
        )
    if not any(".lora_" in key for key in found):
        if "non_lora" in name:
            raise CheckpointMismatch(
                f"{name} holds what was trained beside an adapter, without the adapter itself (adapter_model.* lies beside it); "
                "save the whole trained state dict in one file, adapter included, and give that."
            )
        raise CheckpointMismatch(
            f"{name} has no LoRA matrices: it is a stage-1 or stage-2 file, or another model's; give the stage-3 pytorch_model.pt."
        )


def _token_order(path: Path, preset: Preset) -> str:
    """How it is known which row is which token: from the tokenizer that upstream saves beside the weights; without it, not yet."""
    if not path.is_file():
        log.warning("%s is not there: the model itself will be asked for the order of its tokens when it is first loaded", path)
        return UNKNOWN
    try:
        ids = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(ids, dict):
            raise ValueError("it is no table of tokens")
    except ValueError as error:
        raise CheckpointMismatch(f"{path} cannot be read ({error}); fetch it again, or remove it.") from error
    # Upstream first added the boundaries as sets, {"<Img>"}: its tokenizer calls them by how Python writes those, and no text ever does.
    names = {token: (token, str({token})) for token in preset.boundary_tokens}
    if any(pair[not preset.boundary_as_text] in ids for pair in names.values()):
        raise CheckpointMismatch(
            f"{path.name}: this model read {' and '.join(names)} as {'tokens' if preset.boundary_as_text else 'words'}; "
            f'set "boundary_as_text" to {json.dumps(not preset.boundary_as_text)} in the preset.'
        )
    order = [names[token][preset.boundary_as_text] if token in names else token for token in preset.added_tokens]
    wanted = {token: preset.llm.vocabulary + index for index, token in enumerate(order)}
    wrong = [f"{token} is {ids.get(token, 'missing')}, expected {index}" for token, index in wanted.items() if ids.get(token) != index]
    if wrong:
        raise CheckpointMismatch(f"{path.name}: {'; '.join(wrong[:4])}; the tokens were added in another order than the preset names them.")
    return TOLD


def _look_at_boundaries(table: Tensor, preset: Preset, *, name: str) -> None:
    """Rows that no text ever looked up still have the spread that Llama draws new ones with; learnt ones have moved far from it."""
    first = preset.llm.vocabulary
    spread = float(table[first : first + len(preset.boundary_tokens)].float().std())
    if not 0.95 < spread / _NEW_ROWS < 1.05:
        log.warning(
            "%s: the rows of %s look as if they had been trained (spread %.3f, new rows have %.2f), and this preset reads these as words; "
            'if answers about media are strange, set "boundary_as_text" to false in it',
            name,
            " and ".join(preset.boundary_tokens),
            spread,
            _NEW_ROWS,
        )


def _refuse_full_disk(folder: Path, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
    needed = sum(value.nbytes for tensors in parts.values() for value in tensors.values())
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < needed * 1.05:
        raise CheckpointError(f"{folder} needs {needed / 1e9:.1f} GB and has {free / 1e9:.1f} GB free; make room and convert again.")


def _layers(preset: Preset) -> int:
    config = preset.file(preset.llm.path) / "config.json"
    if config.is_file():
        return int(json.loads(config.read_text(encoding="utf-8"))["num_hidden_layers"])
    if preset.llm.width not in _LLAMA_LAYERS:
        raise CheckpointError(f"{config} is not there, so the number of layers is not known; fetch the language model first.")
    return _LLAMA_LAYERS[preset.llm.width]


def _adapted(preset: Preset) -> dict[str, tuple[int, int]]:
    """The linear layers of one of the language model's layers that have an adapter: name -> [out, in], as the network itself has them."""
    config = preset.file(preset.llm.path) / "config.json"
    said = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else LANGUAGE_MODELS.get(preset.llm.path, {})
    width = preset.llm.width
    said = said if said.get("hidden_size") == width else {}  # another size than the one that is known
    sizes = {"hidden_size": width, "num_attention_heads": 1, "intermediate_size": width} | said | {"num_hidden_layers": 1, "vocab_size": 1}
    with torch.device("meta"):
        layer = LlamaModel(LlamaConfig(**sizes)).layers[0]
    linear = {name: module for name, module in layer.named_modules() if isinstance(module, nn.Linear)}
    found = {name: tuple(module.weight.shape) for name, module in linear.items() if name.rpartition(".")[2] in preset.lora.targets}
    if unknown := sorted(set(preset.lora.targets) - {name.rpartition(".")[2] for name in found}):
        known = sorted(name.rpartition(".")[2] for name in linear)
        raise ConfigError(f"{preset.name}: lora.targets names {unknown[0]}; the language model has {', '.join(known)}.")
    return found


def _projections(preset: Preset) -> tuple[nn.Module, dict[str, OutputProjection]]:
    with torch.device("meta"):
        return make_projections(preset, llm_width=preset.llm.width)


def _module_shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def _their_name(name: str) -> str:
    """OutputProjection's names -> those of upstream's TextFcLayer."""
    first, _, rest = name.partition(".")
    theirs = {"queries": "query_embs", "enter": "fc", "transformer": "tfm", "leave": "model"}[first]
    return f"{theirs}.{rest}" if rest else theirs
