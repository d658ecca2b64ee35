#!/usr/bin/env python3
"""Start here: `python3 launch.py` prepares the environment when it has to and opens the chat page.

Only the standard library is used until the environment is ready; then app.cli takes over in the right interpreter. pip alone decides what
is missing and what fits; a stamp in the environment says for which requirement files it has done so.
"""

import argparse
import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

OLDEST = (3, 11)  # transformers and numpy ask for it
if sys.version_info < OLDEST:  # here and with old words, because such a Python cannot read what follows
    found = ".".join(str(part) for part in sys.version_info[:3])
    others = [name for name in ("python3.11", "python3.12", "python3.13", "python3.14") if shutil.which(name)]
    advice = (
        f"start it with the newer one that is here: {others[0]} launch.py" if others else "get one from https://www.python.org/downloads"
    )
    print(f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed and this is {found}; {advice}", file=sys.stderr)
    sys.exit(2)

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = "nextgpt-requirements.txt"  # in .venv: the fingerprint of the requirement files, then the names of those installed
UNFINISHED = "unfinished"  # the stamp while pip works: found at a start, it tells of an interrupted install
LOG = "nextgpt-install.log"  # in the environment: all that pip said
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"


def main(arguments: list[str]) -> int:
    """Prepare, then run `python -m app.cli` with the same arguments; returns its exit status."""
    try:
        python = callers_own() if os.environ.get("NEXTGPT_NO_VENV") else prepared(requirement_files(arguments))
    except InstallFailed as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    from app.threads import openmp_settings

    command = [str(python), "-m", "app.cli", *arguments]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, **openmp_settings(), "PYTHONPATH": os.pathsep.join(paths)}
    if os.name == "posix":
        sys.stdout.flush()
        os.execve(python, command, environment)
    return subprocess.call(command, env=environment)


class InstallFailed(Exception):
    """The environment could not be prepared; the message says what to do."""


def callers_own() -> Path:
    """The running interpreter: in a Space, a container, or an environment that the user prepared. Raises InstallFailed without torch."""
    if importlib.util.find_spec("torch") is None:
        raise InstallFailed(
            f"NEXTGPT_NO_VENV is set, so nothing is installed, and {sys.executable} has no torch. Either unset it, or run: "
            f'"{sys.executable}" -m pip install -r requirements.txt'
        )
    return Path(sys.executable)


def requirement_files(arguments: list[str]) -> list[str]:
    """What a command needs: all of them the requirements; `test`, `train`, `eval` and `--preset 7b` more on top."""
    more = {"test": "requirements-dev.txt", "train": "requirements-train.txt", "eval": "requirements-train.txt"}
    names = ["requirements.txt", more.get(arguments[0] if arguments else "chat", "")]
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--preset", nargs="?")
    if Path(options.parse_known_args(arguments)[0].preset or "").name == "7b":
        names.append("requirements-7b.txt")
    return [name for name in names if name == "requirements.txt" or (name and (ROOT / name).is_file())]


def prepared(names: list[str]) -> Path:
    """The interpreter of .venv with everything installed. Nothing is asked of pip where the stamp says so. Raises InstallFailed."""
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    with one_at_a_time():
        state, *done = stamp() if python.exists() else [""]
        if state != fingerprint():
            done = []
        if done and set(names) <= set(done):
            return python
        started = time.monotonic()
        if state == UNFINISHED:  # what pip left may be half a package, which pip itself would not notice
            print("The last installation did not finish; starting again (what was downloaded is used again).", flush=True)
        fresh = state == UNFINISHED or not works(python)
        if fresh:
            make_environment()
        (VENV / STAMP).write_text(UNFINISHED, encoding="utf-8")
        install(python, names, fresh)
        (VENV / STAMP).write_text("\n".join([fingerprint(), *sorted({*done, *names})]), encoding="utf-8")
        print(f"The environment is ready: {size(VENV)} on the disk, {clock(time.monotonic() - started)}.", flush=True)
    return python


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Two starts do not install at once: the second waits. The lock is this file's own, so none is left behind whatever happens."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with open(__file__) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another start is preparing the environment; waiting for it.", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            pass
        yield


def fingerprint() -> str:
    """Changes with any of the requirement files and with Python's version: then pip is asked again."""
    texts = [path.read_bytes() for path in sorted(ROOT.glob("requirements*.txt"))]
    return hashlib.sha256(b"\0".join([repr(sys.version_info[:2]).encode(), *texts])).hexdigest()


def stamp() -> list[str]:
    """The stamp's lines; one empty line where there is none."""
    with contextlib.suppress(OSError, UnicodeError):
        return (VENV / STAMP).read_text(encoding="utf-8").splitlines() or [""]
    return [""]


def works(python: Path) -> bool:
    """False where the interpreter is missing, or it or its pip is broken (half made, or the system's Python was replaced)."""
    with contextlib.suppress(OSError):
        return subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0
    return False


def make_environment() -> None:
    """An empty .venv. Raises InstallFailed."""
    print(f"Making an environment in {VENV}", flush=True)
    if sys.prefix != sys.base_prefix:
        print("The environment that is active now is left alone; NEXTGPT_NO_VENV=1 uses it as it is instead.", flush=True)
    if importlib.util.find_spec("ensurepip") is None:
        version = "{}.{}".format(*sys.version_info[:2])
        raise InstallFailed(f"This Python comes without venv. On Debian and Ubuntu: apt install python{version}-venv. Then start again.")
    done = subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise InstallFailed(
            f"The environment could not be made: {reason(done.stdout + done.stderr, done.returncode)}\nPut the project into a folder that "
            "you may write to and on a disk with room, and start again; or prepare an environment yourself and set NEXTGPT_NO_VENV=1."
        )


def install(python: Path, names: list[str], fresh: bool) -> None:
    """Everything that the files name, torch first where it comes from an index of its own. Raises InstallFailed."""
    log = VENV / LOG
    log.unlink(missing_ok=True)
    index = torch_index()
    if fresh:
        small = index or sys.platform != "linux"
        print(f"{'About 0.4 GB' if small else 'Up to 3 GB (torch may bring CUDA)'} will be downloaded, once.", flush=True)
    if index:  # alone and without what it needs, so that nothing else comes from there; where it fails, the plain index has it as well
        with contextlib.suppress(InstallFailed):
            pip(python, log, "--no-deps", "--index-url", index, "--constraint", str(ROOT / "requirements.txt"), "torch")
    pip(python, log, *(part for name in names for part in ("-r", str(ROOT / name))))


def torch_index() -> str:
    """The address that torch is taken from; empty for pip's own index. NEXTGPT_TORCH_INDEX says which, empty too.

    On Linux the plain index's torch brings CUDA, which only NVIDIA's GPUs can use; elsewhere it computes on the CPU (or Apple's GPU).
    """
    named = os.environ.get("NEXTGPT_TORCH_INDEX")
    if named is not None:
        return named
    if sys.platform != "linux" or nvidia():
        return ""
    return CPU_WHEELS if answers(f"{CPU_WHEELS}/torch/") else ""


def nvidia(root: Path = Path("/")) -> bool:
    """True where there is an NVIDIA GPU to be used: its driver runs, a container was given a device, or (WSL) Windows lends its driver.

    nvidia-smi alone also counts: on a cluster's login node it is all that there is, and CUDA for nothing costs only room on the disk."""
    signs = ("proc/driver/nvidia/version", "dev/nvidiactl", "usr/lib/wsl/lib/nvidia-smi")
    return any((root / sign).exists() for sign in signs) or shutil.which("nvidia-smi") is not None


def answers(address: str, seconds: float = 8) -> bool:
    """True where an address can be reached soon. A process of its own, because looking up a name knows no limit of time."""
    code = f"import urllib.request; urllib.request.urlopen({address!r}, timeout={seconds / 2}).close()"
    with contextlib.suppress(subprocess.TimeoutExpired):
        return subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=seconds).returncode == 0
    return False


def pip(python: Path, log: Path, *arguments: str) -> None:
    """pip install, as one line that says how far it is; what pip says goes to the log. Raises InstallFailed."""
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *arguments]
    if not sys.dont_write_bytecode:  # each import compiles what it needs, a quarter of what there is
        command.append("--no-compile")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    with log.open("ab") as sink:
        begin = sink.tell()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, env=environment)

    def said() -> str:
        return log.read_bytes()[begin:].decode("utf-8", errors="replace")

    line, started = ProgressLine(), time.time()
    try:
        while process.poll() is None:
            line.show(progress(said(), unpacked(log.parent, started)))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
    except BaseException:  # Ctrl+C reaches pip as well, which clears up behind itself
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        raise
    finally:
        line.clear()
    if process.returncode:
        raise InstallFailed(
            f"The packages could not be installed: {reason(said(), process.returncode)}\nCheck the connection and the room on the disk, "
            f"and start again. All that pip said is in {log}"
        )


class ProgressLine:
    """One line that changes in place on a terminal; elsewhere (a file, a build's log) a line now and then."""

    every = 15.0  # seconds between lines where they stay

    def __init__(self) -> None:
        self.started = self.said = time.monotonic()

    def show(self, text: str) -> None:
        now = time.monotonic()
        text = f"Installing: {text}, {clock(now - self.started)}"
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{text[:width]:<{width}}", end="", flush=True)
        elif now - self.said >= self.every:
            self.said = now
            print(text, flush=True)

    def clear(self) -> None:
        if sys.stdout.isatty():
            print("\r" + " " * (shutil.get_terminal_size().columns - 1), end="\r", flush=True)


def unpacked(environment: Path, since: float) -> int:
    """How many packages were unpacked since a time of the clock: each ends with the folder that tells of it."""
    folders = [*environment.glob("lib/*/site-packages/*.dist-info"), *environment.glob("Lib/site-packages/*.dist-info")]
    return sum(1 for folder in folders if folder.is_dir() and folder.stat().st_mtime >= since)


def progress(said: str, unpacked: int) -> str:
    """What pip is doing by what it has said: the last download and all of them together, or which package it unpacks."""
    unpacking = re.findall(r"^Installing collected packages: (.+)$", said, re.MULTILINE)
    if unpacking:
        return f"unpacking {max(1, unpacked)} of {unpacking[-1].count(',') + 1} packages"
    wheel = r"^ *(?:Downloading|Using cached) (\S+?)-\d\S*\.(?:whl|tar\.gz|zip) \(([\d.]+) (bytes|kB|MB|GB)\)$"
    wheels = re.findall(wheel, said, re.MULTILINE)
    if not wheels:
        return "looking for the packages"
    units = {"bytes": 1e-6, "kB": 1e-3, "MB": 1.0, "GB": 1e3}
    together = sum(float(number) * units[unit] for _, number, unit in wheels)
    name, number, unit = wheels[-1]
    return f"{name} ({number} {unit}), {together:,.0f} MB in {len(wheels)} package{'s' * (len(wheels) > 1)} so far"


def reason(said: str, status: int) -> str:
    """The line that says why pip or venv failed. Of an index that could not be reached, pip says at the end only that nothing fits."""
    if status < 0:
        return f"it was stopped from outside by signal {-status}" + (" (memory may have run out)" if status == -9 else "")
    errors = re.findall(r"^ *(?:ERROR|Error|error): *(.+)$", said, re.MULTILINE)
    broken = re.findall(r"^WARNING: Retrying .* after connection broken by (.+): \S+$", said, re.MULTILINE)
    if broken and errors and "No matching distribution" in errors[-1]:
        why = re.split(r": |, '", broken[-1])[-1]
        return "the package index cannot be reached (" + re.sub(r"( \((read|connect) timeout=.*)?['\")]*$", "", why) + ")"
    return errors[-1] if errors else last_line(said)


def last_line(text: str) -> str:
    """The last line that is not empty."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no reason was given")


def clock(seconds: float) -> str:
    """83.2 as "1 min 23 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def size(folder: Path) -> str:
    """What the files of a folder take together."""
    total = sum(os.lstat(Path(place) / name).st_size for place, _, names in os.walk(folder) for name in names)
    return f"{total / 1e9:.1f} GB" if total >= 5e7 else f"{total / 1e6:.0f} MB"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("\nInterrupted. Starting again goes on from what was downloaded.", file=sys.stderr)
        sys.exit(130)
