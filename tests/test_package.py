"""`pip install .`: the core alone, with its types and its requirements, and the weights where the clone is."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.test_requirements import imported, normal

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("nextgpt_core", "app", "recipes", "pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE")

pytestmark = pytest.mark.slow  # pip builds and installs: about ten seconds


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what concerns pip, because a build leaves traces in the folder that it is made from."""
    pytest.importorskip("setuptools", minversion="77")
    folder = tmp_path_factory.mktemp("home") / "a clone"
    folder.mkdir()
    for name in (*COPIED, *(path.name for path in ROOT.glob("requirements*.txt"))):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    (folder / "checkpoints" / "nano").mkdir(parents=True)
    shutil.copy(ROOT / "checkpoints" / "nano" / "preset.json", folder / "checkpoints" / "nano")
    return folder


@pytest.fixture(scope="module")
def site(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip installed that clone, without a network."""
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(folder),
        str(clone),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def elsewhere(site: Path, folder: Path, code: str, **environment: str) -> str:
    """What a program prints that runs in another folder and finds the package in `site`."""
    inherited = {name: value for name, value in os.environ.items() if name != "NEXTGPT_CHECKPOINTS"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env={**inherited, "PYTHONPATH": str(site), **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def installed(site: Path) -> Distribution:
    return next(iter(distributions(name="nextgpt-chat", path=[str(site)])))


def test_the_whole_core_is_installed_with_its_types_and_nothing_beside_it(site: Path) -> None:
    assert (installed(site).read_text("top_level.txt") or "").split() == ["nextgpt_core"]
    assert {path.name for path in site.iterdir() if path.suffix != ".dist-info"} == {"nextgpt_core"}
    wanted = {path.relative_to(ROOT) for path in (ROOT / "nextgpt_core").rglob("*") if path.suffix in (".py", ".typed")}
    assert {path.relative_to(site) for path in site.rglob("*") if path.suffix in (".py", ".typed")} == wanted


def test_it_works_from_another_folder_and_finds_nano_in_the_clone(site: Path, clone: Path, tmp_path: Path) -> None:
    code = """
import nextgpt_core
from nextgpt_core import Engine, Media, Message, TurnSettings
from nextgpt_core.config import load_preset
print(nextgpt_core.__file__, load_preset("nano").folder, sep="\\n")
"""
    package, preset = elsewhere(site, tmp_path, code).splitlines()
    assert Path(package).parent == site / "nextgpt_core"
    assert Path(preset) == clone / "checkpoints" / "nano"


def test_another_place_for_the_weights_can_be_named(site: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "mine").mkdir(parents=True)
    shutil.copy(ROOT / "checkpoints" / "nano" / "preset.json", tmp_path / "elsewhere" / "mine")
    code = "from nextgpt_core.config import load_preset; print(load_preset('mine').folder)"
    assert elsewhere(site, tmp_path, code, NEXTGPT_CHECKPOINTS=str(tmp_path / "elsewhere")) == str(tmp_path / "elsewhere" / "mine")


def test_without_a_clone_it_says_what_to_name(site: Path, tmp_path: Path) -> None:
    """As from a wheel, of which pip does not write down a folder."""
    shutil.copytree(site, tmp_path / "site")
    next((tmp_path / "site").glob("*.dist-info/direct_url.json")).unlink()
    code = """
from nextgpt_core import NextGPTError
from nextgpt_core.config import load_preset
try:
    load_preset("nano")
except NextGPTError as error:
    print(error)
"""
    said = elsewhere(tmp_path / "site", tmp_path, code)
    assert said.startswith("There is no preset 'nano'") and "NEXTGPT_CHECKPOINTS" in said


def test_it_requires_what_the_core_imports_in_the_versions_of_the_one_list(site: Path) -> None:
    required = {Requirement(line) for line in installed(site).requires or () if "extra ==" not in line}
    assert {normal(one.name) for one in required} == imported((ROOT / "nextgpt_core").rglob("*.py")).keys()
    listed = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert all(any(str(version) in listed for version in one.specifier) for one in required)
