"""Cases of routing: conversations, and which media the next answer is to hold."""

import json
from dataclasses import dataclass
from pathlib import Path

from nextgpt_core.messages import Media, Message
from nextgpt_core.train.dialogues import Dialogue
from recipes.nano.dialogues.builder import build_with_kinds
from recipes.nano.world.scenes import MediaSource, scene_named

DATA = Path(__file__).parent / "data"
CASES_OF_OTHERS = (DATA / "routing_cases.jsonl", DATA / "routing_cases_second.jsonl")  # one an author


@dataclass(frozen=True)
class RoutingCase:
    """A conversation up to the user's last message, and exactly which media the answer is to hold."""

    messages: Dialogue
    wished: frozenset[str]
    kind: str


def heldout_routing_cases(seed: int, n: int, *, source: MediaSource | None = None) -> list[RoutingCase]:
    """`n` conversations in unseen phrasings, with the set of modalities that the next answer should hold (empty: words only)."""
    cases = []
    for dialogue, kind in build_with_kinds(n, seed=seed, source=source, held_out=True):
        cases.append(RoutingCase(dialogue[:-1], frozenset(m.modality for m in dialogue[-1].media), kind))
    return cases


def others_routing_cases(path: Path) -> list[RoutingCase]:
    """Conversations by an author who saw none of the phrasings, only the world's names (a file of CASES_OF_OTHERS); same question as above.

    A line of the file: {"turns": [{"user": text, "sent": [[modality, caption]]} or {"nano": text, "made": [...]}], "wished", "kind"}.
    """
    cases = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        messages = []
        for turn in row["turns"]:
            sent = [Media(kind, Path(f"sent.{kind}"), {"scene": scene_named(kind, said)}) for kind, said in turn.get("sent", ())]
            made = [Media(kind, Path(f"made.{kind}"), {"caption": said}) for kind, said in turn.get("made", ())]
            parts = (*sent, turn["user"]) if "user" in turn else (turn["nano"], *made)
            messages.append(Message("user" if "user" in turn else "assistant", tuple(part for part in parts if part)))
        cases.append(RoutingCase(messages, frozenset(row["wished"]), row["kind"]))
    return cases
