#!/usr/bin/env python3
"""Start here: `python3 launch.py` prepares the environment when it has to and opens the chat page.

Only the standard library is used until the environment is ready; then app.cli takes over in the right interpreter.
"""

import hashlib
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = "nextgpt-requirements.txt"  # in the environment, written last
BEGUN = "nextgpt-installing"  # there while pip works: found at a start, it tells of an interrupted install
OLDEST = (3, 10)


def main(arguments: list[str]) -> int:
    """Prepare, then run `python -m app.cli` with the same arguments; returns its exit status."""
    if sys.version_info < OLDEST:
        found = ".".join(str(part) for part in sys.version_info[:3])
        print(f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed and this is {found}; start it with a newer one: python3.12 launch.py")
        return 2
    files = requirement_files(arguments)
    try:
        python = sys.executable if satisfied(files) else str(prepared(files))
    except InstallFailed as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    command = [python, "-m", "app.cli", *arguments]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "NEXTGPT_LAUNCHED": "1"}
    if os.name == "posix":
        sys.stdout.flush()
        os.execve(python, command, environment)
    return subprocess.call(command, env=environment)


class InstallFailed(Exception):
    """The environment could not be prepared; the message says what to do."""


def requirement_files(arguments: list[str]) -> list[Path]:
    """What a command needs: all of them the requirements; `test`, `train` and `eval` more on top."""
    more = {"test": "requirements-dev.txt", "train": "requirements-train.txt", "eval": "requirements-train.txt"}
    extra = more.get(arguments[0] if arguments else "chat")
    names = ["requirements.txt"] + ([extra] if extra and (ROOT / extra).is_file() else [])
    return [ROOT / name for name in names]


def satisfied(files: list[Path]) -> bool:
    """True where the running interpreter already has what is asked for, or where the user forbids an environment of ours.

    That is so in a Space, in a container, and in an environment that the user prepared."""
    if os.environ.get("NEXTGPT_NO_VENV"):
        return True
    return all(installed(line) for file in files for line in requirement_lines(file))


def requirement_lines(file: Path) -> list[str]:
    """The requirements of a file and of those that it includes, comments and options left out."""
    lines = []
    for raw in file.read_text(encoding="utf-8").splitlines():
        line = raw.split(" #")[0].strip()
        if line.startswith("-r"):
            lines += requirement_lines(file.parent / line[2:].strip())
        elif line and not line.startswith(("#", "-")):
            lines.append(line)
    return lines


def installed(requirement: str) -> bool:
    """True where "name==version" (a marker may follow) is installed in exactly this version."""
    wanted, _, marker = requirement.partition(";")
    if marker.strip() and not marker_holds(marker):
        return True
    name, _, version = (part.strip() for part in wanted.partition("=="))
    try:
        found = metadata.version(name.split("[")[0].strip())
    except metadata.PackageNotFoundError:
        return False
    return not version or found.split("+")[0] == version.split("+")[0]


def marker_holds(marker: str) -> bool:
    """The few environment markers that our files use: python_version and sys_platform compared with a constant."""
    left, sign, right = marker.split()[:3]
    constant = right.strip("\"'")
    if left == "sys_platform":
        return (sys.platform == constant) == (sign == "==")
    if left == "python_version":
        here, there = sys.version_info[:2], tuple(int(part) for part in constant.split("."))
        return {"<": here < there, "<=": here <= there, ">": here > there, ">=": here >= there, "==": here == there}[sign]
    return True


def prepared(files: list[Path]) -> Path:
    """The interpreter of .venv, with everything installed. Nothing is asked of pip when the stamp says it is complete."""
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted, done = fingerprints(files), read_stamp() if python.exists() else {}
    if all(done.get(name) == value for name, value in wanted.items()):
        return python
    begun = VENV / BEGUN
    if begun.exists():  # pip was cut off: what it left may be half a package, which pip itself would not notice
        print("The last installation was interrupted; starting it anew (what was downloaded is used again).", flush=True)
    if begun.exists() or not python.exists() or not works(python):
        print(f"Making an environment in {VENV} (a few minutes and about 2 GB, once).", flush=True)
        run(
            [sys.executable, "-m", "venv", "--clear", str(VENV)],
            "The environment could not be made; on Debian, `apt install python3-venv` helps.",
        )
        done = {}
    begun.touch()
    print("Installing " + ", ".join(file.name for file in files) + "…", flush=True)
    arguments = [part for file in files for part in ("-r", str(file))]
    run(
        [str(python), "-m", "pip", "install", "--disable-pip-version-check", *arguments],
        "The packages could not be installed (the reason is above). Check the connection and the space on the disk, and start again.",
    )
    begun.unlink()
    (VENV / STAMP).write_text("\n".join(f"{name} {value}" for name, value in {**done, **wanted}.items()), encoding="utf-8")
    print("The environment is ready.", flush=True)
    return python


def fingerprints(files: list[Path]) -> dict[str, str]:
    """A hash per file, its includes and the interpreter's version counted in: what changed is installed anew."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return {file.name: hashlib.sha256("\n".join([version, *requirement_lines(file)]).encode()).hexdigest() for file in files}


def read_stamp() -> dict[str, str]:
    """File name -> fingerprint of what .venv holds; empty where that is not known."""
    try:
        lines = (VENV / STAMP).read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {name: value for name, _, value in (line.partition(" ") for line in lines)}


def works(python: Path) -> bool:
    """False for an environment whose interpreter or pip was left half made."""
    return subprocess.call([str(python), "-m", "pip", "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0


def run(command: list[str], complaint: str) -> None:
    """Run with the output shown. Raises InstallFailed."""
    try:
        if subprocess.call(command) == 0:
            return
    except OSError as error:
        raise InstallFailed(f"{complaint} ({error})") from error
    raise InstallFailed(complaint)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
