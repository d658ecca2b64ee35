from pathlib import Path

import pytest
import torch

from nextgpt_core.messages import Media, Message
from nextgpt_core.model import TRAINED_FILES, NextGPT
from nextgpt_core.prompt import ChatML
from nextgpt_core.train.data import IGNORED, Batch, bucketed, collate, encode_dialogue
from nextgpt_core.train.loop import Losses, batch_embeddings, batch_losses, span_states, train
from nextgpt_core.train.schedules import cosine, trapezoid
from nextgpt_core.train.session import Budget, Session
from nextgpt_core.train.split import SplitNetwork
from nextgpt_core.train.stages import Stage
from tests.tiny import tiny_model

STAGE = Stage(
    name="test", dataset="", rates={"lora": 1e-2, "input_projection": 1e-2, "output_projections": 1e-2, "tokens": 1e-2}, alignment=0.1
)


def dialogue(said: str, modality: str) -> list[Message]:
    return [
        Message("user", (Media("image", Path("in.png")), said)),
        Message("assistant", ("Yes. ", Media(modality, Path("out")), " And more.")),
        Message("user", ("thanks",)),
        Message("assistant", ("You're welcome!",)),
    ]


@pytest.fixture
def model() -> NextGPT:
    made = tiny_model()
    made.llm.add_lora(rank=4, alpha=8, targets=("q_proj", "v_proj"))
    return made


def sample(model: NextGPT, said: str, modality: str):
    return encode_dialogue(
        dialogue(said, modality),
        template=ChatML(model.llm.tokenizer, boundary=model.boundary, signals=model.signals),
        signals=model.signals,
        features=lambda media: torch.ones(2, 6),
        conditions=lambda media: torch.full((1, model.output_projections["image"].leave.out_features), 0.5),
        vectors_of=lambda modality: 2,
    )


def batch(model: NextGPT) -> Batch:
    return collate([sample(model, "draw it", "image"), sample(model, "a longer video please", "video")])


def losses_of(model: NextGPT):
    chosen = batch(model)

    def losses(step: int) -> Losses:
        return batch_losses(model, chosen, model.llm(batch_embeddings(model, chosen, noise=0.1, seed=step)))

    return losses


def snapshot(model: NextGPT) -> dict[str, list[torch.Tensor]]:
    return {part: [value.detach().clone() for value in model.trained_state(part).values()] for part in TRAINED_FILES}


def test_targets_are_what_the_assistant_writes(model: NextGPT):
    made = sample(model, "draw it", "image")
    written = made.targets[made.targets != IGNORED]
    end = model.llm.tokenizer.control("<|im_end|>")
    first = [*b"Yes. ", model.signals["image"][0], *b" And more.", end]  # the rest of a span follows by itself
    assert written.tolist() == [*first, *b"You're welcome!", end]
    assert made.ids[made.spans[0].position] == model.signals["image"][0]
    assert made.ids[made.media[0].position - 1] == model.boundary[0][0]
    assert made.ids[made.media[0].position + 2] == model.boundary[1][0]


def test_media_stand_in_their_places(model: NextGPT):
    chosen = batch(model)
    embedded = batch_embeddings(model, chosen)
    group = chosen.media["image"]
    projected = model.input_projection("image", group.vectors)
    for row, position, vectors in zip(group.rows, group.positions, projected, strict=True):
        assert torch.allclose(embedded[row, position : position + 2], vectors)
    span = chosen.spans["video"]
    states = model.llm(embedded)
    found = span_states(model, states, "video", span)
    assert torch.equal(found[0], states[span.rows[0], span.positions[0] : span.positions[0] + 3])


def test_loss_falls_and_everything_named_learns(model: NextGPT, tmp_path: Path):
    losses = losses_of(model)
    before, start = {name: value.item() for name, value in losses(0).items()}, snapshot(model)
    train(model, STAGE, losses, folder=tmp_path, budget=Budget(steps=40))
    after = losses(0)
    assert float(after["next_token"]) < 0.6 * before["next_token"]
    assert float(after["alignment"]) < before["alignment"]
    for part, values in snapshot(model).items():
        assert any(not torch.equal(new, old) for new, old in zip(values, start[part], strict=True)), part
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 41


def test_only_named_parts_change(model: NextGPT, tmp_path: Path):
    stage = Stage(name="encoder", dataset="", rates={"input_projection": 1e-2})
    start, frozen = snapshot(model), [p.detach().clone() for p in model.llm.network.parameters()]
    train(model, stage, losses_of(model), folder=tmp_path, budget=Budget(steps=3))
    end = snapshot(model)
    changed = {part for part in TRAINED_FILES if any(not torch.equal(a, b) for a, b in zip(start[part], end[part], strict=True))}
    assert changed == {"input_projection"}
    assert all(torch.equal(a, b) for a, b in zip(frozen, model.llm.network.parameters(), strict=True))


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path):
    def run(folder: Path, limits: list[int]) -> dict[str, list[torch.Tensor]]:
        made = tiny_model()
        for limit in limits:
            made = tiny_model()
            torch.manual_seed(5)
            made.llm.add_lora(rank=4, alpha=8, targets=("q_proj",))
            stage = Stage(name="test", dataset="", rates=STAGE.rates, alignment=0.1, warmup=0.0)
            train(made, stage, losses_of(made), folder=folder, budget=_Stopping(steps=6, stop=limit))
        return snapshot(made)

    whole, parts = run(tmp_path / "whole", [6]), run(tmp_path / "parts", [2, 5, 6])
    for part in TRAINED_FILES:
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(whole[part], parts[part], strict=True)), part


class _Stopping(Budget):
    """Interrupted after `stop` steps, with the schedule of all of them."""

    def __init__(self, *, steps: int, stop: int) -> None:
        super().__init__(steps=steps)
        object.__setattr__(self, "stop", stop)

    def used(self, step: int, seconds: float) -> float:
        return 1.0 if step >= self.stop else super().used(step, seconds)  # type: ignore[attr-defined]


def test_budget_and_schedule():
    assert Budget(steps=10).used(5, 1e9) == 0.5
    assert Budget(steps=10, cpu_seconds=2.0).used(5, 1.5) == 0.75
    assert cosine(0.05, warmup=0.1) == pytest.approx(0.5)
    assert cosine(0.1, warmup=0.1) == pytest.approx(1.0)
    assert cosine(1.0, warmup=0.1) == pytest.approx(0.05)
    assert trapezoid(0.02) == trapezoid(0.5) == 1.0
    assert trapezoid(0.0) < 0.05 and trapezoid(1.0) == pytest.approx(0.05)


def test_a_session_goes_on_with_the_columns_and_the_count_of_the_run_before(tmp_path: Path):
    for stop in (2, 4):
        layer = torch.nn.Linear(1, 1)
        session = Session(tmp_path, budget=Budget(steps=stop), state={"layer": layer})
        for step in session.steps():
            torch.nn.init.constant_(layer.weight, float(step))
            session.log(**({"loss": 1.0 + step, "share": 0.5} if step == 0 else {"loss": 1.0 + step}))
    header, *rows = [row.split(",") for row in (tmp_path / "log.csv").read_text().splitlines()]
    assert header == ["step", "cpu_seconds", "loss", "share"]
    assert [(row[0], row[2], row[3]) for row in rows] == [("0", "1.0", "0.5"), ("1", "2.0", ""), ("2", "3.0", ""), ("3", "4.0", "")]
    found = torch.nn.Linear(1, 1)
    Session(tmp_path, budget=Budget(steps=4), state={"layer": found})
    assert found.weight.item() == 3.0


def test_buckets_hold_everything_once_within_the_limit(model: NextGPT):
    samples = [sample(model, "x" * (i % 17), "image") for i in range(60)]
    batches = list(bucketed(samples, positions=400, seed=1, window=20))
    assert sorted(id(s) for b in batches for s in b) == sorted(map(id, samples))
    assert all(max(map(len, b)) * len(b) <= 400 or len(b) == 1 for b in batches)
    assert [len(b) for b in batches] == [len(b) for b in bucketed(samples, positions=400, seed=1, window=20)]


def test_a_split_network_is_the_whole_one(model: NextGPT):
    embedded = batch_embeddings(model, batch(model))
    split = SplitNetwork(model.llm, at=1)
    assert torch.allclose(split.upper(split.lower(embedded)), model.llm(embedded), atol=1e-5)
    assert torch.allclose(split.upper(split.kept(0, lambda: embedded)), model.llm(embedded), atol=1e-2)
    split.upper(split.kept(0, lambda: embedded)).sum().backward()
    assert {name.split(".")[1] for name, value in model.llm.lora_state().items() if value.grad is not None} == {"1"}
