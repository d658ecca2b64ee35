"""Fetching the published weights that a preset names in its sources.json: shown first, resumed where it stopped, verified at the end.

A source whose revision is a commit stays at it. One that names a branch is pinned by the first fetch: fetched.json remembers the commit.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError, of whichever client the library uses
    GatedRepoError,
    HTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # public, by a lazy import

from nextgpt_core.checkpoints import MANIFEST_FILE, read_manifest, sha256, verify_manifest, writing
from nextgpt_core.config import Preset, load_preset
from nextgpt_core.errors import CheckpointError, CheckpointMismatch, CheckpointMissing, ConfigError, HubUnreachable
from nextgpt_core.published.convert import convert
from nextgpt_core.published.fetched_files import RECORD_FILE, read_record, write_record, wrong_sizes
from nextgpt_core.published.vicuna import add_delta

SOURCES_FILE = "sources.json"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Files of one repository on a hub that speaks Hugging Face's protocol, and the folder they go to."""

    name: str  # also the folder
    repo: str
    revision: str
    licence: str
    files: tuple[str, ...]  # patterns
    optional: tuple[str, ...] = ()
    then: tuple[tuple[str, str], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class RemoteFile:
    """One file as the hub describes it."""

    path: str
    size: int
    sha256: str | None  # known for large files


@dataclass(frozen=True)
class Order:
    """What is to be fetched of one source."""

    source: Source
    commit: str
    files: tuple[RemoteFile, ...]
    missing: tuple[RemoteFile, ...]  # of them: not here yet, or not whole

    def line(self) -> str:
        size = sum(file.size for file in self.files)
        left = sum(file.size for file in self.missing)
        state = "present" if not self.missing else f"{left / 1e9:.2f} GB to fetch"
        note = f" ({self.source.note})" if self.source.note else ""
        where = f"{self.source.repo}@{self.commit[:8]}"
        return f"{self.source.name:<24} {size / 1e9:>7.2f} GB  {state:<18} {where}  {self.source.licence}{note}"


def fetch(preset: str | Preset, *, only: Collection[str] = (), endpoint: str | None = None, say: Any = lambda line: None) -> list[Order]:
    """Fetch everything a preset needs (or the sources named in `only`) into its folder, and make its parts of it.

    `say` gets each line of what will be fetched, before it is. `endpoint` (or HF_ENDPOINT) names a mirror. Files that are there and whole
    are skipped, and so is what only serves to make a part that is; an interrupted fetch goes on where it stopped. Raises CheckpointError
    with what to do.
    """
    found = load_preset(preset) if isinstance(preset, str) else preset
    known = read_sources(found)
    spared = set() if only else _spared(found, known)
    sources = [source for source in known if (not only or source.name in only) and source.name not in spared]
    if unknown := sorted(set(only) - {source.name for source in known}):
        raise ConfigError(f"{found.name} has no source called {', '.join(unknown)}; see {found.folder / SOURCES_FILE}.")
    endpoint = endpoint or os.environ.get("HF_ENDPOINT")
    orders = [_order(found.folder, source, endpoint, say) for source in sources]
    for order in orders:
        say(order.line())
    if spared:
        say(f"{', '.join(sorted(spared))}: not needed any more, what is made of them is there and whole.")
    loaded, made = _bytes_to_load(found.folder, orders), _bytes_to_make(found, orders)
    if loaded:
        say(f"{loaded / 1e9:.2f} GB will be written to {found.folder}; what is interrupted goes on when this is run again.")
    if made:
        say(f"{made / 1e9:.2f} GB more will be made of it there.")
    _refuse_full_disk(found.folder, loaded + made)
    for order in orders:
        _get(found.folder / order.source.name, order, endpoint)
    for order in orders:
        _finish(found, order.source)
    return orders


def read_sources(preset: Preset) -> list[Source]:
    """A preset's sources.json; empty where everything is bundled. Raises ConfigError."""
    path = preset.folder / SOURCES_FILE
    if not path.is_file():
        return []
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        return [
            Source(name=name, **{**one, **{key: tuple(one[key]) for key in ("files", "optional") if key in one}, "then": _then(one)})
            for name, one in listed.items()
        ]
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} cannot be understood ({error}).") from error


def _then(one: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(one.get("then", {}).items()))


def _order(root: Path, source: Source, endpoint: str | None, say: Any) -> Order:
    record = read_record(root / source.name)
    pinned = record.get("commit") if source.revision == "main" else source.revision
    try:
        with _clear_errors(source, endpoint, revision=pinned or source.revision):
            info = HfApi(endpoint=endpoint).model_info(source.repo, revision=pinned or source.revision, files_metadata=True)
    except HubUnreachable as error:
        if (order := _order_on_record(root / source.name, source, record)) is None:
            raise
        say(f"{source.name}: {error} Everything is there, as it was fetched, and is used.")
        return order
    files = []
    for sibling in info.siblings or []:
        if any(fnmatch(sibling.rfilename, pattern) for pattern in source.files):
            files.append(RemoteFile(sibling.rfilename, sibling.size or 0, sibling.lfs.sha256 if sibling.lfs else None))
    for pattern in source.files:
        if pattern not in source.optional and not any(fnmatch(file.path, pattern) for file in files):
            raise CheckpointMissing(f"{source.repo} has no {pattern} at {pinned or source.revision}; the repository has changed.")
    missing = tuple(file for file in files if not _whole(root / source.name, file, record))
    return Order(source, info.sha or pinned or source.revision, tuple(files), missing)


def _order_on_record(folder: Path, source: Source, record: dict[str, Any]) -> Order | None:
    """What an earlier fetch got of a source, where that was everything and is still there."""
    commit = record.get("commit", "")
    files = tuple(RemoteFile(path, one["bytes"], one["sha256"]) for path, one in record.get("files", {}).items())
    complete = record.get("complete", False) and source.revision in ("main", commit)
    return Order(source, commit, files, ()) if complete and all(_whole(folder, file, record) for file in files) else None


def _whole(folder: Path, file: RemoteFile, record: dict[str, Any]) -> bool:
    """A file is only looked at closely once: its hash is in the record then."""
    path = folder / file.path
    known = record.get("files", {}).get(file.path)
    return path.is_file() and path.stat().st_size == file.size and known is not None and file.sha256 in (None, known["sha256"])


def _get(folder: Path, order: Order, endpoint: str | None) -> None:
    record = read_record(folder)
    files: dict[str, Any] = {file.path: record["files"][file.path] for file in order.files if file not in order.missing}
    for file in order.missing:
        path = folder / file.path
        if not path.is_file() or file.sha256 != sha256(path):  # another's copy that is whole may stay
            path.unlink(missing_ok=True)
            with _clear_errors(order.source, endpoint, revision=order.commit):
                _transfer(path, file, order, endpoint)
        files[file.path] = {"bytes": file.size, "sha256": sha256(path)}
        _remember(folder, order, files)  # after every file: an interruption loses nothing
    known = read_record(folder)
    if not known.get("complete") or known.get("commit") != order.commit:  # the same files may be asked for at another commit
        _remember(folder, order, files, complete=True)


def _transfer(path: Path, file: RemoteFile, order: Order, endpoint: str | None) -> None:
    """One file into its place, going on with what an earlier run left in PATH.partial. Raises CheckpointMismatch for a damaged one.

    The library's own hf_hub_download begins again after an interruption: it loads into a file with a name of its own for each attempt.
    """
    partial = partial_of(path)
    partial.parent.mkdir(parents=True, exist_ok=True)
    if file.sha256 is None or begun_bytes(path) > file.size:  # without a hash nothing tells whether two halves belong together
        partial.unlink(missing_ok=True)
    url = hf_hub_url(order.source.repo, file.path, revision=order.commit, endpoint=endpoint)
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}  # a compressed answer cannot be resumed
    with partial.open("ab") as out:
        http_get(url, out, resume_size=out.tell(), headers=headers, expected_size=file.size, displayed_filename=file.path)
    if partial.stat().st_size != file.size or file.sha256 not in (None, sha256(partial)):
        partial.unlink()
        raise CheckpointMismatch(f"{file.path} of {order.source.repo} arrived damaged and was removed; fetch again.")
    partial.replace(path)


def partial_of(path: Path) -> Path:
    """Where a file's bytes are while it is fetched."""
    return path.with_name(f"{path.name}.partial")


def begun_bytes(path: Path) -> int:
    """How much of a file an interrupted fetch has left."""
    return partial_of(path).stat().st_size if partial_of(path).is_file() else 0


def _remember(folder: Path, order: Order, files: dict[str, Any], *, complete: bool = False) -> None:
    facts = {"repo": order.source.repo, "commit": order.commit, "licence": order.source.licence, "complete": complete}
    with writing(folder / RECORD_FILE):
        write_record(folder, facts, files)


def _finish(preset: Preset, source: Source) -> None:
    """What has to be made of fetched files: the language model of its difference to LLaMA, the parts of the published file."""
    then = dict(source.then)
    if "convert" in then and not _converted(preset, source):
        convert(preset.folder / source.name / then["convert"], preset)
    if "makes" in then and not _made(out := preset.folder / then["makes"]):
        if read_record(out):
            shutil.rmtree(out)
        add_delta(preset.folder / then["add_to"], preset.folder / source.name, out)


def _made(out: Path) -> bool:
    """True for a sum that is whole by its record; one without a record is somebody's own, and is left alone."""
    return (out / "config.json").is_file() and not wrong_sizes(out)


def _converted(preset: Preset, source: Source) -> bool:
    published = read_record(preset.folder / source.name).get("files", {}).get(dict(source.then)["convert"])
    if published is None or not (preset.folder / MANIFEST_FILE).is_file():
        return False
    return read_manifest(preset.folder)["source"]["sha256"] == published["sha256"] and not verify_manifest(preset.folder)


def _spared(preset: Preset, sources: Sequence[Source]) -> set[str]:
    """Sources that only serve to make a part which is there and whole by its record."""
    spared: set[str] = set()
    for source in sources:
        then = dict(source.then)
        if "makes" in then and read_record(out := preset.folder / then["makes"]) and _made(out):
            spared |= {source.name, then["add_to"]}
    return spared


def _bytes_to_load(root: Path, orders: Sequence[Order]) -> int:
    """What is still to come, without what an interrupted fetch has left."""
    return sum(max(0, file.size - begun_bytes(root / order.source.name / file.path)) for order in orders for file in order.missing)


def _bytes_to_make(preset: Preset, orders: Sequence[Order]) -> int:
    """What `_finish` will write: the published file's tensors once more, and a sum as large as the base."""
    sizes = {order.source.name: {file.path: file.size for file in order.files} for order in orders}
    made = 0
    for order in orders:
        then = dict(order.source.then)
        if "convert" in then and not _converted(preset, order.source):
            made += sizes[order.source.name].get(then["convert"], 0)
        if "makes" in then and not _made(preset.folder / then["makes"]):
            made += sum(sizes.get(then["add_to"], {}).values())
    return made


@contextmanager
def _clear_errors(source: Source, endpoint: str | None, *, revision: str) -> Iterator[None]:
    host = endpoint or "https://huggingface.co"
    try:
        yield
    except GatedRepoError as error:
        raise CheckpointError(f"{source.repo} asks for consent: accept its terms on {host}, then set HF_TOKEN and fetch again.") from error
    except RevisionNotFoundError as error:
        pinned = f"; remove {source.name}/{RECORD_FILE} to take what is there now" if source.revision == "main" != revision else ""
        raise CheckpointMissing(f"{source.repo} has no revision {revision} any more; correct it in {SOURCES_FILE}{pinned}.") from error
    except RepositoryNotFoundError as error:
        raise CheckpointMissing(f"{source.repo} is not on {host}, or not for you; name another source in {SOURCES_FILE}.") from error
    except (HTTPError, LocalEntryNotFoundError, ConnectionError, TimeoutError) as error:
        raise HubUnreachable(f"{host} could not be reached ({error}); check the network, or name a mirror in HF_ENDPOINT.") from error
    except OSError as error:
        raise CheckpointError(f"{source.name} could not be written ({error}); make room and fetch again.") from error


def _refuse_full_disk(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed * 1.02 > free:
        raise CheckpointError(f"{needed / 1e9:.1f} GB are needed in {folder} and {free / 1e9:.1f} GB are free; make room and fetch again.")


def main(arguments: Sequence[str]) -> int:
    """launch.py fetch PRESET [--only SOURCE …]"""
    parser = argparse.ArgumentParser(
        prog="launch.py fetch",
        description="Fetch the published weights of a preset. Sizes and licences are shown first; what is there is verified and skipped.",
    )
    parser.add_argument("preset", nargs="?", default="7b", help="7b or a folder (default: %(default)s)")
    names = ", ".join(source.name for source in read_sources(load_preset("7b")))
    parser.add_argument("--only", nargs="+", default=[], metavar="SOURCE", help=f"some of its sources.json (of 7b: {names})")
    parser.add_argument("--endpoint", help="a mirror (default: HF_ENDPOINT, or the hub itself)")
    options = parser.parse_args(arguments)
    orders = fetch(
        options.preset, only=options.only, endpoint=options.endpoint, say=lambda line: sys.stdout.write(line + "\n") and sys.stdout.flush()
    )
    sys.stdout.write("Everything is there.\n" if orders else f"{options.preset} needs nothing from elsewhere.\n")
    return 0
