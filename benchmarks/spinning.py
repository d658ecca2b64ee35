"""How long a thread may spin: a token's matrix products, or a denoising step's convolutions, at several GOMP_SPINCOUNTs, on a free
machine and beside busy programs.

`python -m benchmarks.spinning [--work step]` prints the table by which app/threads.py was set. Each case is a process of its own, since
OpenMP reads its settings when torch is loaded; all wait while one of them computes, turn by turn, so that a machine's moods meet all cases
alike. 5 GB.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

COUNTS = (None, 100_000, 30_000, 10_000, 3_000, 1_000, 100, 0)  # None: libgomp's own 300,000
BURN = "while True: pass"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each case in each round")
    parser.add_argument("--work", choices=("token", "step"), default="token", help="what is computed")
    parser.add_argument("--case", action="store_true", help="be one case: a line comes in, how often a second goes out")
    options = parser.parse_args()
    if options.case:
        answer(options.work, options.seconds)
        return
    cores = len(os.sched_getaffinity(0))
    settings = {"1 thread": {"OMP_NUM_THREADS": "1"}}
    for count in COUNTS:
        name = f"{cores} threads, spin {'300,000 (libgomp)' if count is None else f'{count:,}'}"
        settings[name] = {"OMP_NUM_THREADS": str(cores)} | ({} if count is None else {"GOMP_SPINCOUNT": str(count)})
    cases = {name: start(one, options) for name, one in settings.items()}
    found: dict[tuple[str, str], list[float]] = {(name, load): [] for name in cases for load in ("free", "busy")}
    try:
        for case in cases.values():
            times_a_second(case)  # loaded, and warm
        print("All cases are loaded.", file=sys.stderr, flush=True)
        for _ in range(options.rounds):
            for name, case in cases.items():
                found[name, "free"].append(times_a_second(case))
            with busy(cores):
                for name, case in cases.items():
                    found[name, "busy"].append(times_a_second(case))
    finally:
        for case in cases.values():
            case.kill()
    print(f"| {options.work}s a second | free | busy |\n|---|---:|---:|")
    for name in cases:
        free, loaded = (" ".join(f"{one:.1f}" for one in sorted(found[name, load])) for load in ("free", "busy"))
        print(f"| {name} | {max(found[name, 'free']):.1f} ({free}) | {statistics.median(found[name, 'busy']):.1f} ({loaded}) |")


def start(settings: dict[str, str], options: argparse.Namespace) -> "subprocess.Popen[str]":
    """A case with its environment, which has torch loaded when it first answers."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_", "MKL_"))}
    command = [sys.executable, "-m", "benchmarks.spinning", "--case", f"--work={options.work}", f"--seconds={options.seconds}"]
    return subprocess.Popen(command, env=kept | settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def times_a_second(case: "subprocess.Popen[str]") -> float:
    """How often a case does its work now."""
    assert case.stdin and case.stdout
    case.stdin.write("go\n")
    case.stdin.flush()
    return float(case.stdout.readline())


@contextmanager
def busy(cores: int) -> Iterator[None]:
    """One process that burns for each core."""
    burning = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(cores)]
    try:
        time.sleep(0.2)
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


def answer(work: str, seconds: float) -> None:
    """Do the work again and again, for some seconds per line of input."""
    import torch

    state, once = {"token": token, "step": step}[work]()
    for _ in sys.stdin:
        with torch.inference_mode():
            state = once(state)
            count, started = 0, time.perf_counter()
            while time.perf_counter() - started < seconds:
                state = once(state)
                count += 1
            print(f"{count / (time.perf_counter() - started):.3f}", flush=True)


def token() -> tuple[Any, Callable[[Any], Any]]:
    """One position through matrix products of SmolLM2-135M's shapes. In bfloat16, whose products of one row are shared between threads
    everywhere; those of float32 are not on some processors."""
    import torch
    from torch.nn import functional

    wide, narrow, inner, words, layers = 576, 192, 1536, 49_152, 30
    shapes = [(wide, wide), (narrow, wide), (narrow, wide), (wide, wide), (inner, wide), (inner, wide), (wide, inner)]
    weights = [[(torch.randn(shape) * 0.02).bfloat16() for shape in shapes] for _ in range(layers)]
    table = (torch.randn(words, wide) * 0.02).bfloat16()

    def once(state: torch.Tensor) -> torch.Tensor:
        for query, key, value, out, gate, up, down in weights:
            normal = functional.rms_norm(state, (wide,))
            attended = functional.linear(normal, query) + functional.linear(normal, key).mean() + functional.linear(normal, value).mean()
            state = state + functional.linear(attended, out)
            normal = functional.rms_norm(state, (wide,))
            state = state + functional.linear(functional.silu(functional.linear(normal, gate)) * functional.linear(normal, up), down)
        return state * 0.5 + 0.0 * functional.linear(state, table).amax()

    return torch.randn(1, wide).bfloat16(), once


def step() -> tuple[Any, Callable[[Any], Any]]:
    """Residual blocks of a small U-Net, with and without guidance at once, in float32."""
    import torch
    from torch.nn import functional

    weights = [torch.randn(channels, channels, 3, 3) * 0.02 for channels in (64, 64, 64, 64, 128, 128, 128, 128)]

    def once(state: torch.Tensor) -> torch.Tensor:
        high, low = state, torch.zeros(2, 128, 8, 8)
        for weight in weights:
            if weight.shape[0] == 64:
                high = high + functional.conv2d(functional.silu(functional.group_norm(high, 16)), weight, padding=1)
            else:
                low = low + functional.conv2d(functional.silu(functional.group_norm(low, 16)), weight, padding=1)
        return high * 0.5 + 0.0 * low.amax()

    return torch.randn(2, 64, 16, 16), once


if __name__ == "__main__":
    main()
