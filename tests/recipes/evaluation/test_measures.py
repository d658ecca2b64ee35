"""The measures of making, from wish to judge and contact sheet, on the tiny model with judges that say what they are told."""

import numpy as np
import pytest
import torch
from PIL import Image

from nextgpt_core.errors import CheckpointMissing
from nextgpt_core.prompt import ChatML
from recipes.nano.evaluation import measures
from recipes.nano.evaluation.judges import attributes as attribute_judge
from recipes.nano.evaluation.measures import Bench
from recipes.nano.world import pictures
from recipes.nano.world.pictures import PictureScene
from recipes.nano.world.things import Thing
from recipes.nano.world.videos import VideoScene
from tests.tiny import tiny_model

THINGS = tuple(Thing(name, f"{name}s", "a", (), "animals", ("1f436",)) for name in ("dog", "cat", "fox"))


class Judge:
    def __init__(self, label):
        self.label, self.shapes = label, []

    def name(self, contents):
        self.shapes.append(np.asarray(contents).shape)
        return [self.label] * len(contents)


@pytest.fixture
def bench(tmp_path, monkeypatch):
    model = tiny_model()
    monkeypatch.setattr(measures, "things", lambda: THINGS)
    template = ChatML(model.llm.tokenizer, boundary=model.boundary, signals=model.signals)
    return Bench(model, template, None, tmp_path)


def always_make(model, modality):
    """Let the first signal token of a modality win wherever a reply begins."""
    with torch.no_grad():
        state = model.llm(model.llm.embed(torch.tensor([list(b"assistant\n")])))[0, -1]
        model.llm.added_output[model.signals[modality][0] - model.llm.vocabulary] = 100 * state / state.norm()


def test_wishes_become_judged_pictures(bench, monkeypatch):
    judge = Judge("dog")
    monkeypatch.setattr(measures, "load_judge", lambda modality: judge)
    always_make(bench.model, "image")
    outcome = measures.pictures_made(bench, 6)
    assert outcome.cases == 6 and outcome.value == pytest.approx(2 / 6)  # each thing twice
    assert set(judge.shapes) == {(1, 16, 16, 3)} and (bench.out / "pictures.png").is_file()


def test_an_answer_without_its_medium_is_wrong(bench, monkeypatch):
    monkeypatch.setattr(measures, "load_judge", lambda modality: Judge("dog"))
    with torch.no_grad():
        bench.model.llm.added_output.zero_()
    monkeypatch.setattr("recipes.nano.evaluation.batched.LONGEST", 4)
    outcome = measures.pictures_made(bench, 3)
    assert outcome.value == 0 and all("nothing" in missed for missed in outcome.details["missed"])


def test_videos_need_thing_and_motion(bench, monkeypatch):
    scenes = iter([VideoScene(PictureScene(THINGS[0]), "spinning"), VideoScene(PictureScene(THINGS[0]), "growing")])
    monkeypatch.setattr(measures.videos, "sample_video", lambda rng, **options: next(scenes))
    monkeypatch.setattr(measures, "load_judge", lambda modality: Judge(("dog", "spinning")))
    always_make(bench.model, "video")
    outcome = measures.videos_made(bench, 2)
    assert outcome.value == 0.5 and outcome.details["thing"] == 1.0 and outcome.details["motion"] == 0.5
    assert (bench.out / "videos.png").is_file()


def test_an_order_needs_colour_number_and_ground(bench, monkeypatch):
    monkeypatch.setattr(attribute_judge, "things", lambda: THINGS)
    orders = iter([("red", 2, "blue"), ("red", 2, "green"), ("red", 1, "blue"), ("pink", 2, "blue")])
    scenes = [PictureScene(THINGS[0], colour="red", count=2, background="blue")] * 4
    monkeypatch.setattr(measures, "sample_order", lambda rng: scenes[0])
    judge = Judge("")
    judge.name = lambda picture, thing: next(orders)
    monkeypatch.setattr(measures, "load_judge", lambda modality: judge)
    always_make(bench.model, "image")
    outcome = measures.pictures_to_order(bench, 4)
    assert outcome.value == 0.25 and outcome.details["number"] == 0.75 and (bench.out / "orders.png").is_file()


def test_the_judge_of_orders_reads_drawings(monkeypatch):
    block = np.zeros((64, 64, 4), np.uint8)
    block[4:60, 20:44] = (120, 120, 120, 255)
    monkeypatch.setattr(pictures, "sprite", lambda code, style: Image.fromarray(block, "RGBA"))
    monkeypatch.setattr(pictures, "hexcodes", lambda thing, style: thing.hexcodes)
    monkeypatch.setattr(attribute_judge, "things", lambda: THINGS)
    judge, rng = attribute_judge.AttributeJudge.from_file(), np.random.default_rng(0)
    scenes = [attribute_judge.sample_order(rng, jitter=1.0) for _ in range(30)]
    found = [judge.name(pictures.render(scene, 128), scene.thing) for scene in scenes]
    assert sum(seen == (scene.colour, scene.count, scene.background) for seen, scene in zip(found, scenes, strict=True)) >= 28


def test_a_missing_decoder_is_told(bench, monkeypatch):
    monkeypatch.setattr(measures, "load_judge", lambda modality: Judge("rain"))
    with pytest.raises(CheckpointMissing, match="no decoder of a sound"):
        measures.sounds_made(bench, 2)


def test_perplexity_counts_only_the_reply(bench):
    loss, tokens = measures._loss(bench.model.llm, bench.template, "hello", "hi")
    assert tokens == 3 and loss > 0  # two bytes and the end
