"""Training in several processes of one machine: every process has the whole model and sees batches of its own, gradients are averaged.

On a CPU two processes of one core each see nearly twice as much as one process of two cores: the many small operations between the large
products gain nothing from a second core.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

T = TypeVar("T")


def in_parallel(function: Callable[..., None], *arguments: Any, processes: int) -> None:
    """Call `function(*arguments)` in each of `processes` new processes, which share the cores evenly, and wait for all of them.

    Everything has to be picklable. With one process it is an ordinary call. An error in one of them ends all and is raised here.
    """
    if processes == 1:
        function(*arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_one_of, (processes, Path(folder) / "meeting", function, arguments), nprocs=processes)


def rank() -> int:
    """Which of the processes this is, from 0; 0 too where there is only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def average_gradients(parameters: Sequence[Tensor]) -> None:
    """Give every process the mean of all processes' gradients. A parameter that a process did not use counts as 0 there."""
    if world() == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= world()
    for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def share_from_first(tensors: Sequence[Tensor]) -> None:
    """Overwrite these in every process with the first one's, so that all begin alike."""
    if world() > 1:
        for tensor in tensors:
            dist.broadcast(tensor.data, src=0)


def gathered(value: T) -> list[T]:
    """Every process' `value`, in their order; tensors come as they are, on the CPU."""
    if world() == 1:
        return [value]
    found: list[Any] = [None] * world()
    dist.all_gather_object(found, value)
    return found


def furthest(value: float) -> float:
    """The largest `value` of all processes: what all agree on, so that none goes on alone."""
    if world() == 1:
        return value
    said = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(said, op=dist.ReduceOp.MAX)
    return float(said)


def _one_of(number: int, processes: int, meeting: Path, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes))
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=number, world_size=processes)
    try:
        function(*arguments)
    finally:
        dist.destroy_process_group()
