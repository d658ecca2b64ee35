"""How many threads compute, and how long they wait for each other by spinning. Only the standard library, since OpenMP reads these settings
once, when torch is loaded: launch.py and app_space.py ask here first (the Dockerfile starts launch.py).

Threads that spin for long hold up each other where other programs want the cores too; threads that go to sleep at once are
slow to wake up. Measured by `python -m benchmarks.spinning` (2026-11-29, two cores of an AMD EPYC, torch 2.13.0; the machine's other users
held back by their scheduling group; "busy": beside one burning process for each core):

    GOMP_SPINCOUNT          tokens a second    denoising steps a second
                            free      busy     free      busy
    one thread              13.4       8.2      83        51
    300,000 (libgomp's)     20.2       5.2     108        24
    100,000                 19.2       6.7     103        36
    30,000                  20.4       8.3     101        45
    10,000                  20.8       8.8     101        47
    3,000                   16.6       8.5      86        44
    1,000                   14.4       8.4      70        53
    0                       11.1       7.6      64        57
"""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

SPINS = 10_000  # of libgomp, which torch's wheels for Linux bring; the least that costs a free machine nothing
BLOCK_MILLISECONDS = 1  # the same for LLVM's and Intel's OpenMP (macOS, Windows), which wait 200 otherwise; not measured
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def openmp_settings(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """What to add to the environment before torch is loaded. What is set there already wins, and one setting of waiting settles the others.

    The number of threads is set on Linux only: elsewhere there are no quotas, and torch itself knows which cores are fast ones.
    """
    environment = os.environ if environment is None else environment
    settings = {}
    if sys.platform == "linux" and not {"OMP_NUM_THREADS", "MKL_NUM_THREADS"} & environment.keys():
        settings["OMP_NUM_THREADS"] = str(usable_cores())
    if not environment.keys() & set(WAITING):
        settings |= {"GOMP_SPINCOUNT": str(SPINS), "KMP_BLOCKTIME": str(BLOCK_MILLISECONDS)}
    return settings


def usable_cores(root: Path = Path("/")) -> int:
    """The cores that this process may keep busy: those it may run on, two threads of one core counted once as torch does, and no more
    than the whole CPUs of its control group's quota. At least 1. Linux only; `root` is where proc and sys lie."""
    cores = {siblings(root, cpu) for cpu in os.sched_getaffinity(0)}
    return max(1, min([len(cores), *(int(quota) for quota in quotas(root))]))


def siblings(root: Path, cpu: int) -> str:
    """The threads of a CPU's core as the kernel lists them ("0,4"); the CPU itself where that cannot be read."""
    return read(root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") or str(cpu)


def quotas(root: Path) -> Iterator[float]:
    """CPUs that each control group above this process grants it (1.5: one and a half); nothing where there is no limit.

    Version 2 writes "150000 100000" (microseconds of each period) or "max 100000", version 1 the same in two files, -1 for no limit. In a
    container the group's path may be the host's, which is not there: then the mounted folder is the container's own group.
    """
    for line in read(root / "proc/self/cgroup").splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not number.isdigit() or (controllers and "cpu" not in controllers.split(",")):
            continue
        top = root / "sys/fs/cgroup" / controllers
        group = top / path.lstrip("/")
        while group.is_relative_to(top):
            if controllers:
                limit = [read(group / "cpu.cfs_quota_us"), read(group / "cpu.cfs_period_us")]
            else:
                limit = read(group / "cpu.max").split()
            if len(limit) == 2 and all(part.isdigit() for part in limit) and int(limit[1]):
                yield int(limit[0]) / int(limit[1])
            group = group.parent


def read(file: Path) -> str:
    """A small file's text; empty where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
