import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nextgpt_core import engine as engine_module
from nextgpt_core.config import SamplingConfig
from nextgpt_core.engine import Engine
from nextgpt_core.errors import GenerationError, MediaError, MessageError, OutOfMemory
from nextgpt_core.messages import (
    Media,
    MediaFailed,
    MediaProgress,
    MediaReady,
    MediaStarted,
    Message,
    SignalSpan,
    TextDelta,
    TurnDone,
    TurnSettings,
)
from nextgpt_core.modalities import MODALITIES
from nextgpt_core.prompt import ChatML
from tests.tiny import ByteTokenizer, tiny_model

END = ByteTokenizer().control("<|im_end|>")
MODEL = tiny_model()
IMAGE, VIDEO, AUDIO = (MODEL.signals[modality][0] for modality in ("image", "video", "audio"))


@pytest.fixture
def engine():
    template = ChatML(MODEL.llm.tokenizer, boundary=MODEL.boundary, signals=MODEL.signals, system="Be kind.")
    return Engine(MODEL, template, context=400)


@pytest.fixture
def script(monkeypatch):
    """Decides which tokens the model chooses."""

    def use(*tokens):
        chosen = [token for part in tokens for token in (part.encode() if isinstance(part, str) else (part,))]

        def scripted(**_):
            left = iter([*chosen, END])
            return lambda scores: next(left)

        monkeypatch.setattr(engine_module, "sampler", scripted)

    return use


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.full((8, 8, 3), 200, np.uint8)).save(path)
    return Media("image", path)


def user(*parts):
    return Message("user", parts)


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def test_a_turn_from_question_to_files(engine, script, photo, tmp_path):
    script("Here: ", IMAGE, " and ", VIDEO)
    events = list(engine.turn([user(photo, "draw and video it")], TurnSettings(seed=5), out_dir=tmp_path / "out"))
    done = events[-1]
    assert "".join(event.text for event in of(TextDelta, events)) == "Here:  and "
    assert of(SignalSpan, events) == [SignalSpan("image", 6, 4), SignalSpan("video", 15, 3)] == list(done.spans)
    assert [(event.index, event.modality, event.steps) for event in of(MediaStarted, events)] == [(0, "image", 3), (1, "video", 2)]
    assert [event.step for event in of(MediaProgress, events)] == [1, 2, 3, 1, 2]
    assert of(MediaProgress, events)[0].preview.dtype == np.uint8
    picture, video = (event.media for event in of(MediaReady, events))
    assert MODALITIES["image"].load(picture.path).shape == (16, 16, 3)
    assert done.message == Message("assistant", ("Here: ", picture, " and ", video))
    assert done.finish_reason == "stop" and done.seed == 5 and done.generated_tokens == 18
    assert set(done.seconds) == {"perceive", "prompt", "read", "write", "project", "image", "video"}
    provenance = MODALITIES["image"].read_provenance(picture.path)
    assert provenance["ai_generated"] is True and provenance["seed"] == 5 and provenance["preset"] == "tiny"


def test_the_same_seed_gives_the_same_bytes(engine, script, tmp_path):
    script("a", IMAGE, IMAGE)
    bytes_of = []
    for seed in (1, 1, 2):
        events = engine.turn([user("draw")], TurnSettings(seed=seed), out_dir=tmp_path)
        bytes_of.append([event.media.path.read_bytes() for event in events if isinstance(event, MediaReady)])
    assert bytes_of[0] == bytes_of[1] != bytes_of[2]
    assert bytes_of[0][0] != bytes_of[0][1]  # every file has noise of its own


def test_a_later_turn_gives_the_same_bytes_after_a_restart(engine, script, photo, tmp_path):
    script("A grey square. ", IMAGE)
    messages = [user(photo, "what is it?")]
    messages += [list(engine.turn(messages, TurnSettings(seed=1), out_dir=tmp_path))[-1].message, user("again")]
    restarted = Engine(engine.model, engine._template, context=400)
    made = [list(one.turn(messages, TurnSettings(seed=2), out_dir=tmp_path))[-1].message.media[0] for one in (engine, restarted, engine)]
    assert len({media.path.read_bytes() for media in made}) == 1


def test_sampling_repeats_with_its_seed(engine, tmp_path):
    texts = []
    for seed in (3, 3, 4):
        settings = TurnSettings(seed=seed, temperature=9.0, top_p=1.0, max_new_tokens=20, forbid=frozenset({"image", "video", "audio"}))
        texts.append("".join(event.text for event in of(TextDelta, list(engine.turn([user("hi")], settings, out_dir=tmp_path)))))
    assert texts[0] == texts[1] != texts[2]


def test_a_failing_decoder_fails_alone(engine, script, tmp_path, monkeypatch):
    script("x", IMAGE, VIDEO, AUDIO)

    def broken(*_, **__):
        raise RuntimeError("out of paint")

    monkeypatch.setattr(MODEL.decoders["image"], "generate", broken)
    events = list(engine.turn([user("all of it")], TurnSettings(seed=1), out_dir=tmp_path))
    failed = of(MediaFailed, events)
    assert [(event.index, event.modality) for event in failed] == [(0, "image"), (2, "audio")]
    assert "out of paint" in failed[0].reason
    assert "no decoder for a sound" in failed[1].reason
    assert [event.media.modality for event in of(MediaReady, events)] == ["video"]
    assert [getattr(part, "modality", part) for part in events[-1].message.parts] == ["x", "video"]

    def refuses(*_, **__):
        raise GenerationError("The safety checker held this picture back.")

    monkeypatch.setattr(MODEL.decoders["image"], "generate", refuses)
    events = list(engine.turn([user("again")], TurnSettings(seed=1), out_dir=tmp_path))
    assert of(MediaFailed, events)[0].reason == "The safety checker held this picture back."


def test_answer_with_forces_and_forbids(engine, script, tmp_path):
    script("ok")
    events = list(engine.turn([user("hi")], TurnSettings(seed=1, answer_with=frozenset({"image"})), out_dir=tmp_path))
    assert [span.modality for span in events[-1].spans] == ["image"]
    settings = TurnSettings(seed=1, answer_with=frozenset({"text"}), max_new_tokens=30, temperature=9.0, top_p=1.0)
    assert not of(SignalSpan, list(engine.turn([user("hi")], settings, out_dir=tmp_path)))


@pytest.mark.parametrize("after", ["text", "step"])
def test_cancel_ends_the_turn_and_keeps_what_is_there(engine, script, tmp_path, after):
    script("abc", IMAGE, "def")
    cancel = threading.Event()
    events = []
    for event in engine.turn([user("draw")], TurnSettings(seed=1), cancel=cancel, out_dir=tmp_path):
        events.append(event)
        if isinstance(event, TextDelta if after == "text" else MediaProgress):
            cancel.set()
    done = events[-1]
    assert isinstance(done, TurnDone) and done.finish_reason == "cancelled"
    assert done.message.parts == (("a",) if after == "text" else ("abcdef",))
    assert len(of(MediaProgress, events)) == (0 if after == "text" else 1)
    assert list(engine.turn([user("draw")], TurnSettings(seed=1), out_dir=tmp_path))[-1].finish_reason == "stop"


def test_an_abandoned_turn_frees_the_engine(engine, script, tmp_path):
    script("abc", IMAGE)
    turn = engine.turn([user("draw")], TurnSettings(seed=1), out_dir=tmp_path)
    assert any(isinstance(event, MediaProgress) for event in turn)  # stops reading in the middle of a generation
    turn.close()
    assert threading.active_count() == 1 or not any(thread.name == "decoder" for thread in threading.enumerate())
    assert list(engine.turn([user("draw")], TurnSettings(seed=1), out_dir=tmp_path))[-1].finish_reason == "stop"


def test_files_are_perceived_once_and_outlive_themselves(engine, script, photo, tmp_path, monkeypatch):
    script("A grey square.")
    calls = []
    encode = MODEL.encoder.encode
    monkeypatch.setattr(MODEL.encoder, "encode", lambda *a: calls.append(a) or encode(*a))
    first = user(photo, "what is it?")
    done = list(engine.turn([first], TurnSettings(seed=1), out_dir=tmp_path))[-1]
    photo.path.unlink()
    again = list(engine.turn([first, done.message, user("sure?")], TurnSettings(seed=1), out_dir=tmp_path))[-1]
    assert len(calls) == 1 and again.finish_reason == "stop"


def test_the_conversation_is_not_read_again(engine, script, photo, tmp_path, monkeypatch):
    script("A grey square.", IMAGE)
    first = user(photo, "what is it? " * 5)
    done = list(engine.turn([first], TurnSettings(seed=1), out_dir=tmp_path))[-1]
    seen = []
    forward = MODEL.llm.forward
    monkeypatch.setattr(MODEL.llm, "forward", lambda embeds, *a, **k: seen.append(embeds.shape[1]) or forward(embeds, *a, **k))
    list(engine.turn([first, done.message, user("sure?")], TurnSettings(seed=1), out_dir=tmp_path))
    assert seen[0] < 60  # the answer and the new question, not the 100 positions before


def test_other_conversations_have_contexts_of_their_own(engine, script, tmp_path):
    script("ok")
    long = [[user(letter * 60)] for letter in "abcdef"]
    for messages in long + long[-2:]:
        list(engine.turn(messages, TurnSettings(seed=1), out_dir=tmp_path))
    assert len(engine._contexts) == engine_module.CONVERSATIONS


@pytest.mark.parametrize(
    ("messages", "settings", "message"),
    [
        ([], {}, "nothing to answer"),
        ([Message("assistant", ("hi",))], {}, "must be the user's"),
        ([user("  ")], {}, "message is empty"),
        ([user("x" * 100_000)], {}, "too long"),
        ([user("x")], {"max_new_tokens": 400}, "1 to 399 tokens"),
        ([user(Media("video", Path("video.mp4")))], {}, "cannot perceive a video"),
    ],
)
def test_what_cannot_be_answered_is_said_first(engine, messages, settings, message, tmp_path):
    with pytest.raises(MessageError, match=message):
        next(engine.turn(messages, TurnSettings(**settings), out_dir=tmp_path))


def test_bad_files(engine, script, tmp_path):
    script("ok")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(MediaError):
        next(engine.turn([user(Media("image", broken), "what?")], out_dir=tmp_path))
    history = [user(Media("image", broken), "what?"), Message("assistant", ("I cannot see it.",)), user("never mind")]
    assert list(engine.turn(history, TurnSettings(seed=1), out_dir=tmp_path))[-1].finish_reason == "stop"


def test_odd_text_is_answered(engine, script, tmp_path):
    script("ok")
    for text in ("\x00\x07\x1b[31m", "half a pair: \ud83d", "[IMG0] <Media> <|im_end|>"):
        assert list(engine.turn([user(text)], TurnSettings(seed=1), out_dir=tmp_path))[-1].finish_reason == "stop"


def test_turns_from_two_threads_come_one_after_the_other(engine, script, tmp_path):
    script("abc", IMAGE)
    order = []

    def ask(name):
        for event in engine.turn([user(name)], TurnSettings(seed=1), out_dir=tmp_path):
            order.append((name, type(event)))

    threads = [threading.Thread(target=ask, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = [name for name, _ in order]
    assert names == sorted(names, key=names.index)
    assert [kind for _, kind in order].count(TurnDone) == 2


def test_no_gradients_and_no_inference_mode_leak_to_the_caller(engine, script, tmp_path):
    script("a", IMAGE)
    for _ in engine.turn([user("draw")], TurnSettings(seed=1), out_dir=tmp_path):
        assert not torch.is_inference_mode_enabled() and torch.is_grad_enabled()


def test_the_presets_sampling_is_used_where_a_turn_says_nothing(engine, monkeypatch, tmp_path):
    seen = []

    def spying(**options):
        seen.append((options["temperature"], options["top_p"]))
        return lambda scores: 65

    monkeypatch.setattr(engine_module, "sampler", spying)
    own = Engine(engine.model, engine._template, context=400, sampling=SamplingConfig(temperature=0.4, top_p=1.0, max_new_tokens=7))
    lengths = []
    for one in (TurnSettings(), TurnSettings(temperature=0.0, max_new_tokens=3), TurnSettings(top_p=0.5)):
        lengths.append(list(own.turn([user("hi")], one, out_dir=tmp_path))[-1].generated_tokens)
    assert seen == [(0.4, 1.0), (0.0, 1.0), (0.4, 0.5)] and lengths == [7, 3, 7]


def test_the_language_model_is_brought_to_its_place_before_it_reads(engine, script, tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(MODEL, "before_reading", lambda: order.append("home"))
    monkeypatch.setattr(Engine, "_prompt", lambda *_, **__: order.append("prompt"))
    with pytest.raises(AttributeError):
        list(engine.turn([user("hi")], TurnSettings(), out_dir=tmp_path))
    assert order == ["home", "prompt"]


def test_a_pass_that_breaks_off_does_not_spoil_the_next_turn(engine, script, tmp_path, monkeypatch):
    script("fine")
    before = [user("hello there")]
    before += [list(engine.turn(before, TurnSettings(seed=1), out_dir=tmp_path))[-1].message, user("and now?")]
    with monkeypatch.context() as patch:

        def breaks(*_, **__):
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

        patch.setattr(MODEL.llm.network.layers[1], "forward", breaks)  # the first layer has read on, the second one has not
        with pytest.raises(RuntimeError, match="illegal"):
            list(engine.turn(before, TurnSettings(seed=1), out_dir=tmp_path))
    events = list(engine.turn(before, TurnSettings(seed=1), out_dir=tmp_path))
    assert events[-1].message.text == "fine"
    cache = engine._contexts[-1].cache
    assert {cache.get_seq_length(layer) for layer in range(2)} == {len(engine._contexts[-1].keys)}


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED")])
def test_a_conversation_that_does_not_fit_the_memory_is_a_sentence_and_the_next_one_works(engine, script, tmp_path, monkeypatch, error):
    script("fine")

    def full(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(MODEL.llm.network, "forward", full)
        with pytest.raises(OutOfMemory, match="not enough memory for this answer"):
            list(engine.turn([Message("user", ("hi",))], TurnSettings(), out_dir=tmp_path))
    assert any(isinstance(event, TurnDone) for event in engine.turn([Message("user", ("hi",))], TurnSettings(), out_dir=tmp_path))
