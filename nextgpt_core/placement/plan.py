"""What fits where: a plan that places a preset's parts in a GPU's memory, before anything is loaded.

Parts run one after another, so what is not in use may wait in the computer's own memory.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

from nextgpt_core.config import Preset, load_preset, with_precision
from nextgpt_core.decoders.base import Size
from nextgpt_core.errors import ConfigError
from nextgpt_core.placement.parts import BYTES, GIB, Part, parts_of

RESERVE = 0.7 * GIB  # the CUDA context and its libraries
_SMALLER = {"float16": ("8bit", "4bit"), "bfloat16": ("8bit", "4bit"), "8bit": ("4bit",)}  # what a language model may be loaded in instead
GPU, OFFLOADED, CPU = "GPU", "offloaded", "CPU"
_USES = {"llm": 1.0, "encoder": 0.5, "image": 0.4, "audio": 0.3}  # how often a part that waits elsewhere is fetched, per turn
_RARE = 0.2  # another decoder


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
        """Bytes of main memory for the parts that are not resident: as they are those that wait there, in 32 bits those that work there."""
        return sum({GPU: 0, OFFLOADED: row.part.weights, CPU: 4 * row.part.parameters}[row.where] for row in self.rows)

    @property
    def fits(self) -> bool:
        return self.refusal is None

    def where(self, name: str) -> str:
        """Where a part lives; one that is not in the plan stays where it was loaded, on the CPU."""
        return next((row.where for row in self.rows if row.part.name == name), CPU)

    def instead(self) -> str:
        """Why the language model is not in the preset's own precision."""
        room = f"{self.vram / GIB:.1f} GiB"
        if self.ram_decided and self.ram is not None:
            room = f"with what would wait in {self.ram / GIB:.1f} GiB of free main memory"
        return f"a {self.instead_of} language model does not fit {room}, so it is loaded in {self.precision}"


def plan(
    preset: str | Preset,
    vram_gb: float,
    precision: str | None = None,
    *,
    sizes: Mapping[str, Size] | None = None,
    ram: float | None = None,
    decoders: Collection[str] | None = None,
) -> Plan:
    """Place a preset's parts in `vram_gb` GiB of GPU memory, keeping as many resident as possible.

    `precision` is the language model's; None: the preset's own, or the widest smaller one that leaves nothing to the CPU and no more
    to main memory than the `ram` GiB that are free there (None: not looked at). `sizes` and `decoders` as in `parts_of`.
    Never raises for lack of memory: `Plan.refusal` says what to do. Raises ConfigError where a part's size cannot be known.
    """
    found = load_preset(preset) if isinstance(preset, str) else preset
    if not 0 < vram_gb < math.inf:
        raise ConfigError(f"A GPU's memory is a number of GiB above 0, not {vram_gb}.")
    vram, free = int(vram_gb * GIB), None if ram is None else int(ram * GIB)
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


def _place(preset: Preset, vram: int, sizes: Mapping[str, Size] | None, decoders: Collection[str] | None) -> Plan:
    precision = preset.llm.precision
    parts = parts_of(preset, precision=precision, sizes=sizes, decoders=decoders)
    moved = {part.name: part.weights * _USES.get(part.name, _RARE) for part in parts}
    # Quantised to 8 bits the language model cannot be moved again once it is on the GPU.
    movable = [name for name in moved if name != "projections" and not (name == "llm" and precision == "8bit")]
    on_cpu: list[str] = []
    while True:
        subsets = [subset for count in range(len(movable) + 1) for subset in combinations(movable, count)]
        subsets.sort(key=lambda names: sum(moved[name] for name in names))  # the fewest bytes per turn first
        for away in subsets:
            places = {name: CPU if name in on_cpu else OFFLOADED if name in away else GPU for name in moved}
            peak, busiest = _peak(parts, places)
            if peak <= vram:
                break
        # A decoder or encoder that does not even fit alone may run on the CPU, slowly; the language model may not.
        if peak <= vram or busiest == "llm" or busiest not in movable:
            rows = tuple(Row(part, places[part.name]) for part in parts)
            refusal = None if peak <= vram else _refusal(preset, vram, peak)
            return Plan(preset=preset.name, vram=vram, precision=precision, rows=rows, peak=peak, busiest=busiest, refusal=refusal)
        on_cpu.append(busiest)
        movable.remove(busiest)


def _peak(parts: list[Part], places: dict[str, str]) -> tuple[int, str]:
    """Bytes on the GPU at the worst moment, and the part at work then."""
    resident = RESERVE + sum(part.kept + (part.weights if places[part.name] == GPU else 0) for part in parts)
    moments = {"nothing": resident}
    for part in parts:
        if places[part.name] != CPU:
            moments[part.name] = resident + part.activations + (part.weights if places[part.name] == OFFLOADED else 0)
    worst = max(moments, key=lambda name: moments[name])
    return int(moments[worst]), worst


def _refusal(preset: Preset, vram: int, peak: int) -> str:
    precision = preset.llm.precision
    smaller = [name for name in ("8bit", "4bit") if BYTES[name] < BYTES[precision]]
    advice = f"try --precision {smaller[-1]}" if smaller else "it needs a larger GPU, or the CPU"
    return (
        f"Does not fit: {preset.name} with a {precision} language model needs {peak / GIB:.1f} GiB even with everything else moved away, "
        f"and there are {vram / GIB:.1f}; {advice}."
    )
