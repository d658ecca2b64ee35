"""Word embeddings in the place of media: what a projected encoder vector should come near to.

The first vector of a medium stands for what it is, the others for its motion and its look, each as the sum of the input embeddings of the
words that tell it. The language model learns to read these before any encoder exists, and each input projection begins as a regression
from encoder vectors to them; both cost next to nothing beside captioning through the language model, which then only has to refine.
"""

import logging

import torch
from torch import Tensor
from torch.nn import functional as F

from nextgpt_core.llm import LanguageModel
from nextgpt_core.messages import Media
from nextgpt_core.model import NextGPT
from nextgpt_core.train.nano.films import FilmScene
from nextgpt_core.train.nano.mosit import Scene, caption
from nextgpt_core.train.nano.pictures import PictureScene
from nextgpt_core.train.nano.pools import Pools
from nextgpt_core.train.nano.sounds import SoundScene

log = logging.getLogger(__name__)
_SILENT = frozenset(("a", "an", "the", "on", "in", "at"))


class StandIns:
    """Scene -> vectors [N, d] in the language model's input space."""

    def __init__(self, llm: LanguageModel) -> None:
        self._llm = llm
        self._known: dict[str, Tensor] = {}
        self.deviation = float(llm.network.embed_tokens.weight.std())  # of one element

    def __call__(self, media: Media) -> Tensor:
        return self.of(media.info["scene"])

    def of(self, scene: Scene) -> Tensor:
        return torch.stack([self._words(words) for words in told(scene)])

    @torch.no_grad()
    def _words(self, words: str) -> Tensor:
        if words not in self._known:
            embedded = self._llm.embed(torch.tensor(self._llm.tokenizer.encode(f" {words}")))
            self._known[words] = embedded.sum(0) / len(embedded) ** 0.5  # as long as one word's
        return self._known[words]


def told(scene: Scene) -> list[str]:
    """The words of each vector: what it is, how it moves (films), how it looks or sounds ("plain" if there is nothing to tell)."""
    if isinstance(scene, SoundScene):
        return [_bare(scene.kind), _beside(caption(scene), scene.kind)]
    picture = scene.picture if isinstance(scene, FilmScene) else scene
    words = (_COUNTS[picture.count], picture.size, picture.colour, picture.position.split(" ")[-1], _background(picture))
    look = " ".join(word for word in words if word)
    return [picture.thing.name, *([scene.motion] if isinstance(scene, FilmScene) else []), look or "plain"]


def warm_start(model: NextGPT, pools: Pools, *, steps: int = 800, batch: int = 192, noise: float = 0.15) -> dict[str, float]:
    """Regress every input projection on the stand-ins of the pool's scenes; returns the share of variance explained per modality."""
    stand_ins = StandIns(model.llm)
    explained = {}
    for modality, features in pools.features.items():
        wanted = torch.stack([stand_ins.of(pools.scene(modality, index)) for index in range(len(features))]) / stand_ins.deviation
        network = model.input_projection.networks[modality].requires_grad_(True)
        optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.01)
        generator = torch.Generator().manual_seed(0)
        losses = []
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * (1 - step / steps)
            rows = torch.randint(len(features), (batch,), generator=generator)
            chosen = features[rows].float()
            loss = F.mse_loss(network(chosen + noise * torch.randn(chosen.shape, generator=generator)) / stand_ins.deviation, wanted[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        explained[modality] = 1 - sum(losses[-50:]) / 50 / float(wanted.var())
        log.info("warm start: the %s vectors explain %.0f %% of their words' variance", modality, 100 * explained[modality])
    return explained


_COUNTS = {1: "", 2: "two", 3: "three"}


def _background(picture: PictureScene) -> str:
    return "" if picture.background == "white" else f"{picture.background} background"


def _beside(said: str, name: str) -> str:
    known = set(name.split())
    return " ".join(word for word in said.split() if word not in known and word not in _SILENT) or "plain"


def _bare(name: str) -> str:
    first, _, rest = name.partition(" ")
    return rest if first in ("a", "an") else name
