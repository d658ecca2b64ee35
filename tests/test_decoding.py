import pytest
import torch
from safetensors.torch import load_file

from nextgpt_core.decoding import Context, Ended, Span, Text, TextStream, decode, greedy, sampler
from nextgpt_core.errors import Cancelled
from nextgpt_core.prompt import Prompt, VicunaV0, embed_pieces
from tests.golden_model import golden_model
from tests.golden_rules import GOLDEN, golden_json
from tests.test_prompt import GOLDEN_MESSAGES
from tests.tiny import ByteTokenizer, tiny_llm

END = ByteTokenizer().control("<|im_end|>")


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def published():
    return golden_model()


@pytest.fixture
def llm():
    return tiny_llm()


def signals_of(llm):
    return {
        modality: tuple(i for token, i in llm.added.items() if token.startswith(f"[{prefix}"))
        for modality, prefix in (("image", "IMG"), ("video", "VID"), ("audio", "AUD"))
    }


def prompt_of(llm, ids):
    return Prompt(llm.embed(torch.tensor(ids)), tuple(ids))


def write(llm, script, *, prompt=(1, 2, 3), **options):
    """Decode with a scripted choice of tokens; ints that are blocked fail the test. Returns (context, events)."""
    context = Context(llm)
    state = context.read(prompt_of(llm, list(prompt)), cancelled=lambda: False)
    tokens = iter(script)

    def choose(scores):
        token = next(tokens)
        assert scores[token] > -torch.inf, f"token {token} is blocked"
        return token

    settings = {"signals": signals_of(llm), "max_new_tokens": 50, "stop_ids": frozenset({END}), **options}
    return context, list(decode(context, state, choose=choose, **settings))


# The original's numbers


@pytest.mark.parametrize("name", ["text_only", "text_image", "history_image_audio"])
def test_greedy_ids_equal_the_original(published, name):
    tensors, expected = load_file(GOLDEN / "tiny_e2e.safetensors"), golden_json("tiny_e2e.json")["greedy"][name]["generated_ids"]
    template = VicunaV0(published.llm.tokenizer, boundary=published.boundary, signals=published.signals)
    prompt = embed_pieces(template(GOLDEN_MESSAGES[name]), llm=published.llm, vectors=lambda m: tensors[f"encode.{m.modality}"])
    context = Context(published.llm)
    state = context.read(prompt, cancelled=lambda: False)
    assert (published.llm.logits(state) - tensors[f"{name}.logits_last_prompt_position"]).abs().max() < 1e-5
    list(decode(context, state, signals=published.signals, choose=greedy, max_new_tokens=len(expected)))
    assert context.keys[len(prompt.keys) :] == expected


def test_forced_spans_give_the_originals_conditions(published):
    tensors, forced = load_file(GOLDEN / "tiny_e2e.safetensors"), golden_json("tiny_e2e.json")["forced"]
    template = VicunaV0(published.llm.tokenizer, boundary=published.boundary, signals=published.signals)
    prompt = embed_pieces(template(GOLDEN_MESSAGES["text_image"]), llm=published.llm, vectors=lambda m: tensors["encode.image"])
    context = Context(published.llm)
    state = context.read(prompt, cancelled=lambda: False)
    firsts = {ids[0] for ids in published.signals.values()}
    script = iter([token for token in forced["forced_ids"] if token < 1000 or token in firsts])
    events = list(
        decode(
            context,
            state,
            signals=published.signals,
            choose=lambda scores: next(script),
            max_new_tokens=100,
            stop_ids=template.stop_ids,
            stop_strings=template.stop_strings,
        )
    )
    assert "".join(event.text for event in events if isinstance(event, Text)) == "Here is a bird. the sound the video"
    spans = [event for event in events if isinstance(event, Span)]
    assert [(span.modality, span.start) for span in spans] == [("image", 5), ("audio", 11), ("video", 21)]
    for span, name in zip(spans, ("img", "aud", "vid"), strict=True):
        assert (span.states - tensors[f"forced.{name}.raw_emb"]).abs().max() < 1e-5
        condition = published.condition(span.modality, span.states[None], span.embeddings[None])
        assert (condition - tensors[f"forced.{name}.prompt_embeds"].reshape(condition.shape)).abs().max() < 1e-5
    assert events[-1] == Ended("stop", 45)


# Spans


def test_a_span_in_one_pass_equals_token_by_token(llm):
    ids = signals_of(llm)["image"]
    context, events = write(llm, [65, ids[0], 66, END])
    span = next(event for event in events if isinstance(event, Span))
    whole = llm(llm.embed(torch.tensor([[1, 2, 3, 65, *ids, 66]])))[0]
    assert torch.allclose(span.states, whole[4:8], atol=1e-5)
    assert torch.equal(span.embeddings, llm.embed(torch.tensor(ids)))
    assert context.keys == [1, 2, 3, 65, *ids, 66]
    assert [type(event) for event in events] == [Text, Span, Text, Ended]


def test_the_token_limit_never_cuts_a_span(llm):
    _, events = write(llm, [65, signals_of(llm)["image"][0]], max_new_tokens=2)
    assert events[1].states.shape[0] == 4
    assert events[-1] == Ended("length", 5)


def test_only_first_tokens_of_spans_can_be_chosen(llm):
    blocked = []

    def choose(scores):
        blocked.extend(token for token, i in llm.added.items() if scores[i] == -torch.inf)
        return END

    context = Context(llm)
    state = context.read(prompt_of(llm, [1]), cancelled=lambda: False)
    list(decode(context, state, signals=signals_of(llm), choose=choose, max_new_tokens=5, stop_ids=frozenset({END})))
    assert set(llm.added) - set(blocked) == {"[IMG0]", "[VID0]", "[AUD0]"}


def test_forbidden_modalities_cannot_be_chosen(llm):
    with pytest.raises(AssertionError, match="is blocked"):
        write(llm, [signals_of(llm)["audio"][0]], forbid=frozenset({"audio"}))


def test_required_modalities_are_appended_once(llm):
    image, audio = signals_of(llm)["image"], signals_of(llm)["audio"]
    context, events = write(llm, [65, audio[0], END], require=("image", "audio"))
    assert [event.modality for event in events if isinstance(event, Span)] == ["audio", "image"]
    assert context.keys[-4:] == list(image)
    assert events[-1] == Ended("stop", 7)


def test_spans_of_one_turn_are_bounded(llm):
    with pytest.raises(AssertionError, match="is blocked"):
        write(llm, [signals_of(llm)["audio"][0]] * 3, max_spans=2)


# Text


def test_characters_are_never_cut(llm):
    _, events = write(llm, [*"aé🍎".encode(), END])
    assert [event.text for event in events[:-1]] == ["a", "é", "🍎"]
    _, events = write(llm, ["🍎".encode()[0], END])
    assert events[0].text == "\ufffd"


def test_stop_strings_end_the_answer_in_whatever_tokens():
    stream = TextStream(("\n###",))
    shown = [stream.push(piece) for piece in (b" Hi", b"\n", b"there\n#", b"#", b"# Human")]
    assert "".join(shown) == "Hi\nthere"
    assert shown[1] == "" and stream.stopped
    assert stream.flush() == ""


def test_held_text_appears_when_it_was_no_stop():
    stream = TextStream(("\n###",))
    assert stream.push(b"a\n##") == "a"
    assert stream.push(b"b") == "\n##b"


def test_stop_string_ends_the_loop(llm):
    _, events = write(llm, list(b"ok\n### no"), stop_strings=("\n###",))
    assert "".join(event.text for event in events if isinstance(event, Text)) == "ok"
    assert events[-1] == Ended("stop", 6)


# Reading on


def test_a_shared_prefix_is_not_read_again(llm, monkeypatch):
    context, _ = write(llm, [65, 66, END], prompt=[1, 2, 3])
    seen = []
    run = context.run
    monkeypatch.setattr(context, "run", lambda embeddings, keys: seen.append(keys) or run(embeddings, keys))
    following = [1, 2, 3, 65, 66, 9, 8]
    state = context.read(prompt_of(llm, following), cancelled=lambda: False)
    assert seen == [(9, 8)]
    assert torch.allclose(state, llm(llm.embed(torch.tensor([following])))[0, -1], atol=1e-5)


def test_a_conversation_is_always_read_in_the_same_pieces(llm):
    first, second = [1, 2, 3], [1, 2, 3, 65, 66, END, 9, 8, 7]
    context = Context(llm)
    state = context.read(Prompt(llm.embed(torch.tensor(first)), tuple(first), ends=(3,)), cancelled=lambda: False)
    script = iter([65, 66, END])
    list(decode(context, state, signals={}, choose=lambda scores: next(script), max_new_tokens=9, stop_ids=frozenset({END})))
    whole = Prompt(llm.embed(torch.tensor(second)), tuple(second), ends=(3, 9))
    fresh = Context(llm)
    seen = []
    run, fresh.run = fresh.run, lambda embeddings, keys: seen.append(len(keys)) or run(embeddings, keys)
    states = [context.read(whole, cancelled=lambda: False), fresh.read(whole, cancelled=lambda: False)]
    assert seen == [3, 6]
    assert torch.equal(*states)
    assert torch.equal(context.read(whole, cancelled=lambda: False), states[0])  # asked again: nothing is read


def test_another_conversation_and_the_same_again(llm):
    context, _ = write(llm, [65, END], prompt=[1, 2, 3])
    for ids in ([1, 2, 9], [1, 2, 9], [1, 2]):
        state = context.read(prompt_of(llm, ids), cancelled=lambda: False)
        assert torch.allclose(state, llm(llm.embed(torch.tensor([ids])))[0, -1], atol=1e-5)
        assert context.keys == ids


def test_cancel_works_within_one_token(llm):
    context = Context(llm)
    state = context.read(prompt_of(llm, [1]), cancelled=lambda: False)
    answers = iter([False, False, True])
    events = []
    with pytest.raises(Cancelled):
        for event in decode(context, state, signals={}, choose=lambda scores: 65, max_new_tokens=9, cancelled=lambda: next(answers)):
            events.append(event)
    assert len(events) == 2
    with pytest.raises(Cancelled):
        context.read(prompt_of(llm, [4, 5]), cancelled=lambda: True)


# Choosing


def test_sampling_repeats_with_its_seed_and_keeps_to_the_nucleus():
    scores = torch.tensor([3.0, 2.9, 0.0, -torch.inf])
    draw = [sampler(temperature=1.0, top_p=0.9, generator=torch.Generator().manual_seed(7)) for _ in range(2)]
    first, second = ([choose(scores) for _ in range(40)] for choose in draw)
    assert first == second and set(first) == {0, 1}
    assert sampler(temperature=0.0, top_p=0.9, generator=torch.Generator()) is greedy
    assert sampler(temperature=1.0, top_p=0.0, generator=torch.Generator()) is greedy
