"""Batches answer and make what the engine's own steps answer and make one by one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nextgpt_core.decoding import Context, Span, Text, decode, greedy
from nextgpt_core.messages import Media, Message
from nextgpt_core.prompt import ChatML, embed_pieces
from recipes.nano.evaluation import batched
from recipes.nano.evaluation.batched import BatchedModel
from tests.tiny import tiny_model

PICTURE = np.full((8, 8, 3), 200, np.uint8)


@pytest.fixture(scope="module")
def model():
    made = tiny_model()
    with torch.no_grad():  # make signal tokens likely, so that answers hold spans
        made.llm.added_output.copy_(torch.randn(made.llm.added_output.shape, generator=torch.Generator().manual_seed(1)) * 3)
    return made


@pytest.fixture(scope="module")
def template(model):
    return ChatML(model.llm.tokenizer, boundary=model.boundary, signals=model.signals)


def conversations():
    picture = Media("image", Path("a.png"))
    texts = ["hi", "draw me a very long and winding road", "play", "and now something else altogether, please"]
    return [[Message("user", (text,))] for text in texts] + [[Message("user", (picture, "what?"))]]


@torch.inference_mode()
def test_replies_equal_the_engines(model, template, monkeypatch):
    monkeypatch.setattr(batched, "LONGEST", 20)
    found = BatchedModel(model, template, batch=3).replies(conversations(), contents={Path("a.png"): PICTURE})
    spans = 0
    for conversation, reply in zip(conversations(), found, strict=True):
        prompt = embed_pieces(template(conversation), llm=model.llm, vectors=lambda media: model.perceive(media.modality, PICTURE))
        context = Context(model.llm)
        state = context.read(prompt, cancelled=lambda: False)
        events = list(
            decode(context, state, signals=model.signals, choose=greedy, max_new_tokens=20, stop_ids=template.stop_ids, max_spans=99)
        )
        wanted = [event for event in events if isinstance(event, Span)]
        assert reply.text == "".join(event.text for event in events if isinstance(event, Text)).strip()
        assert reply.modalities == [event.modality for event in wanted][: len(reply.modalities)]
        assert len(wanted) - len(reply.modalities) <= 1  # a span at the very end may be cut in the batch
        for (modality, condition), event in zip(reply.conditions, wanted[: len(reply.conditions)], strict=True):
            expected = model.condition(modality, event.states[None], event.embeddings[None])[0]
            assert (condition - expected).abs().max() < 1e-4
        spans += len(reply.conditions)
    assert spans > 0


def test_media_equal_the_decoders_own(model, template):
    shape = model.decoders["image"].condition_shape
    conditions = [torch.randn(shape, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    made = list(BatchedModel(model, template).make("image", conditions, seed=5, batch=2))
    for i, (picture, condition) in enumerate(zip(made, conditions, strict=True)):
        decoder = model.decoders["image"]
        alone = decoder.generate(condition, settings=decoder.defaults, generator=torch.Generator().manual_seed(5 + i))
        assert np.abs(picture.astype(int) - alone.astype(int)).max() <= 1
