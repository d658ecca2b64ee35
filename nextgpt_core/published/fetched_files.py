"""What is known of the files in a folder of weights: fetched.json has their sizes and SHA-256, since they are looked at closely once."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RECORD_FILE = "fetched.json"


def read_record(folder: Path) -> dict[str, Any]:
    """Where a folder's files come from: {"commit": …, "complete": true, "files": {path: {"bytes": …, "sha256": …}}, …}, or {}."""
    try:
        return json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}


def write_record(folder: Path, facts: Mapping[str, Any], files: Mapping[str, Any]) -> None:
    """Write a folder's record through a temporary file. Raises OSError."""
    partial = folder / f"{RECORD_FILE}.partial"
    partial.write_text(json.dumps({**facts, "files": files}, indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / RECORD_FILE)


def wrong_sizes(folder: Path) -> list[str]:
    """The files on a folder's record that are absent, or not as long as it says. Quick: hashes are left to `launch.py check`."""
    files = read_record(folder).get("files", {})
    return [name for name, one in files.items() if not (folder / name).is_file() or (folder / name).stat().st_size != one["bytes"]]
