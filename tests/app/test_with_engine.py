"""The page's desk over the core's own engine (real classes, tiny): the contract between the two holds."""

import time
from pathlib import Path

from app.conversation import Conversation, Turn
from app.files import FileStore, check
from app.i18n import TEXTS
from app.jobs import Desk
from app.render import Renderer
from app.settings import Choices, recalled
from nextgpt_core.engine import Engine
from nextgpt_core.modalities import MODALITIES
from nextgpt_core.prompt import ChatML
from tests.tiny import tiny_model

EXAMPLES = Path(__file__).resolve().parents[2] / "assets" / "examples"


def test_a_forced_picture_and_an_answer_in_words(tmp_path: Path) -> None:
    model = tiny_model()
    template = ChatML(model.llm.tokenizer, boundary=model.boundary, signals=model.signals, system="Be kind.")
    engine, store = Engine(model, template, context=400), FileStore(tmp_path)
    desk, conversation = Desk(lambda: engine, store), Conversation()

    def answered(text: str, choices: Choices, files: list[str]) -> Turn:
        conversation.turns.append(Turn(text, [store.adopt(check(EXAMPLES / name), conversation.id) for name in files]))
        job = desk.submit(conversation, choices.turn_settings())
        end = time.monotonic() + 300
        while not job.answer.finished and time.monotonic() < end:
            time.sleep(0.01)
        return conversation.turns[-1]

    turn = answered("like this one", Choices(answer="picture", steps=2, max_new_tokens=20, seed=4), ["picture.png"])
    assert turn.answer.status == "done" and turn.answer.seed == 4, turn.answer.error
    made = [piece.file for piece in turn.answer.pieces if piece.file]
    assert [file.modality for file in made] == ["image"] and store.has(made[0])
    assert MODALITIES["image"].read_provenance(store.path(made[0]))["seed"] == 4
    assert {"perceive", "write", "project", "image"} <= set(turn.answer.seconds) and turn.answer.spans[0]["modality"] == "image"
    assert all(f"stage_{name}" in TEXTS or name in MODALITIES for name in turn.answer.seconds), "a stage has no name on the page"
    messages, guidance = Renderer(store).render(conversation, "en"), model.decoders["image"].defaults.guidance
    assert len(messages) == 2 and f"Seed 4 · Steps 2 · Guidance {guidance:g}" in str(messages[1]["content"])
    assert recalled(check(store.path(made[0])).provenance or {}) == {"seed": 4, "steps": 2, "guidance": guidance}

    words = answered("and now only words", Choices(answer="text", max_new_tokens=10), [])
    assert words.answer.status == "done" and not words.answer.spans
