#!/usr/bin/env python3
"""Start here: `python3 launch.py` prepares the environment when it has to and opens the chat page.

Only the standard library is used until the environment is ready; then app.cli takes over in the right interpreter.
"""

import hashlib
import os
import re
import subprocess
import sys
from importlib import metadata
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = "nextgpt-requirements.txt"  # in the environment, written last
BEGUN = "nextgpt-installing"  # there while pip works: found at a start, it tells of an interrupted install
OLDEST = (3, 11)  # transformers and numpy ask for it


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
    """What a command needs: all of them the requirements; `test`, `train`, `eval` and `--preset 7b` more on top."""
    more = {"test": "requirements-dev.txt", "train": "requirements-train.txt", "eval": "requirements-train.txt"}
    names = ["requirements.txt", more.get(arguments[0] if arguments else "chat")]
    if Path(option(arguments, "--preset")).name == "7b":
        names.append("requirements-7b.txt")
    return [ROOT / name for name in names if name and (name == "requirements.txt" or (ROOT / name).is_file())]


def option(arguments: list[str], name: str) -> str:
    """The value of `--name VALUE` or `--name=VALUE`, the last one given; empty without."""
    values = [value for before, value in pairwise(arguments) if before == name]
    values += [one.partition("=")[2] for one in arguments if one.startswith(f"{name}=")]
    return values[-1] if values else ""


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
    """True where a requirement (name, versions, marker) is met by what is installed. What cannot be read is not met: pip will say."""
    wanted, _, marker = requirement.partition(";")
    if marker.strip() and not marker_holds(marker):
        return True
    parts = re.fullmatch(r"\s*([\w.-]+?)\s*(?:\[.*\])?\s*((?:[=<>!~].*)?)", wanted)
    if parts is None:
        return False
    try:
        found = metadata.version(parts[1])
    except metadata.PackageNotFoundError:
        return False
    return version_fits(found, parts[2])


def version_fits(found: str, wanted: str) -> bool:
    """True where a version meets every clause of a list such as ">=2.8,<=2.13.0", by Python's rules (PEP 440).

    "2.13.0+cpu" is a 2.13.0; the part after the plus counts only where a clause names one.
    """
    return all(clause_holds(found, clause.strip()) for clause in wanted.split(",") if clause.strip())


def clause_holds(found: str, clause: str) -> bool:
    """One of == != >= <= > < ~= and a version, which may end in .* after the first two."""
    parts = re.fullmatch(r"(==|!=|>=|<=|~=|>|<)\s*(\S+?)(\.\*)?", clause)
    here, there = version_key(found), version_key(parts[2]) if parts else None
    if parts is None or here is None or there is None:
        return False
    sign, constant, star = parts[1], parts[2], parts[3] is not None
    if sign in ("==", "!="):
        named = constant.partition("+")[2]
        same = series(found, constant) if star else here == there and named.lower() in ("", found.partition("+")[2].lower())
        return same == (sign == "==")
    if star:
        return False
    if sign == "~=":  # ~=2.8.1 means >=2.8.1 and ==2.8.*
        return here >= there and series(found, constant, but=1)
    if sign == "<":  # 2.8rc1 comes before 2.8 and yet does not count as <2.8
        final = there[2] == RELEASE and there[4] == float("inf")
        return here < ((*there[:2], RELEASE if there[3] != NEVER else (-1, 0), there[3], -1) if final else there)
    if sign == ">":  # nor does 2.8.post1 count as >2.8
        return here > there and not (here[:3] == there[:3] and here[3] != NEVER == there[3])
    return here >= there if sign == ">=" else here <= there


Key = tuple[int, tuple[int, ...], tuple[int, int], int, float]  # epoch, release, before a release, after it, development
RELEASE, NEVER = (3, 0), -1
VERSION = re.compile(
    r"v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[._-]?(alpha|a|beta|b|preview|pre|c|rc)[._-]?(\d*))?"
    r"(?:[._-]?(?:post|rev|r)[._-]?(\d*)|-(\d+))?(?:[._-]?(dev)[._-]?(\d*))?(?:\+[a-z0-9._-]+)?",
    re.IGNORECASE,
)


def version_key(version: str) -> Key | None:
    """A version as something that sorts, what follows a plus left out; None where it cannot be read."""
    parts = VERSION.fullmatch(version.strip())
    if parts is None:
        return None
    epoch, numbers, before, before_number, after, dash, development, development_number = parts.groups()
    release = [int(number) for number in numbers.split(".")]
    while len(release) > 1 and release[-1] == 0:
        release.pop()
    stage = RELEASE
    if before:
        stage = ({"a": 0, "b": 1}.get(before[0].lower(), 2), int(before_number or 0))
    elif development and after is None and dash is None:
        stage = (-1, 0)
    later = NEVER if after is None and dash is None else int(after or dash or 0)
    return int(epoch or 0), tuple(release), stage, later, int(development_number or 0) if development else float("inf")


def series(version: str, start: str, *, but: int = 0) -> bool:
    """True where a version's numbers begin with those of `start`, the last `but` of these left out: 2.8.1 is in 2.8."""
    here, there = VERSION.fullmatch(version.strip()), VERSION.fullmatch(start.strip())
    if here is None or there is None or int(here[1] or 0) != int(there[1] or 0):
        return False
    wanted = [int(number) for number in there[2].split(".")]
    wanted = wanted[: len(wanted) - but]
    numbers = [int(number) for number in here[2].split(".")] + [0] * len(wanted)
    return numbers[: len(wanted)] == wanted


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
