"""What fits where: a plan that places a preset's parts in a GPU's memory, before anything is loaded.

Weights are counted exactly; activations come from a trace of the published networks (benchmarks/activations.py) and grow with the sizes
that are asked for. Parts run one after another, so what is not in use may wait in the computer's own memory.
"""

import json
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from safetensors import safe_open

from nextgpt_core.checkpoints import read_pickle, refuse_damaged
from nextgpt_core.config import Preset, load_preset, with_precision
from nextgpt_core.encoders.imagebind import TOWERS, tower_of
from nextgpt_core.errors import ConfigError
from nextgpt_core.published import LANGUAGE_MODELS, PARAMETERS

GIB = 2**30
RESERVE = 0.7 * GIB  # the CUDA context and its libraries
SLACK = 1.25  # for workspaces and fragmentation, on everything that is computed
# Bytes of one parameter. NF4 keeps a float32 scale for each 64 weights.
BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "8bit": 1.0, "4bit": 0.5 + 4 / 64}
_SMALLER = {"float16": ("8bit", "4bit"), "bfloat16": ("8bit", "4bit"), "8bit": ("4bit",)}  # what a language model may be loaded in instead
_NOT_RESIDENT = ("text_encoder", "tokenizer", "scheduler", "feature_extractor")
GPU, OFFLOADED, CPU = "GPU", "offloaded", "CPU"
_USE = {"llm": 1.0, "encoder": 0.5, "image": 0.4, "audio": 0.3, "video": 0.2}  # how often a part that waits elsewhere is fetched, per turn

# Traced peaks in float16, in bytes.
_UNET_IMAGE = 130 * 2**20 / 512**2  # per pixel of a picture, guided (a batch of two)
_VAE_IMAGE = 384 * 2**20 / 512**2  # per pixel of a picture
_UNET_VIDEO = 2792 * 2**20 / (24 * 320 * 576)  # per pixel and frame of a film, guided
_VAE_VIDEO = 1080 * 2**20 / (320 * 576)  # per pixel of a frame; four frames are decoded at a time
_AUDIO = 9.5 * 2**20  # per second of a sound (its VAE needs more than its U-Net)
_ENCODER = 122 * 2**20  # a film of fifteen crops
_STATES = 11  # numbers per position and width that the language model works with, its cache apart


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The largest media that the plan allows for."""

    image: tuple[int, int] = (512, 512)  # height, width
    video: tuple[int, int] = (320, 576)
    frames: int = 24
    seconds: float = 9.0


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of the system: bytes of its weights, the most it needs besides while it runs, and what it keeps after that."""

    name: str
    parameters: int
    weights: int
    activations: int
    kept: int = 0  # the conversation's key-value cache


@dataclass(frozen=True)
class Row:
    """A part and where it lives: on the GPU, in main memory between uses, or on the CPU altogether."""

    part: Part
    where: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Where each part of a preset lives in a GPU of `vram` bytes."""

    preset: str
    vram: int
    precision: str
    rows: tuple[Row, ...]
    peak: int  # bytes of GPU memory at the worst moment, reserve included
    busiest: str  # the part that runs at that moment
    refusal: str | None  # why it does not fit, and what to do
    instead_of: str | None = None  # the preset's precision, where a smaller one was chosen
    ram: int | None = None  # bytes of main memory that are free, where that is known
    ram_decided: bool = False  # the smaller precision was chosen for want of main memory

    @property
    def main_memory(self) -> int:
        """Bytes of main memory for the parts that are not resident: in 16 bits those that wait there, in 32 those that work there."""
        return sum(row.part.weights * {GPU: 0, OFFLOADED: 1, CPU: 2}[row.where] for row in self.rows)

    @property
    def fits(self) -> bool:
        return self.refusal is None

    def where(self, name: str) -> str:
        return next(row.where for row in self.rows if row.part.name == name)

    def instead(self) -> str:
        """Why the language model is not in the preset's own precision."""
        room = f"{self.vram / GIB:.1f} GiB"
        if self.ram_decided and self.ram is not None:
            room = f"with what would wait in {self.ram / GIB:.1f} GiB of free main memory"
        return f"a {self.instead_of} language model does not fit {room}, so it is loaded in {self.precision}"

    def table(self) -> str:
        """For the terminal: a row per part, and the verdict."""
        lines = [f"{'part':<12} {'parameters':>12} {'weights':>10} {'at work':>10} {'kept':>9}  where", "-" * 70]
        for row in self.rows:
            part = row.part
            lines.append(
                f"{part.name:<12} {part.parameters / 1e6:>10.1f} M {part.weights / GIB:>6.2f} GiB {part.activations / GIB:>6.2f} GiB "
                f"{part.kept / GIB:>5.2f} GiB  {row.where}"
            )
        lines.append("-" * 70)
        if self.refusal is not None:
            lines.append(self.refusal)
        else:
            lines.append(
                f"Fits: at most {self.peak / GIB:.1f} of {self.vram / GIB:.0f} GiB are used, while {self.busiest} is at work "
                f"({self.precision} language model)."
            )
            if self.instead_of is not None:
                lines.append(f"Here {self.instead()}.")
            if self.ram is not None:
                short = self.main_memory > self.ram
                lines.append(
                    f"Main memory: {self.main_memory / GIB:.1f} GiB for what is not resident, {self.ram / GIB:.1f} GiB are free"
                    f"{', which is too little: close other programs.' if short else '.'}"
                )
            if slow := [row.part.name for row in self.rows if row.where == CPU]:
                lines.append(f"On the CPU, many times slower: {', '.join(slow)}. Smaller media may fit: --pixels, --frames, --seconds.")
        return "\n".join(lines)

    def picture(self, path: Path) -> None:
        """The same as bars: what stays on the GPU, and what comes on top while each part is at work."""
        _draw(self, path)


def plan(
    preset: str | Preset,
    vram_gb: float,
    precision: str | None = None,
    *,
    sizes: Sizes | None = None,
    ram: float | None = None,
    decoders: Collection[str] | None = None,
) -> Plan:
    """Place a preset's parts in `vram_gb` GiB of GPU memory, keeping as many resident as possible.

    `precision` is the language model's; None: the preset's own, or the widest smaller one that leaves nothing to the CPU and no more
    to main memory than the `ram` GiB that are free there (None: not looked at). `sizes`: None for the decoders' own. `decoders`: those that
    are loaded (None: all). Never raises for lack of memory: `Plan.refusal` says what to do. Raises ConfigError where a part's size cannot
    be known.
    """
    found = load_preset(preset) if isinstance(preset, str) else preset
    if not 0 < vram_gb < math.inf:
        raise ConfigError(f"A GPU's memory is a number of GiB above 0, not {vram_gb}.")
    sizes, vram, free = sizes or sizes_of(found), int(vram_gb * GIB), None if ram is None else int(ram * GIB)
    if precision is not None:
        return replace(_place(with_precision(found, precision), vram, sizes, decoders), ram=free)
    own = found.llm.precision
    plans = [_place(with_precision(found, one), vram, sizes, decoders) for one in (own, *_SMALLER.get(own, ()))]
    fitting = [one for one in plans if one.fits]
    without_ram = _widest(fitting) or plans[-1]
    chosen = _widest([one for one in fitting if free is None or one.main_memory <= free]) or without_ram
    instead_of = None if chosen.precision == own else own
    return replace(chosen, instead_of=instead_of, ram=free, ram_decided=chosen is not without_ram)


def _widest(fitting: list[Plan]) -> Plan | None:
    """The first plan that leaves nothing to the CPU, or else the last one."""
    return next((one for one in fitting if all(row.where != CPU for row in one.rows)), fitting[-1] if fitting else None)


def cpu_bytes(preset: Preset, precision: str, *, decoders: Collection[str] | None = None) -> tuple[dict[str, int], int]:
    """On a CPU, with the language model in `precision`: bytes by part of what is on disk, and the most that is held at once.

    `decoders`: those that are loaded (None: all). Raises ConfigError where the language model is not there and its size not known.
    """
    plain = "float32" if precision == "8bit" else None  # our own 8 bits: what is not rounded works in float32
    llm = language_model_part(preset, precision, plain=plain)
    found = {"llm": llm.weights + llm.kept + llm.activations}
    paths = {"encoder": preset.encoder.path}
    paths |= {name: output.path for name, output in preset.outputs.items() if decoders is None or name in decoders}
    for name, path in paths.items():
        if _weight_files(preset.file(path)):  # one that is absent is not loaded
            loaded = _LOADED.get(preset.encoder.kind, _everything) if name == "encoder" else _everything
            found[name] = int(_count(preset, path, loaded=loaded) * BYTES["float32"])
    wide = language_model_part(preset, "float16").weights if precision == "8bit" else 0  # it is rounded after it was read
    return found, max(wide, sum(found.values()))


def sizes_of(preset: Preset) -> Sizes:
    """The sizes of the media that a preset's decoders make: what their decoder.json say, the published ones elsewhere."""
    found: dict[str, Any] = {}
    for modality, output in preset.outputs.items():
        path = preset.file(output.path) / "decoder.json"
        said = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if "pixels" in said:
            found[modality] = (said["pixels"],) * 2 if isinstance(said["pixels"], int) else tuple(said["pixels"])
        found |= {name: said[name] for name in ("frames", "seconds") if name in said}
    return replace(Sizes(), **found)


def _place(preset: Preset, vram: int, sizes: Sizes, decoders: Collection[str] | None) -> Plan:
    precision = preset.llm.precision
    parts = parts_of(preset, precision=precision, sizes=sizes, decoders=decoders)
    weights = {part.name: part.weights for part in parts}
    # Quantised to 8 bits the language model cannot be moved again once it is on the GPU.
    movable = [name for name in weights if name in _USE and not (name == "llm" and precision == "8bit")]
    on_cpu: list[str] = []
    while True:
        subsets = [subset for count in range(len(movable) + 1) for subset in combinations(movable, count)]
        subsets.sort(key=lambda names: sum(weights[name] * _USE[name] for name in names))  # the fewest bytes moved per turn first
        for away in subsets:
            places = {name: CPU if name in on_cpu else OFFLOADED if name in away else GPU for name in weights}
            peak, busiest = _peak(parts, places)
            if peak <= vram:
                return _plan(preset, vram, parts, places, peak, busiest, None)
        # A decoder or encoder that does not even fit alone may run on the CPU, slowly; the language model may not.
        if busiest == "llm" or busiest not in movable:
            return _plan(preset, vram, parts, places, peak, busiest, _refusal(preset, vram, peak))
        on_cpu.append(busiest)
        movable.remove(busiest)


def parts_of(preset: Preset, *, precision: str, sizes: Sizes, decoders: Collection[str] | None = None) -> list[Part]:
    """The parts of a preset with their sizes, of its decoders all or some; published ones need not be on disk."""
    media = 2.0  # the encoder and the decoders run in float16 on a GPU
    found = [language_model_part(preset, precision), _projections(preset)]
    encoder = _count(preset, preset.encoder.path, loaded=_LOADED.get(preset.encoder.kind, _everything))
    found.append(_part("encoder", encoder, media, _ENCODER))
    at_work = {
        "image": math.prod(sizes.image) * max(_UNET_IMAGE, _VAE_IMAGE),
        "video": math.prod(sizes.video) * max(sizes.frames * _UNET_VIDEO, _VAE_VIDEO),
        "audio": sizes.seconds * _AUDIO,
    }
    for modality, output in preset.outputs.items():
        if decoders is None or modality in decoders:
            found.append(_part(modality, _count(preset, output.path), media, at_work[modality]))
    return found


def decoders_on_disk(preset: Preset) -> list[str]:
    """The modalities whose decoder can be loaded: `fetch --only` may have left some out."""
    return [modality for modality, output in preset.outputs.items() if _weight_files(preset.file(output.path))]


def _part(name: str, parameters: int, bytes_each: float, activations: float) -> Part:
    return Part(name=name, parameters=parameters, weights=int(parameters * bytes_each), activations=int(activations * SLACK))


def language_model_part(preset: Preset, precision: str, *, plain: str | None = None) -> Part:
    """The language model in one of BYTES, from its config or what is known of the published one. Raises ConfigError.

    What is not quantised is in `plain` (None: float32 beside float32, 16 bits elsewhere).
    """
    path = preset.file(preset.llm.path) / "config.json"
    if path.is_file():
        config = json.loads(path.read_text(encoding="utf-8"))
    elif preset.llm.path in LANGUAGE_MODELS:
        config = LANGUAGE_MODELS[preset.llm.path]
    else:
        raise ConfigError(f"{path} is not there, so the size of the language model is not known; fetch it first.")
    width, layers = config["hidden_size"], config["num_hidden_layers"]
    grouped = config.get("num_key_value_heads", config["num_attention_heads"]) / config["num_attention_heads"]
    linear = layers * int(width * width * (2 + 2 * grouped) + 3 * width * config["intermediate_size"])
    tables = (1 if config.get("tie_word_embeddings") else 2) * (config["vocab_size"] + len(preset.added_tokens)) * width
    norms = (2 * layers + 1) * width
    other = BYTES[plain or ("float32" if precision == "float32" else "float16")]
    adapter, adapter_bytes = 0, 0.0
    if precision == "4bit" or (precision == "8bit" and plain is None):  # merged into the weights elsewhere
        adapter = layers * 2 * preset.lora.rank * width * len(preset.lora.targets)
        adapter_bytes = adapter * (BYTES["float32"] if precision == "8bit" else other)  # beside whole numbers, peft makes it in 32 bits
    weights = linear * BYTES[precision] + (tables + norms) * other + adapter_bytes
    cache = preset.llm.context * layers * int(2 * width * grouped) * other
    states = preset.llm.context * width * _STATES * other
    return Part(
        name="llm",
        parameters=linear + tables + norms + adapter,
        weights=int(weights),
        activations=int(states * SLACK),
        kept=int(cache),
    )


def _projections(preset: Preset) -> Part:
    from nextgpt_core.convert import published_shapes  # the layout of the trained parts, however they are stored

    tables = ("embed_tokens.weight", "lm_head.weight")
    count = sum(math.prod(shape) for name, shape in published_shapes(preset, layers=0).items() if name not in tables)
    return _part("projections", count, BYTES["float32"], 16 * 2**20)


def _everything(key: str) -> bool:
    return True


# Of an encoder's file, what does not stay on disk.
_LOADED: dict[str, Callable[[str], bool]] = {"imagebind": lambda key: tower_of(key) in TOWERS}


def _count(preset: Preset, path: str, *, loaded: Callable[[str], bool] = _everything) -> int:
    """Parameters that are loaded from a part's folder, from its files or from what is known of the published one."""
    folder = preset.file(path)
    if files := _weight_files(folder):
        return sum(size for file in files for key, size in _numbers(file) if loaded(key))
    if path in PARAMETERS:
        return sum(PARAMETERS[path].values())
    raise ConfigError(f"{folder} is not there, so the size of '{path}' is not known; fetch it first.")


def _weight_files(folder: Path) -> list[Path]:
    """The weight files that are loaded from a folder: of several forms of the same weights, one."""
    found = []
    for place in (folder, *(sub for sub in sorted(folder.glob("*")) if sub.is_dir() and sub.name not in _NOT_RESIDENT)):
        tensors = [file for file in sorted(place.glob("*.safetensors")) if file.name != "unconditional.safetensors"]
        same = [file for file in tensors if file.name.startswith(("diffusion_pytorch_model.", "model."))]
        pickles = sorted((*place.glob("*.bin"), *place.glob("*.pth")))
        found += same[-1:] or tensors or pickles[:1]
    return found


def _numbers(file: Path) -> list[tuple[str, int]]:
    """Each tensor of a file, and how many numbers it holds."""
    if file.suffix != ".safetensors":
        return [(key, value.numel()) for key, value in read_pickle(file).items()]
    refuse_damaged(file)
    with safe_open(file, framework="pt") as tensors:
        return [(key, math.prod(tensors.get_slice(key).get_shape())) for key in tensors.keys()]  # noqa: SIM118  (not a dict)


def _peak(parts: list[Part], places: dict[str, str]) -> tuple[int, str]:
    """Bytes on the GPU at the worst moment, and the part at work then."""
    resident = RESERVE + sum(part.kept + (part.weights if places[part.name] == GPU else 0) for part in parts)
    moments = {"nothing": resident}
    for part in parts:
        if places[part.name] != CPU:
            moments[part.name] = resident + part.activations + (part.weights if places[part.name] == OFFLOADED else 0)
    worst = max(moments, key=lambda name: moments[name])
    return int(moments[worst]), worst


def _plan(preset: Preset, vram: int, parts: list[Part], places: dict[str, str], peak: int, busiest: str, refusal: str | None) -> Plan:
    rows = tuple(Row(part, places[part.name]) for part in parts)
    return Plan(preset=preset.name, vram=vram, precision=preset.llm.precision, rows=rows, peak=peak, busiest=busiest, refusal=refusal)


def _refusal(preset: Preset, vram: int, peak: int) -> str:
    precision = preset.llm.precision
    smaller = [name for name in ("8bit", "4bit") if BYTES[name] < BYTES[precision]]
    advice = f"try --precision {smaller[-1]}" if smaller else "it needs a larger GPU, or the CPU"
    return (
        f"Does not fit: {preset.name} with a {precision} language model needs {peak / GIB:.1f} GiB even with everything else moved away, "
        f"and there are {vram / GIB:.1f}; {advice}."
    )


def _draw(plan: Plan, path: Path) -> None:
    colours = {"llm": "#4c6ef5", "projections": "#74c0fc", "encoder": "#12b886", "image": "#f59f00", "video": "#e64980", "audio": "#7950f2"}
    wide, bar, left, top = 900, 34, 130, 60
    image = Image.new("RGB", (wide, top + (bar + 14) * (len(plan.rows) + 1) + 40), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(15)
    full = max(plan.vram, plan.peak) * 1.05
    scale = (wide - left - 30) / full

    def block(row: int, start: float, size: float, colour: str, outline: str | None = None) -> float:
        y = top + row * (bar + 14)
        draw.rectangle((left + start * scale, y, left + (start + size) * scale, y + bar), fill=colour, outline=outline)
        return start + size

    title = f"{plan.preset} in {plan.vram / GIB:.0f} GiB, {plan.precision} language model: "
    draw.text((10, 15), title + ("fits" if plan.fits else "does not fit"), fill="black", font=font)
    resident = RESERVE + sum(row.part.kept for row in plan.rows)
    for index in range(len(plan.rows) + 1):
        block(index, 0, resident, "#ced4da")
    start = resident
    draw.text((10, top + 8), "resident", fill="black", font=font)
    for row in plan.rows:
        if row.where == GPU:
            resident = block(0, resident, row.part.weights, colours.get(row.part.name, "#868e96"))
    for index, row in enumerate(plan.rows, start=1):
        draw.text((10, top + index * (bar + 14) + 8), f"{row.part.name}", fill="black", font=font)
        if row.where == CPU:
            draw.text((left + 8, top + index * (bar + 14) + 8), "on the CPU", fill="black", font=font)
            continue
        at = block(index, start, resident - start, "#e9ecef")
        colour = colours.get(row.part.name, "#868e96")
        if row.where == OFFLOADED:
            at = block(index, at, row.part.weights, colour)
        block(index, at, row.part.activations, "white", colour)
    limit = left + plan.vram * scale
    draw.line((limit, top - 8, limit, image.height - 34), fill="#e03131", width=2)
    note = "grey: reserve, cache and resident parts; full: weights brought in for the moment; outlined: activations; red: the GPU's memory"
    draw.text((10, image.height - 26), note, fill="#495057", font=ImageFont.load_default(13))
    image.save(path)
