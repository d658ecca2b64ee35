"""A cheap first guess of the input projections, before any language model runs: each encoder vector is sent to where words already are.

The semantic vector goes to the mean input embedding of the name's tokens, the others to that of the words that tell the attributes.
"""

import logging

import torch
from torch import Tensor
from torch.nn import functional as F

from nextgpt_core.llm import LanguageModel
from nextgpt_core.model import NextGPT
from nextgpt_core.train.nano.mosit import caption, name_of
from nextgpt_core.train.nano.pools import Pools

log = logging.getLogger(__name__)


def warm_start(model: NextGPT, pools: Pools, *, steps: int = 1500, batch: int = 256, noise: float = 0.15) -> dict[str, float]:
    """Regress every projection on word embeddings; returns the share of variance explained per modality."""
    explained = {}
    for modality, features in pools.features.items():
        wanted = _word_embeddings(model.llm, pools, modality, features.shape[1])  # [n, N, d]
        scale = wanted.std()
        network = model.input_projection.networks[modality].requires_grad_(True)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01)
        generator = torch.Generator().manual_seed(0)
        losses = []
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * (1 - step / steps)
            rows = torch.randint(len(features), (batch,), generator=generator)
            chosen = features[rows].float()
            loss = F.mse_loss(network(chosen + noise * torch.randn(chosen.shape, generator=generator)) / scale, wanted[rows] / scale)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss))
        explained[modality] = 1 - sum(losses[-50:]) / 50
        log.info("warm start of %s explains %.0f %% of the word embeddings' variance", modality, 100 * explained[modality])
    return explained


@torch.no_grad()
def _word_embeddings(llm: LanguageModel, pools: Pools, modality: str, vectors: int) -> Tensor:
    """Mean embedding of the name's tokens, then `vectors` - 1 times that of the caption's: float32 [n, N, d]."""
    known: dict[str, Tensor] = {}

    def mean(text: str) -> Tensor:
        if text not in known:
            known[text] = llm.embed(torch.tensor(llm.tokenizer.encode(f" {text}"))).mean(0)
        return known[text]

    rows = []
    for index in range(len(pools.rows[modality])):
        scene = pools.scene(modality, index)
        rest = mean(_told(caption(scene), name_of(scene)))
        rows.append(torch.stack([mean(_bare(pools.rows[modality][index]["thing"]))] + [rest] * (vectors - 1)))
    return torch.stack(rows)


def _told(said: str, name: str) -> str:
    """The caption's words beside the name; a plain one tells "plain"."""
    known = set(name.split())
    return " ".join(word for word in said.split() if word not in known and word not in ("a", "an", "on", "the", "in")) or "plain"


def _bare(name: str) -> str:
    first, _, rest = name.partition(" ")
    return rest if first in ("a", "an") else name
