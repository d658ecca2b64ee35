"""As many threads as there are cores to use, and a bounded spin; set before torch is loaded, and only where the user set nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app import threads

ROOT = Path(__file__).parents[2]
linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's files")


@pytest.fixture()
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """proc and sys of a machine with four cores of two threads each, all to be used."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    for cpu in range(8):
        write(tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", f"{cpu % 4},{cpu % 4 + 4}\n")
    return tmp_path


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_two_threads_of_a_core_are_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert threads.usable_cores(root) == 4
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 4, 5})
    assert threads.usable_cores(root) == 2


def test_without_the_kernels_files_each_cpu_is_a_core(tmp_path: Path, root: Path) -> None:
    assert threads.usable_cores(tmp_path / "elsewhere") == 8


@pytest.mark.parametrize(
    ("limit", "cores"), [("200000 100000", 2), ("150000 100000", 1), ("50000 100000", 1), ("max 100000", 4), ("900000 100000", 4), ("", 4)]
)
def test_a_quota_of_version_2(root: Path, limit: str, cores: int) -> None:
    write(root / "proc/self/cgroup", "0::/\n")
    write(root / "sys/fs/cgroup/cpu.max", f"{limit}\n")
    assert threads.usable_cores(root) == cores


def test_the_tightest_group_above_counts(root: Path) -> None:
    write(root / "proc/self/cgroup", "0::/user.slice/run.scope\n")
    write(root / "sys/fs/cgroup/user.slice/cpu.max", "200000 100000\n")
    write(root / "sys/fs/cgroup/user.slice/run.scope/cpu.max", "300000 100000\n")
    assert list(threads.quotas(root)) == [3.0, 2.0] and threads.usable_cores(root) == 2


@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct", "cpuacct,cpu"])
def test_a_quota_of_version_1(root: Path, controllers: str) -> None:
    write(root / "proc/self/cgroup", f"5:memory:/docker/abc\n4:{controllers}:/docker/abc\n3:cpuset:/docker/abc\n0::/\n")
    top = root / "sys/fs/cgroup" / controllers  # in a container the group itself is mounted, and the host's path is not there
    write(top / "cpu.cfs_quota_us", "-1\n")
    write(top / "cpu.cfs_period_us", "100000\n")
    assert threads.usable_cores(root) == 4
    write(top / "cpu.cfs_quota_us", "250000\n")
    assert threads.usable_cores(root) == 2
    write(top / "docker/abc/cpu.cfs_quota_us", "100000\n")
    write(top / "docker/abc/cpu.cfs_period_us", "100000\n")
    assert threads.usable_cores(root) == 1


def test_unreadable_files_limit_nothing(root: Path) -> None:
    write(root / "proc/self/cgroup", "nonsense\n4:cpu\n\n0::/../../etc\n0::/\n")
    write(root / "sys/fs/cgroup/cpu.max", "100000 0\n")
    assert threads.usable_cores(root) == 4


@linux
def test_this_machine_can_be_read() -> None:
    assert 1 <= threads.usable_cores() <= len(os.sched_getaffinity(0))


def test_what_the_user_set_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(threads, "usable_cores", lambda: 3)
    mine = {"OMP_NUM_THREADS": "3", "GOMP_SPINCOUNT": str(threads.SPINS), "KMP_BLOCKTIME": str(threads.BLOCK_MILLISECONDS)}
    assert threads.openmp_settings({}) == mine
    assert threads.openmp_settings({"OMP_NUM_THREADS": "7"}).keys() == {"GOMP_SPINCOUNT", "KMP_BLOCKTIME"}
    assert "OMP_NUM_THREADS" not in threads.openmp_settings({"MKL_NUM_THREADS": "2"})
    for name in threads.WAITING:  # a spin count of ours would undo the user's OMP_WAIT_POLICY
        assert threads.openmp_settings({name: "ACTIVE"}) == {"OMP_NUM_THREADS": "3"}
    monkeypatch.setattr(sys, "platform", "darwin")
    assert threads.openmp_settings({}).keys() == {"GOMP_SPINCOUNT", "KMP_BLOCKTIME"}


@linux
def test_torch_takes_them_over_and_the_module_needs_nothing_but_the_standard_library() -> None:
    code = (
        "import os, sys; sys.path.insert(0, '.'); os.sched_getaffinity = lambda process: {0}\n"
        "from app.threads import openmp_settings; os.environ.update(openmp_settings())\n"
        "assert not {'torch', 'numpy'} & sys.modules.keys()\n"
        "import torch; print(torch.get_num_threads(), os.environ['GOMP_SPINCOUNT'])"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "MKL_", "GOMP_", "KMP_"))}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=kept, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", str(threads.SPINS)]
