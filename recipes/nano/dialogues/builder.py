"""The builder of nano's instruction-tuning set (modality-switching instructions, paper section 5): dialogues of one to four turns.

A dialogue is a list of ordinary messages, as the engine sees them. The media in them are not files yet: `Media.info` holds the scene
(scenes.py) and its caption; what the user sends comes from a `MediaSource`, which may be the pool of encoded training items
(`info["pool"]` is the row) or scenes to be rendered (evaluation). The caption of a file the assistant makes is the target of the output
projection. openings.py and later_turns.py hold what can happen in a turn.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nextgpt_core.messages import Media, Message
from nextgpt_core.train.dialogues import Dialogue, agreeing
from recipes.nano.dialogues import phrases
from recipes.nano.dialogues.later_turns import change, revise
from recipes.nano.dialogues.openings import (
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
from recipes.nano.dialogues.talk import Talk
from recipes.nano.world.scenes import MODALITIES, MediaSource, RenderedScenes

TURNS = (0.5, 0.28, 0.14, 0.08)  # share of dialogues with one, two, three, four turns


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
    return [dialogue for dialogue, _ in build_with_kinds(count, seed=seed, source=source, held_out=held_out, only=only, longest=longest)]


def build_questions(count: int, *, seed: int, source: MediaSource) -> list[Dialogue]:
    """Only "what is it?" and its name: of a picture half of the time, of a video (motion and all) a third, else of a sound."""
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
    """Only the assistant's side: a sentence that names a file, and the file. Cheap, and all that the output projections need."""
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


def build_with_kinds(
    count: int, *, seed: int, source: MediaSource | None, held_out: bool, only: Sequence[str] = (), longest: int = 4
) -> list[tuple[Dialogue, str]]:
    """As `build_dialogues`, each with what happens in its last turn."""
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
