"""Word embeddings in the place of media: what a projected encoder vector should come near to.

The first vectors of a file stand for what it is, the others for its motion and its look, as the input embeddings of the words that tell
it. The language model learns to read these before any encoder exists, and each input projection begins as a regression from encoder
vectors to them; both cost next to nothing beside captioning through the language model, which then only has to refine.
"""

import logging

import torch
from torch import Tensor
from torch.nn import functional as F

from nextgpt_core.llm.language_model import LanguageModel
from nextgpt_core.messages import Media
from nextgpt_core.model import NextGPT
from recipes.nano.language.pools import Pools, mixed
from recipes.nano.world.pictures import PictureScene
from recipes.nano.world.scenes import Scene, caption
from recipes.nano.world.sounds.catalogue import SoundScene
from recipes.nano.world.videos import VideoScene

log = logging.getLogger(__name__)
_NOISE = 0.15  # on features of unit variance
_TEMPERATURE = 0.05
_SILENT = frozenset(("a", "an", "the", "on", "in", "at", "to", "moving"))


class StandIns:
    """Scene -> vectors [N * spread, d] in the language model's input space."""

    def __init__(self, llm: LanguageModel, *, spread: int) -> None:
        self._llm, self._spread = llm, spread
        self._known: dict[str, Tensor] = {}
        self.deviation = float(llm.network.embed_tokens.weight.std())  # of one element

    def __call__(self, media: Media) -> Tensor:
        return self.of(media.info["scene"])

    def of(self, scene: Scene) -> Tensor:
        return torch.cat([self._words(words) for words in told(scene)])

    @torch.no_grad()
    def _words(self, words: str) -> Tensor:
        """One vector for each of the first tokens, the last one the sum of those that are left; a blank's where there are fewer."""
        if words not in self._known:
            ids = self._llm.tokenizer.encode(f" {words}")
            ids += self._llm.tokenizer.encode(" ") * (self._spread - len(ids))
            embedded = self._llm.embed(torch.tensor(ids))
            rest = embedded[self._spread - 1 :]
            self._known[words] = torch.cat([embedded[: self._spread - 1], rest.sum(0, keepdim=True) / len(rest) ** 0.5])
        return self._known[words]


def told(scene: Scene) -> list[str]:
    """The words of each vector: what it is, how it moves (videos), how it looks or sounds ("plain" if there is nothing to tell)."""
    if isinstance(scene, SoundScene):
        return [_bare(scene.kind), _beside(caption(scene), scene.kind)]
    picture = scene.picture if isinstance(scene, VideoScene) else scene
    words = (_COUNTS[picture.count], picture.size, picture.colour, picture.position.split(" ")[-1], _background(picture))
    look = " ".join(word for word in words if word)
    motion = [" ".join(word for word in scene.motion.split() if word not in _SILENT)] if isinstance(scene, VideoScene) else []
    return [picture.thing.name, *motion, look or "plain"]


def warm_start(model: NextGPT, pools: Pools, *, spread: int, steps: int, batch: int = 192) -> dict[str, float]:
    """Regress every input projection on the stand-ins of the pool's scenes; returns the share of things that it makes nearest to their own.

    Beside the squared error counts which of all stand-ins is nearest, and the first vector is mixed with another file's, its own having
    the larger share: what encoders make of a style never seen lies between two things, and should become the nearer one.
    """
    stand_ins = StandIns(model.llm, spread=spread)
    found = {}
    for modality, features in pools.features.items():
        wanted = torch.stack([stand_ins.of(pools.scene(modality, index)) for index in range(len(features))]) / stand_ins.deviation
        grouped = wanted.unflatten(1, (-1, spread)).flatten(2)  # [n, N, spread * d]: what each encoder vector becomes
        distinct = [torch.unique(grouped[:, place], dim=0, return_inverse=True) for place in range(grouped.shape[1])]
        network = model.input_projection.networks[modality].requires_grad_(True)
        optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.01)
        generator = torch.Generator().manual_seed(0)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * (1 - step / steps)
            rows, others = torch.randint(len(features), (2, batch), generator=generator)
            chosen = features[rows].float()
            share = 0.5 + 0.5 * torch.rand(batch, 1, generator=generator)
            chosen[:, 0] = mixed(chosen[:, 0], features[others, 0].float(), share)
            made = network(chosen + _NOISE * torch.randn(chosen.shape, generator=generator)) / stand_ins.deviation
            each = made.unflatten(1, (-1, spread)).flatten(2)
            nearest = [
                F.cross_entropy(F.normalize(each[:, place], dim=-1) @ F.normalize(kinds, dim=-1).T / _TEMPERATURE, kind[rows])
                for place, (kinds, kind) in enumerate(distinct)
            ]
            loss = F.mse_loss(made, wanted[rows]) + 0.1 * torch.stack(nearest).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        kinds, kind = distinct[0]
        with torch.no_grad():
            made = F.normalize(network(features[:2000].float())[:, :spread].flatten(1), dim=-1) @ F.normalize(kinds, dim=-1).T
        found[modality] = float((made.argmax(1) == kind[:2000]).float().mean())
        log.info("warm start: %s, %.1f %% nearest to their own words (of %d)", modality, 100 * found[modality], len(kinds))
    return found


_COUNTS = {1: "", 2: "two", 3: "three"}


def _background(picture: PictureScene) -> str:
    return "" if picture.background == "white" else f"{picture.background} background"


def _beside(said: str, name: str) -> str:
    known = set(name.split())
    return " ".join(word for word in said.split() if word not in known and word not in _SILENT) or "plain"


def _bare(name: str) -> str:
    first, _, rest = name.partition(" ")
    return rest if first in ("a", "an") else name
