"""The bundled preset as it ships: real weights, one turn of each kind."""

import numpy as np
import pytest
import soundfile
from PIL import Image, ImageDraw

from nextgpt_core.config import load_preset
from nextgpt_core.engine import Engine
from nextgpt_core.messages import Media, MediaReady, Message, TurnSettings
from nextgpt_core.modalities import MODALITIES

PRESET = load_preset("nano")
NEEDED = [PRESET.file("llm"), PRESET.file("encoder/image.safetensors"), *(PRESET.file(o.path) for o in PRESET.outputs.values())]
pytestmark = [
    pytest.mark.bundled,
    pytest.mark.skipif(not all(path.exists() for path in NEEDED), reason="the bundled weights are not all here"),
]


@pytest.fixture(scope="module")
def engine():
    return Engine.load("nano")


def answer(engine, messages, tmp_path, **settings):
    return list(engine.turn(messages, TurnSettings(seed=3, **settings), out_dir=tmp_path))


@pytest.mark.parametrize(
    ("wish", "modality"), [("draw a red apple", "image"), ("let me hear a piano", "audio"), ("show me a video of a dog running", "video")]
)
def test_wishes_become_files(engine, tmp_path, wish, modality):
    events = answer(engine, [Message("user", (wish,))], tmp_path)
    made = [event.media for event in events if isinstance(event, MediaReady)]
    assert [media.modality for media in made] == [modality]
    MODALITIES[modality].load(made[0].path)  # it can be sent back
    assert MODALITIES[modality].read_provenance(made[0].path)["seed"] == 3
    assert events[-1].message.text.strip()


def test_questions_are_answered_in_words(engine, tmp_path):
    done = answer(engine, [Message("user", ("What is the capital of France?",))], tmp_path)[-1]
    assert "Paris" in done.message.text and not done.message.media


def test_media_of_every_kind_are_perceived(engine, tmp_path):
    picture = Image.new("RGB", (200, 200), "white")
    ImageDraw.Draw(picture).ellipse((50, 50, 150, 150), fill="red")
    picture.save(tmp_path / "ball.png")
    time = np.arange(32_000) / 16_000
    soundfile.write(tmp_path / "tone.wav", 0.3 * np.sin(2 * np.pi * 440 * time), 16_000)
    video = next(e.media for e in answer(engine, [Message("user", ("make a video of a cat",))], tmp_path) if isinstance(e, MediaReady))
    for media in (Media("image", tmp_path / "ball.png"), Media("audio", tmp_path / "tone.wav"), video):
        done = answer(engine, [Message("user", (media, "what is this?"))], tmp_path, answer_with=frozenset({"text"}))[-1]
        assert done.message.text.strip() and not done.spans
