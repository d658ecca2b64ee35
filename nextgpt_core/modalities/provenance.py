"""What a made file says of itself: a short JSON text in its metadata."""

import json
from typing import Any

KEY = "nextgpt"  # the name of our text field where a format has named ones
MAX_CHARACTERS = 2**16
MAX_DEPTH = 8


def encode_provenance(provenance: dict[str, Any]) -> str:
    """Provenance as the text that goes into a file. It always says that what is in it is machine-made."""
    return json.dumps({"ai_generated": True, **provenance}, ensure_ascii=True, sort_keys=True, default=str)


def decode_provenance(text: object) -> dict[str, Any] | None:
    """The inverse of `encode_provenance`; None for text that is not ours, or cannot be: anybody can write into a file."""
    if not isinstance(text, str) or len(text) > MAX_CHARACTERS:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    ours = isinstance(value, dict) and value.get("ai_generated") is True and _depth_within(value, MAX_DEPTH)
    return value if ours else None


def _depth_within(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not inner or (levels > 0 and all(_depth_within(one, levels - 1) for one in inner))
