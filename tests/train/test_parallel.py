"""Two real processes that learn together."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from nextgpt_core.train.loop import Budget, batch_embeddings, batch_losses, train
from nextgpt_core.train.parallel import average_gradients, furthest, gathered, in_parallel, rank, share_from_first, world
from tests.tiny import tiny_model
from tests.train.test_loop import STAGE, batch


def meet(folder: Path) -> None:
    """What every process finds out from the others."""
    weight, unused = nn.Parameter(torch.full((2,), float(rank()))), nn.Parameter(torch.zeros(3))
    share_from_first([weight])
    begun = weight.detach().clone()
    weight.grad = torch.full((2,), 1.0 + rank())
    average_gradients([weight, unused])
    told = {"begun": begun, "mean": weight.grad, "unused": unused.grad, "furthest": furthest(0.25 * rank()), "all": gathered(f"p{rank()}")}
    torch.save(told | {"world": world(), "threads": torch.get_num_threads()}, folder / f"{rank()}.pt")


def learn(folder: Path) -> None:
    """Some steps of the loop; the processes see other noise, and begin with other adapters."""
    torch.manual_seed(rank())
    model = tiny_model()
    model.llm.add_lora(rank=4, alpha=8, targets=("q_proj",))
    seen = batch(model)

    def losses(step: int) -> dict[str, torch.Tensor]:
        return batch_losses(model, seen, model.llm(batch_embeddings(model, seen, noise=0.3, seed=2 * step + rank())))

    train(model, STAGE, losses, folder=folder / "run", budget=Budget(steps=4))
    torch.save({name: value.detach() for name, value in model.llm.lora_state().items()}, folder / f"{rank()}.pt")


def everything(folder: Path) -> None:
    """All that is tested, in one pair of processes: each imports torch and transformers, which takes longer than what they do."""
    meet(folder / "met")
    learn(folder / "learnt")
    gathered(None)  # both have written
    if rank() == 1:
        raise ValueError("the second one broke")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Exception]:
    """Where two processes wrote what they found, and how they ended."""
    folder = tmp_path_factory.mktemp("parallel")
    for name in ("met", "learnt"):
        (folder / name).mkdir()
    with pytest.raises(Exception) as ended:
        in_parallel(everything, folder, processes=2)
    return folder, ended.value


@pytest.mark.slow
def test_processes_share_gradients_and_decisions(done: tuple[Path, Exception]):
    for number in (0, 1):
        told = torch.load(done[0] / "met" / f"{number}.pt")
        assert told["begun"].tolist() == [0.0, 0.0] and told["mean"].tolist() == [1.5, 1.5] and told["unused"].tolist() == [0.0] * 3
        assert told["furthest"] == 0.25 and told["all"] == ["p0", "p1"] and told["world"] == 2
        assert told["threads"] == max(1, (os.cpu_count() or 1) // 2)


@pytest.mark.slow
def test_what_they_learn_is_the_same_and_one_of_them_writes(done: tuple[Path, Exception]):
    folder = done[0] / "learnt"
    first, second = (torch.load(folder / f"{number}.pt") for number in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(value.abs().max() > 0 for name, value in first.items() if "lora_B" in name)
    assert len((folder / "run" / "log.csv").read_text().splitlines()) == 5


@pytest.mark.slow
def test_an_error_in_one_of_them_is_raised(done: tuple[Path, Exception]):
    assert "the second one broke" in str(done[1])


def test_one_process_is_this_one(tmp_path: Path):
    in_parallel(meet, tmp_path, processes=1)
    told = torch.load(tmp_path / "0.pt")
    assert told["world"] == 1 and told["all"] == ["p0"] and told["furthest"] == 0.0
