"""requirements.txt names what the program imports itself, and nothing else."""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
OURS = {"app", "nextgpt_core", "recipes", "app_space", "launch"}
OPTIONAL = {"spaces", "bitsandbytes"}  # there in a Space; for the published preset on a GPU (requirements-7b.txt)
FOR_ITS_FILES = {"scikit-image"}  # photographs inside the package; nothing of its code is imported
TRAINING = [folder for folder in (ROOT / "nextgpt_core" / "train", ROOT / "recipes") if folder.is_dir()]


def imported(files: Iterable[Path]) -> dict[str, Path]:
    """Distribution -> a file that imports it, of all that is neither Python's nor ours nor optional. Imports inside functions count."""
    belongs, found = packages_distributions(), {}
    for file in files:
        for name in modules(ast.parse(file.read_text(encoding="utf-8"))):
            if name not in {*sys.stdlib_module_names, *OURS, *OPTIONAL}:
                found[normal(belongs.get(name, [name])[0])] = file
    return found


def modules(tree: ast.Module) -> Iterator[str]:
    """The first part of each imported module's name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def named(file: str) -> set[str]:
    """The distributions of a requirements file, its includes left out. A line that is no requirement raises."""
    lines = [re.split(r"(?:^|\s)#", line)[0].strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines()]
    return {normal(Requirement(line).name) for line in lines if line and not line.startswith("-r")}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def in_training(file: Path) -> bool:
    return any(file.is_relative_to(folder) for folder in TRAINING)


def test_what_is_imported_is_named_and_what_is_named_is_imported() -> None:
    files = [*(ROOT / "app").rglob("*.py"), *(ROOT / "nextgpt_core").rglob("*.py"), ROOT / "app_space.py"]
    found = imported(file for file in files if not in_training(file))
    assert len(found) > 10
    missing = {name: str(file) for name, file in found.items() if name not in named("requirements.txt")}
    assert not missing, "imported, and missing from requirements.txt"
    assert named("requirements.txt") <= found.keys(), "in requirements.txt, and imported nowhere"


def test_what_training_imports_is_named_as_well() -> None:
    found = imported(file for folder in TRAINING for file in folder.rglob("*.py"))
    more = named("requirements-train.txt")
    missing = {name: str(file) for name, file in found.items() if name not in named("requirements.txt") | more}
    assert not missing, "imported, and missing from requirements-train.txt"
    assert more - FOR_ITS_FILES <= found.keys(), "in requirements-train.txt, and imported nowhere"


def test_no_file_names_a_package_twice() -> None:
    for file in ("requirements-train.txt", "requirements-7b.txt"):
        assert not named(file) & named("requirements.txt"), file
