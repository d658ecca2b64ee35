"""The builder of nano's instruction-tuning set (modality-switching instructions, paper section 5): dialogues of one to four turns.

A dialogue is a list of ordinary messages, as the engine sees them. The media in them are not files yet: `Media.info` holds the scene
(scenes.py) and its caption; what the user sends comes from a `MediaSource`, which may be the pool of encoded training items
(`info["pool"]` is the row) or scenes to be rendered (evaluation). The caption of a medium the assistant makes is the target of the output
projection. openings.py and later_turns.py hold what can happen in a turn.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nextgpt_core.messages import Media, Message
from nextgpt_core.train.nano import phrases
from nextgpt_core.train.nano.later_turns import change, revise
from nextgpt_core.train.nano.openings import (
    OPENINGS,
    ask,
    implicit,
    mention,
    named,
    plain_chat,
    send_and_wish,
    shares,
    small_talk,
    wish,
    words,
)
from nextgpt_core.train.nano.scenes import MODALITIES, MediaSource, RenderedScenes, scene_named
from nextgpt_core.train.nano.talk import Dialogue, Talk, agreeing

OTHERS_CASES = tuple(Path(__file__).with_name(name) for name in ("routing_cases.jsonl", "routing_cases_second.jsonl"))  # one an author
TURNS = (0.5, 0.28, 0.14, 0.08)  # share of dialogues with one, two, three, four turns


@dataclass(frozen=True)
class RoutingCase:
    """A conversation up to the user's last message, and exactly which media the answer is to hold."""

    messages: Dialogue
    wished: frozenset[str]
    kind: str


def build_dialogues(
    count: int,
    *,
    seed: int,
    source: MediaSource | None = None,
    held_out: bool = False,
    only: Sequence[str] = (),
    longest: int = 4,
) -> list[Dialogue]:
    """`count` dialogues of up to `longest` turns. `held_out` uses only the phrasings that training never sees (where a list has any);
    `only` limits how they open (keys of OPENINGS)."""
    return [dialogue for dialogue, _ in _build(count, seed=seed, source=source, held_out=held_out, only=only, longest=longest)]


def build_questions(count: int, *, seed: int, source: MediaSource) -> list[Dialogue]:
    """Only "what is it?" and its name: of a picture half of the time, of a film (motion and all) a third, else of a sound."""
    built = []
    for i in range(count):
        talk = Talk(np.random.default_rng([seed, i]), source, held_out=False)
        modality = ("image", "audio", "image", "video", "image", "video")[i % 6]
        media = talk.send(modality)
        talk.user(talk.frame("question", modality), media, chatty=False)
        assert talk.scene is not None
        talk.say(named(talk, talk.scene))
        built.append(talk.messages)
    return built


def build_second_turns(count: int, *, seed: int, source: MediaSource) -> list[Dialogue]:
    """Two turns. The second is about the first (again, another, a correction, a change: what "what about a cat?" wants depends on it) or is
    not: thanks, a refusal, a remark."""
    built = []
    for i in range(count):
        talk = Talk(np.random.default_rng([seed, i]), source, held_out=False)
        talk.pick((wish, wish, wish, implicit, send_and_wish, ask))(talk)
        if talk.chance(0.35):
            talk.pick((small_talk, small_talk, small_talk, plain_chat, words, mention))(talk)
        elif talk.made and talk.chance(0.65):
            revise(talk)
        else:
            change(talk)
        built.append(talk.messages)
    return built


def build_statements(count: int, *, seed: int) -> list[Dialogue]:
    """Only the assistant's side: a sentence that names a medium, and the medium. Cheap, and all that the output projections need."""
    built = []
    for i in range(count):
        talk = Talk(np.random.default_rng([seed, i]), RenderedScenes(), held_out=False)
        talk.answer(talk.wish(MODALITIES[i % len(MODALITIES)]))
        built.append(talk.messages)
    return built


def statement(modality: str, said: str, *, seed: int) -> Dialogue:
    """The same for one caption."""
    sentences = phrases.MADE[modality]
    sentence = agreeing(sentences[seed % len(sentences)].format(x=said))
    return [Message("assistant", (sentence, Media(modality, Path(f"made.{modality}"), {"caption": said})))]


def heldout_routing_cases(seed: int, n: int, *, source: MediaSource | None = None) -> list[RoutingCase]:
    """`n` conversations in unseen phrasings, with the set of modalities that the next answer should hold (empty: words only)."""
    cases = []
    for dialogue, kind in _build(n, seed=seed, source=source, held_out=True):
        cases.append(RoutingCase(dialogue[:-1], frozenset(m.modality for m in dialogue[-1].media), kind))
    return cases


def others_routing_cases(path: Path) -> list[RoutingCase]:
    """Conversations by an author who saw none of the phrasings, only the world's names (a file of OTHERS_CASES); same question as above.

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


def _build(
    count: int, *, seed: int, source: MediaSource | None, held_out: bool, only: Sequence[str] = (), longest: int = 4
) -> list[tuple[Dialogue, str]]:
    source = source or RenderedScenes()
    openings = {kind: OPENINGS[kind] for kind in only or OPENINGS}
    built = []
    for i in range(count):
        rng = np.random.default_rng([seed, i, int(held_out)])
        talk = Talk(rng, source, held_out)
        kind = str(rng.choice(list(openings), p=shares(openings)))
        openings[kind][0](talk)
        for _ in range(min(int(rng.choice(4, p=TURNS)), longest - 1)):
            kind = _go_on(talk)
        built.append((talk.messages, kind))
    return built


def _go_on(talk: Talk) -> str:
    if talk.scene is None or talk.chance(0.12):
        kind = str(talk.rng.choice(list(OPENINGS), p=shares(OPENINGS)))
        OPENINGS[kind][0](talk)
        return kind
    if talk.chance(0.12):
        small_talk(talk)
        return "small talk"
    if talk.made and talk.chance(0.5):
        return revise(talk)
    change(talk)
    return "change"
