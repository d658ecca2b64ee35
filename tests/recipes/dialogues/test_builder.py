import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest

from nextgpt_core.messages import Message
from nextgpt_core.train.dialogues import Dialogue
from recipes.nano.dialogues import builder, chat, later_turns, openings, phrases
from recipes.nano.evaluation import routing
from recipes.nano.world import scenes
from recipes.nano.world.things import things


@pytest.fixture(autouse=True, scope="module")
def replies(tmp_path_factory: pytest.TempPathFactory):
    """A stand-in for what the base model wrote, so that the tests need no model."""
    path = tmp_path_factory.mktemp("chat") / "chat.jsonl"
    prompts = chat.chat_prompts() + [chat.description_prompt(thing) for thing in things()[::2]]
    path.write_text("".join(json.dumps({"prompt": prompt, "reply": f"Words about it, {i}."}) + "\n" for i, prompt in enumerate(prompts)))
    patch = pytest.MonkeyPatch()
    descriptions = chat.descriptions(path)
    pairs = {held_out: chat.chat_pairs(held_out=held_out, path=path) for held_out in (False, True)}
    patch.setattr(openings, "_descriptions", lambda: descriptions)
    patch.setattr(openings, "_chat_pairs", pairs.__getitem__)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def dialogues(replies: None) -> list[Dialogue]:
    return builder.build_dialogues(1500, seed=3)


def turns(dialogue: Dialogue) -> list[tuple[Message, Message]]:
    return list(zip(dialogue[::2], dialogue[1::2], strict=True))


def test_every_pair_of_modalities_is_there(dialogues: list[Dialogue]):
    kinds = ("text", "image", "audio", "video")
    seen = set()
    for dialogue in dialogues:
        for user, assistant in turns(dialogue):
            given = {media.modality for media in user.media} or {"text"}
            made = {media.modality for media in assistant.media} or {"text"}
            seen |= set(itertools.product(given, made))
    assert seen == set(itertools.product(kinds, kinds))


def test_dialogues_alternate_and_have_one_to_four_turns(dialogues: list[Dialogue]):
    assert {len(dialogue) for dialogue in dialogues} == {2, 4, 6, 8}
    for dialogue in dialogues:
        assert [message.role for message in dialogue] == ["user", "assistant"] * (len(dialogue) // 2)
        assert all(message.parts for message in dialogue)


def test_some_turns_hold_several_media(dialogues: list[Dialogue]):
    assert any(len(message.media) == 3 for dialogue in dialogues for message in dialogue if message.role == "assistant")
    assert any(len(message.media) == 2 for dialogue in dialogues for message in dialogue if message.role == "user")


def test_what_is_made_is_said(dialogues: list[Dialogue]):
    """The caption stands in the sentence before the file: there the signal tokens find it."""
    for dialogue in dialogues:
        for message in dialogue[1::2]:
            for text, media in zip(message.parts[::2], message.parts[1::2], strict=False):  # a text may follow the last file
                assert media.info["caption"] in text


def test_texts_are_clean_and_bounded(dialogues: list[Dialogue]):
    for text in (message.text for dialogue in dialogues for message in dialogue):
        assert not re.search(r"[\x00-\x1f{}|]|\[(IMG|VID|AUD)|<\|", text), text
        assert len(text) < 400


def test_wordings_are_varied(dialogues: list[Dialogue]):
    first = [dialogue[0].text for dialogue in dialogues if not dialogue[0].media]
    assert len(set(first)) > 0.75 * len(first)
    total = sum(len(phrases.frames("wish", modality, held_out=side)) for modality in scenes.MODALITIES for side in (False, True))
    assert total > 350


def test_the_same_seed_gives_the_same_dialogues():
    a, b = (builder.build_dialogues(20, seed=9) for _ in range(2))
    assert [[m.text for m in d] for d in a] == [[m.text for m in d] for d in b]


def test_held_out_phrasings_are_never_trained_on():
    for kind, key in phrases.sections():
        train, held = (set(phrases.frames(kind, key, held_out=side)) for side in (False, True))
        assert train and not train & held
    assert not set(phrases.longings(held_out=False)) & set(phrases.longings(held_out=True))
    for modality in scenes.MODALITIES:
        assert len(phrases.frames("wish", modality, held_out=True)) >= 10
    assert not {p for p, _ in openings._chat_pairs(False)} & {p for p, _ in openings._chat_pairs(True)}


def test_routing_cases_end_with_the_user_and_cover_all_wishes():
    cases = routing.heldout_routing_cases(1, 300)
    assert all(case.messages[-1].role == "user" for case in cases)
    assert {frozenset(), *(frozenset({m}) for m in scenes.MODALITIES)} < {case.wished for case in cases}
    assert any(len(case.wished) == 2 for case in cases)


def test_references_carry_what_was_there():
    dog = next(thing for thing in things() if thing.name == "dog")
    scene = scenes.PictureScene(dog, count=2, background="blue")
    changes = later_turns._changes(scene)

    class Talk:
        rng = np.random.default_rng(0)
        pick = staticmethod(lambda items: items[0])
        frame = staticmethod(lambda kind, key="": phrases.frames(kind, key, held_out=False)[0])

    assert scenes.caption(changes["colour"](Talk)[1]) == "two red dogs on a blue background"
    assert scenes.caption(changes["motion"](Talk)[1]) == "a dog moving to the left on a blue background"
    assert scenes.caption(changes["to_audio"](Talk)[1]) == "a dog barking"


def test_longings_name_things_of_the_world():
    for _, modality, said in (*phrases.longings(held_out=False), *phrases.longings(held_out=True)):
        assert scenes.caption(scenes.scene_named(modality, said)) == said


def test_base_replies_are_split_by_prompt(tmp_path: Path):
    assert sum(map(chat.is_held_out, chat.chat_prompts())) > 50
    assert chat._whole_sentences("One. Two! And thr") == "One. Two!"
    assert chat._whole_sentences("no end at all") == ""


@pytest.mark.parametrize("path", routing.CASES_OF_OTHERS, ids=lambda path: path.stem)
def test_cases_of_others_are_conversations_of_this_world(path: Path):
    cases = routing.others_routing_cases(path)
    assert len(cases) == 300 and {case.kind for case in cases} >= {"wish", "several", "chat", "ask"}
    phrasings = {frame.lower() for kind, key in phrases.sections() for frame in phrases.frames(kind, key, held_out=False)}
    for case in cases:
        assert case.messages[-1].role == "user" and case.wished <= set(scenes.MODALITIES)
        for media in (media for message in case.messages if message.role == "user" for media in message.media):
            assert scenes.modality_of(media.info["scene"]) == media.modality
    assert sum(case.messages[-1].text.lower().rstrip(".!?") in phrasings for case in cases) < 25  # "hi" and "what is this" will be in any


def test_three_wishes_in_one_message_are_all_granted():
    built = builder.build_dialogues(80, seed=3, only=("several",), longest=1)
    assert any(len({media.modality for media in dialogue[1].media}) == 3 for dialogue in built)
    assert all(len(dialogue[1].media) >= 2 for dialogue in built)


def test_what_is_made_says_its_kind_before_it_is_named():
    """The signal token that follows has one choice then, and making never begins like naming."""
    begins: dict[str, set[str]] = {}
    for modality in phrases.MADE:
        begins[modality] = {said.split("{x}")[0] for said in (*phrases.MADE[modality], *phrases.CORRECTED[modality])}
        begins[f"{modality}, named"] = {said.split("{x}")[0] for said in (*phrases.NAMED[modality], *phrases.DESCRIBED[modality])}
    for one, other in itertools.combinations(phrases.MADE, 2):
        assert not begins[one] & begins[other]
    for made, named in itertools.product(phrases.MADE, phrases.MADE):
        assert not begins[made] & begins[f"{named}, named"]
