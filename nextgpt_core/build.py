"""Preset -> NextGPT. The only place that reads the tables of parts, and where parts that contradict each other are refused."""

import logging
from collections.abc import Collection
from dataclasses import replace
from inspect import signature

import psutil
import torch

from nextgpt_core.checkpoints import MANIFEST_FILE, read_tensors, verify_manifest
from nextgpt_core.config import OutputConfig, Preset, require_known, with_precision
from nextgpt_core.decoders import DECODERS
from nextgpt_core.decoders.base import Decoder
from nextgpt_core.encoders import ENCODERS
from nextgpt_core.encoders.base import Encoder
from nextgpt_core.errors import CheckpointMismatch, CheckpointMissing, ConfigError, OutOfMemory, is_out_of_memory
from nextgpt_core.llm.block_quantized import is_block_quantized
from nextgpt_core.llm.int8 import quantize_linears
from nextgpt_core.llm.language_model import LanguageModel, load_language_model
from nextgpt_core.model import TRAINED_FILES, NextGPT
from nextgpt_core.placement.parts import GIB, cpu_bytes, decoders_on_disk
from nextgpt_core.placement.place import free_bytes, place
from nextgpt_core.placement.plan import Plan, plan
from nextgpt_core.projections.input import INPUT_KINDS, InputProjection
from nextgpt_core.projections.output import OutputProjection
from nextgpt_core.prompt import TEMPLATES, Template
from nextgpt_core.published.fetched_files import wrong_sizes
from nextgpt_core.published.token_order import confirm_token_order

log = logging.getLogger(__name__)
CPU_MARGIN = 1.1  # on what all parts take in main memory: for what is computed


def build(preset: Preset, *, device: str = "cpu", precision: str | None = None, decoders: Collection[str] | None = None) -> NextGPT:
    """A NextGPT that can take turns: everything loaded strictly, the adapter merged where the weights allow it.

    `precision` is the language model's; None: the preset's own, or what the memory there is allows. On a GPU the parts are placed by a
    plan for its free memory (placement.plan); OutOfMemory is raised before anything is loaded where nothing fits. `decoders` limits which
    modalities are made (None: all). One whose decoder is absent (`fetch --only`) is left out with a warning, and a turn that asks for it
    says so; everything else that is missing raises CheckpointMissing. Nothing is loaded that is not what was converted or fetched, as far
    as there is a record of it: CheckpointMismatch.
    """
    where = None
    free = psutil.virtual_memory().available
    if device == "cpu":
        preset = on_cpu(preset, free=free, precision=precision, decoders=decoders)
    else:
        here = [modality for modality in decoders_on_disk(preset) if decoders is None or modality in decoders]
        where = placement_for(preset, free_bytes(device) / GIB, precision, ram=free / GIB, decoders=here)
        preset = with_precision(preset, where.precision)
    try:
        model = _load(preset, device, decoders)
        return model if where is None else place(model, where, device)
    except CheckpointMissing as error:
        raise CheckpointMissing(f"{error} `python3 launch.py check {preset.handle}` says what is missing and what to do.") from error
    except Exception as error:
        if not is_out_of_memory(error) or isinstance(error, OutOfMemory):
            raise
        raise OutOfMemory(
            f"There was not enough memory to load {preset.name}; close other programs, or load a smaller language model (--precision)."
        ) from error


def _load(preset: Preset, device: str, decoders: Collection[str] | None) -> NextGPT:
    _refuse_changed(preset)
    if preset.llm.precision in ("8bit", "4bit") and device != "cpu":
        model = build_trainable(preset, device=device)
        model.load_trained(preset.folder)
    else:
        model = assemble_around(preset, _language_model(preset, device=device))
        model.load_trained(preset.folder, parts=TRAINED_FILES.keys() - {"lora"})
        adapter, lora = preset.folder / TRAINED_FILES["lora"], preset.lora
        model.llm.merge_adapter(read_tensors(adapter), rank=lora.rank, alpha=lora.alpha, targets=lora.targets, name=str(adapter))
    if preset.llm.precision == "8bit" and device == "cpu":
        quantize_linears(model.llm.network)
        model.llm.float()
    if (preset.folder / MANIFEST_FILE).is_file():
        confirm_token_order(preset, model)
    model.encoder = build_encoder(preset)
    for modality, output in preset.outputs.items():
        if decoders is None or modality in decoders:
            try:
                model.decoders[modality] = build_decoder(preset, modality, output)
            except CheckpointMissing as error:
                log.warning("no %s will be made: %s", modality, error)
    return model.eval()


def _refuse_changed(preset: Preset) -> None:
    """Compare the trained parts with the hashes in their manifest (a gigabyte, seconds), and fetched files with the sizes on record."""
    if (preset.folder / MANIFEST_FILE).is_file() and (problems := verify_manifest(preset.folder)):
        advice = f"Run `python3 launch.py fetch {preset.handle}`, or convert the published file again."
        raise CheckpointMismatch(f"{' '.join(problems)} {advice}")
    for path in (preset.encoder.path, preset.llm.path, *(output.path for output in preset.outputs.values())):
        for name in wrong_sizes(preset.file(path)):
            if (file := preset.file(path) / name).is_file():  # what is absent is missed by whoever needs it
                advice = f"remove it and run `python3 launch.py fetch {preset.handle}`"
                raise CheckpointMismatch(f"{file} is not the file that was fetched (its length differs): {advice}.")


def on_cpu(preset: Preset, *, free: float, precision: str | None = None, decoders: Collection[str] | None = None) -> Preset:
    """The preset in precisions that a CPU is good at: decoders in float32, the language model in `precision`; where none is asked for, a
    block-quantized one packed, as it is stored, and a 16-bit one in float32 too if `free` bytes of memory are enough for that beside all other parts, and in 8 bits elsewhere.

    Raises OutOfMemory where they are not enough for that either.
    """
    outputs = {modality: replace(output, precision="float32") for modality, output in preset.outputs.items()}
    preset = replace(preset, outputs=outputs)
    asked = precision or preset.llm.precision
    choices = [asked]
    if precision is None and is_block_quantized(preset.file(preset.llm.path)):
        choices = ["packed"]
    elif precision is None and asked in ("float16", "bfloat16"):
        choices = ["float32", "8bit"]
    for choice in choices:
        found = with_precision(preset, choice)
        try:
            parts, needed = cpu_bytes(preset, choice, decoders=decoders)
        except ConfigError:  # no language model: loading it says so better
            return found
        if CPU_MARGIN * needed <= free:
            log.info("%s: the language model runs in %s on this CPU", preset.name, choice)
            return found
    sizes = ", ".join(f"{name} {size / GIB:.1f}" for name, size in parts.items())
    raise OutOfMemory(
        f"{preset.name} on a CPU needs {CPU_MARGIN * needed / GIB:.1f} GiB of free memory with a {choice} language model ({sizes}), and "
        f"{free / GIB:.1f} are free; close other programs, leave decoders out (fetch --only), or use a machine with more memory or a GPU."
    )


def placement_for(
    preset: Preset, vram_gb: float, precision: str | None = None, *, ram: float | None = None, decoders: Collection[str] | None = None
) -> Plan:
    """The plan for `vram_gb` GiB of free GPU memory and `ram` GiB of free main memory. Raises OutOfMemory where nothing fits."""
    found = plan(preset, vram_gb, precision, ram=ram, decoders=decoders)
    if found.refusal is not None:
        raise OutOfMemory(found.refusal)
    if precision is None and found.precision != preset.llm.precision:
        log.warning("%s: %s", preset.name, found.instead())
    return found


def build_trainable(preset: Preset, *, device: str = "cpu") -> NextGPT:
    """The part of the system that is trained, around the frozen language model: fresh projections, tokens and adapter."""
    llm = _language_model(preset, device=device)
    llm.add_lora(rank=preset.lora.rank, alpha=preset.lora.alpha, targets=preset.lora.targets, dropout=preset.lora.dropout)
    return assemble_around(preset, llm)


def _language_model(preset: Preset, *, device: str) -> LanguageModel:
    """The frozen language model, checked against what the preset says of it."""
    llm = load_language_model(preset.file(preset.llm.path), added_tokens=preset.added_tokens, precision=preset.llm.precision, device=device)
    _agree(preset, "llm.width", preset.llm.width, llm.width)
    _agree(preset, "llm.vocabulary", preset.llm.vocabulary, llm.vocabulary)
    if preset.llm.context > llm.positions:
        raise ConfigError(f"{preset.name}: llm.context is {preset.llm.context}, but the language model has {llm.positions} positions.")
    if llm.tokenizer.size > llm.vocabulary:  # fewer may be: tables are often padded
        raise ConfigError(
            f"{preset.name}: the tokenizer has {llm.tokenizer.size} tokens and the language model {llm.vocabulary}: "
            "they belong to different models."
        )
    return llm


def assemble_around(preset: Preset, llm: LanguageModel) -> NextGPT:
    """The preset's projections around a language model that is already there."""
    require_known(preset.input_projection.kind, INPUT_KINDS, where=f"{preset.name}: input_projection.kind")
    input_projection = InputProjection(
        kind=preset.input_projection.kind,
        encoder_width=preset.encoder.width,
        llm_width=llm.width,
        tokens=preset.encoder.tokens,
        shared=preset.input_projection.shared,
        spread=preset.input_projection.spread,
    )
    output_projections = {
        modality: OutputProjection(llm_width=llm.width, condition_shape=output.condition_shape, width=output.width, layers=output.layers)
        for modality, output in preset.outputs.items()
    }
    return NextGPT(
        name=preset.name,
        llm=llm,
        input_projection=input_projection.to(llm.device),
        output_projections={modality: projection.to(llm.device) for modality, projection in output_projections.items()},
        boundary_tokens=preset.boundary_tokens,
        boundary_as_text=preset.boundary_as_text,
        signal_tokens={modality: preset.signal_tokens(modality) for modality in preset.outputs},
    )


def build_template(preset: Preset, model: NextGPT) -> Template:
    """The form of the preset's conversations, over the model's tokens."""
    require_known(preset.llm.template, TEMPLATES, where=f"{preset.name}: llm.template")
    template = TEMPLATES[preset.llm.template]
    return template(model.llm.tokenizer, boundary=model.boundary, signals=model.signals, system=preset.llm.system)


def build_encoder(preset: Preset) -> Encoder:
    """The frozen encoder, checked against what the preset says of it."""
    require_known(preset.encoder.kind, ENCODERS, where=f"{preset.name}: encoder.kind")
    make = ENCODERS[preset.encoder.kind]
    options = {"legacy": True} if preset.encoder.legacy else {}
    if not options.keys() <= signature(make).parameters.keys():
        raise ConfigError(f"{preset.name}: encoder.legacy is set, and the encoder '{preset.encoder.kind}' has no such way; leave it out.")
    encoder: Encoder = make(preset.file(preset.encoder.path), **options)
    _agree(preset, "encoder.width", preset.encoder.width, encoder.width)
    for modality, count in preset.encoder.tokens.items():
        if modality not in encoder.modalities:
            raise ConfigError(f"{preset.name}: encoder.tokens names {modality}, which the encoder '{preset.encoder.kind}' does not read.")
        _agree(preset, f"encoder.tokens.{modality}", count, encoder.tokens(modality))
    return encoder


def build_decoder(preset: Preset, modality: str, output: OutputConfig) -> Decoder:
    """One decoder, checked against the projection that feeds it."""
    require_known(output.decoder, DECODERS, where=f"{preset.name}: outputs.{modality}.decoder")
    decoder: Decoder = DECODERS[output.decoder](preset.file(output.path), dtype=getattr(torch, output.precision), tiling=output.tiling)
    _agree(preset, f"outputs.{modality}.condition_shape", list(output.condition_shape), list(decoder.condition_shape))
    if decoder.modality != modality:
        raise ConfigError(f"{preset.name}: the decoder '{output.decoder}' makes {decoder.modality}, not {modality}.")
    return decoder


def _agree(preset: Preset, what: str, said: object, found: object) -> None:
    if said != found:
        raise ConfigError(f"{preset.name}: the preset says {what} is {said}, but the part in its folder has {found}; correct one of them.")
