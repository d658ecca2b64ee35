"""Grouping input projection: many patch vectors -> eight concept vectors (paper, section 3; GroupViT, Xu et al. 2022).

Three stages of transformer blocks. Learned group tokens ride along in the first two; at the end of each, every position is assigned to the
one group it attends to most, and a group becomes the mean of its positions.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROUPS = (64, 8)
DEPTHS = (6, 3, 3)
HEADS = 8


class GroupProjection(nn.Module):
    """[b, N, D] -> [b, 8, d]; N is about 128 or more (ImageBind's 256 patches)."""

    def __init__(self, width: int, out: int, *, hidden: int = 512) -> None:
        super().__init__()
        self.enter = nn.Linear(width, hidden)
        self.stages = nn.ModuleList(
            Stage(hidden, depth=depth, groups=groups, groups_before=before)
            for depth, groups, before in zip(DEPTHS, (*GROUPS, 0), (0, *GROUPS), strict=True)
        )
        self.norm = nn.LayerNorm(hidden)
        self.leave = nn.Linear(hidden, out)

    def forward(self, x: Tensor) -> Tensor:
        x, tokens = self.enter(x), None
        for stage in self.stages:
            x, tokens = stage(x, tokens)
        return self.leave(self.norm(x))


class Stage(nn.Module):
    """Blocks over positions and group tokens together, then the positions are gathered into the groups."""

    def __init__(self, width: int, *, depth: int, groups: int, groups_before: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.groups = groups
        if groups:
            self.tokens = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, groups, width), std=0.02))
            self.gather = Gather(width, groups=groups)
        self.carry: nn.Module | None = None
        if groups and groups_before:  # the groups of the stage before inform these
            self.carry = nn.Sequential(nn.LayerNorm(width), AcrossTokens(groups_before, width // 2, groups))

    def forward(self, x: Tensor, tokens_before: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if not self.groups:
            for block in self.blocks:
                x = block(x)
            return x, None
        tokens = self.tokens.expand(len(x), -1, -1)
        if self.carry is not None:
            tokens = tokens + self.carry(tokens_before)
        both = torch.cat((x, tokens), dim=1)
        for block in self.blocks:
            both = block(both)
        x, tokens = both.split((x.shape[1], self.groups), dim=1)
        return self.gather(x, tokens), tokens


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)
        self.mlp = Mlp(width, 4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        x = x + self.proj(_attend(q, k, v))
        return x + self.mlp(self.norm2(x))


class Gather(nn.Module):
    """Positions [b, N, d] -> groups [b, G, d]: groups look at the positions, then each position goes to one group."""

    def __init__(self, width: int, *, groups: int) -> None:
        super().__init__()
        self.norm_tokens, self.norm_projected = nn.LayerNorm(width), nn.LayerNorm(width)
        self.norm_x, self.norm_new = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix = AcrossTokens(groups, width // 2, groups)
        self.look, self.assign = CrossAttention(width), CrossAttention(width)
        self.norm_looked, self.norm_after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.look_mlp, self.mlp = Mlp(width, 4 * width, width), Mlp(width, 4 * width, width)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        x = self.norm_x(x)
        tokens = self.norm_projected(self.mix(self.norm_tokens(tokens)))
        q, k, v = self.look.qkv(tokens, x)
        tokens = tokens + self.look.proj(_attend(q, k, v))
        tokens = self.norm_after(tokens + self.look_mlp(self.norm_looked(tokens)))
        new = tokens + self._assigned(tokens, x)
        return new + self.mlp(self.norm_new(new))

    def _assigned(self, tokens: Tensor, x: Tensor) -> Tensor:
        q, k, v = self.assign.qkv(tokens, x)
        scores = q @ k.transpose(1, 2) * q.shape[-1] ** -0.5  # [b, G, N]
        soft = F.gumbel_softmax(scores, dim=1) if self.training else scores.softmax(1)
        hard = F.one_hot(soft.argmax(1), scores.shape[1]).transpose(1, 2).to(soft)
        weights = hard - soft.detach() + soft  # the choice is hard, its gradient soft
        weights = weights / (weights.sum(-1, keepdim=True) + 1)
        return self.assign.proj(weights @ v)


class CrossAttention(nn.Module):
    """The four linear maps of an attention from one sequence to another."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q, self.k, self.v, self.proj = (nn.Linear(width, width) for _ in range(4))

    def qkv(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.q(query), self.k(key), self.v(key)


class Mlp(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, width: int, hidden: int, out: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class AcrossTokens(Mlp):
    """The same over the token axis: [b, n, d] -> [b, out, d]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
