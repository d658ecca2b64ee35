"""Muon's orthogonalised updates."""

import torch
from torch import nn

from recipes.nano.muon import Muon, orthogonalise


def test_orthogonalise_brings_singular_values_near_one_and_keeps_directions() -> None:
    torch.manual_seed(0)
    for shape in ((16, 16), (8, 72), (40, 12)):
        matrix = torch.randn(shape)
        out = orthogonalise(matrix)
        values = torch.linalg.svdvals(out)
        assert values.min() > 0.4 and values.max() < 1.3
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        assert (left * (left.T @ out @ right.T).diagonal() @ right - out).abs().max() < 0.05


def test_a_small_network_learns_and_the_state_can_be_resumed() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 1, 3, padding=1))
    data = torch.randn(16, 1, 8, 8)
    target = data.roll(1, 3)
    optimizer = Muon(net, lr=5e-3, adam=("2",))
    losses = []
    for step in range(60):
        if step == 30:
            resumed = Muon(net, lr=5e-3, adam=("2",))
            resumed.load_state_dict(optimizer.state_dict())
            optimizer = resumed
        loss = (net(data) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert losses[31] < losses[29] * 1.05
