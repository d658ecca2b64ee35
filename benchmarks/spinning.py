"""How long a thread may spin: decoding's matrix products at several GOMP_SPINCOUNTs, on a free machine and beside busy programs.

`python -m benchmarks.spinning` prints the table that app/threads.py is set by, in about four minutes. Each case is a process of its own,
since OpenMP reads its settings when torch is loaded. The rounds go over all cases in turn, and the table has the best of each case for a
free machine (what others take is not its cost) and the median for a busy one.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

COUNTS = (None, 100_000, 30_000, 10_000, 3_000, 1_000, 100, 0)  # None: libgomp's own 300,000
BURN = "while True: pass"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.5, help="of each case in each round")
    parser.add_argument("--decode", action="store_true", help="be one case, and print its tokens a second")
    options = parser.parse_args()
    if options.decode:
        print(f"{tokens_a_second(options.seconds):.2f}")
        return
    cores = len(os.sched_getaffinity(0))
    cases: list[tuple[str, dict[str, str]]] = [("1 thread", {"OMP_NUM_THREADS": "1"})]
    cases += [
        (f"{cores} threads, spin {'300,000 (the default)' if count is None else f'{count:,}'}", spinning(cores, count)) for count in COUNTS
    ]
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(options.rounds):
        for name, settings in cases:
            found.setdefault((name, "free"), []).append(one(settings, options.seconds))
        with busy(cores):
            for name, settings in cases:
                found.setdefault((name, "busy"), []).append(one(settings, options.seconds))
    print("| tokens a second | free | busy |\n|---|---:|---:|")
    for name, _ in cases:
        print(f"| {name} | {max(found[name, 'free']):.1f} | {statistics.median(found[name, 'busy']):.1f} |")


def spinning(cores: int, count: int | None) -> dict[str, str]:
    """The environment of a case."""
    return {"OMP_NUM_THREADS": str(cores)} | ({} if count is None else {"GOMP_SPINCOUNT": str(count)})


def one(settings: dict[str, str], seconds: float) -> float:
    """Tokens a second of a process with these settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_", "MKL_"))}
    command = [sys.executable, "-m", "benchmarks.spinning", "--decode", "--seconds", str(seconds)]
    return float(subprocess.run(command, env=kept | settings, check=True, capture_output=True, text=True).stdout)


@contextmanager
def busy(cores: int) -> Iterator[None]:
    """One process that burns for each core."""
    burning = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(cores)]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


def tokens_a_second(seconds: float) -> float:
    """One position after another through products of SmolLM2-135M's shapes, all in float32."""
    import torch
    from torch.nn import functional

    wide, narrow, inner, words, layers = 576, 192, 1536, 49_152, 30
    shapes = [(wide, wide), (narrow, wide), (narrow, wide), (wide, wide), (inner, wide), (inner, wide), (wide, inner)]
    weights = [[torch.randn(shape) * 0.02 for shape in shapes] for _ in range(layers)]
    table = torch.randn(words, wide) * 0.02
    state = torch.randn(1, wide)

    def token(state: torch.Tensor) -> torch.Tensor:
        for query, key, value, out, gate, up, down in weights:
            normal = functional.rms_norm(state, (wide,))
            attended = functional.linear(normal, query) + functional.linear(normal, key).mean() + functional.linear(normal, value).mean()
            state = state + functional.linear(attended, out)
            normal = functional.rms_norm(state, (wide,))
            state = state + functional.linear(functional.silu(functional.linear(normal, gate)) * functional.linear(normal, up), down)
        return state * 0.5 + 0.0 * functional.linear(state, table).amax()

    with torch.inference_mode():
        for _ in range(2):
            state = token(state)
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            state = token(state)
            count += 1
        return count / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
