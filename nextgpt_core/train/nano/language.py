"""The recipe of nano's language side: which dialogues each stage of stages.py sees, and for how long.

`python -m nextgpt_core.train.nano.language STAGE` runs (or goes on with) one stage and exports the trained parts to checkpoints/nano.
"""

import argparse
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from nextgpt_core.build import build_template, build_trainable
from nextgpt_core.config import Preset, load_preset
from nextgpt_core.messages import Media, Message
from nextgpt_core.train.data import Batch, Sample, bucketed, collate, encode_dialogue
from nextgpt_core.train.half import freeze_in_half, half_head
from nextgpt_core.train.loop import Budget, Losses, batch_embeddings, batch_losses, span_states, train
from nextgpt_core.train.losses import alignment_loss
from nextgpt_core.train.nano import mosit
from nextgpt_core.train.nano.mosit import Dialogue
from nextgpt_core.train.nano.pools import Pools
from nextgpt_core.train.nano.sources import CACHE
from nextgpt_core.train.nano.text_space import CONDITION_SCALE, encode_texts
from nextgpt_core.train.nano.warm_start import warm_start
from nextgpt_core.train.stages import STAGES, Stage

log = logging.getLogger(__name__)
RUNS = Path("runs") / "nano" / "language"
CAPTIONS_FILE = CACHE / "nano" / "caption_space.safetensors"
CPU_MINUTES = {"encoder": 8, "decoder": 8, "wishes": 10, "instruction": 40, "refresh": 8}
DIALOGUES = {"captions": 12_000, "wishes": 4_000, "mosit": 8_000}


class CaptionSpace:
    """Conditions of captions: scaled MiniLM embeddings [1, 384], encoded once."""

    def __init__(self) -> None:
        self._rows: dict[str, Tensor] = {}

    def add(self, captions: Iterable[str]) -> None:
        new = sorted(set(captions) - self._rows.keys())
        self._rows.update(zip(new, encode_texts(new) * CONDITION_SCALE))

    def __call__(self, media: Media) -> Tensor:
        return self._rows[media.info["caption"]][None]


class Recipe:
    """The model being trained, and its datasets as batches."""

    def __init__(self, preset: Preset, *, start: Path | None = None) -> None:
        """`start` is a folder of exported parts to begin with; None begins with fresh ones."""
        torch.manual_seed(0)
        self.preset = preset
        self.model = build_trainable(preset)
        if start is not None:
            self.model.load_trained(start)
        self.template = build_template(preset, self.model)
        self.space = CaptionSpace()
        self.head = half_head(self.model.llm)
        freeze_in_half(self.model.llm.network)

    def samples(self, dialogues: Sequence[Dialogue], pools: Pools) -> list[Sample]:
        """Dialogues -> samples; captions of what is made are encoded on the way."""
        self.space.add(media.info["caption"] for dialogue in dialogues for message in dialogue for media in message.media)
        return [self.sample(dialogue, pools) for dialogue in dialogues]

    def sample(self, messages: Sequence[Message], pools: Pools) -> Sample:
        return encode_dialogue(
            messages,
            template=self.template,
            signals=self.model.signals,
            features=pools.features_of,
            conditions=self.space,
            vectors_of=self.preset.encoder.tokens.__getitem__,
        )

    def batches(self, dataset: str, *, positions: int) -> Callable[[int], Batch]:
        """Batch of a step, over and over the dataset in a new order each time."""
        pools = Pools()
        samples = self.samples(DATASETS[dataset](pools), pools)
        log.info("%s: %d dialogues, %d tokens", dataset, len(samples), sum(map(len, samples)))

        @cache
        def epoch(number: int) -> list[list[Sample]]:
            return list(bucketed(samples, positions=positions, seed=number))

        starts = [0]

        def batch_of(step: int) -> Batch:
            while step >= starts[-1]:
                starts.append(starts[-1] + len(epoch(len(starts) - 1)))
            number = next(i for i in range(len(starts)) if starts[i + 1] > step)
            return collate(epoch(number)[step - starts[number]])

        return batch_of

    def losses(self, stage: Stage) -> Callable[[int], Losses]:
        """What a stage minimises at a step."""
        if stage.dataset == "states":
            return self._state_losses()
        batch_of = self.batches(stage.dataset, positions=stage.positions)
        return lambda step: batch_losses(self.model, batch_of(step), noise=stage.noise, seed=step, head=self.head)

    def _state_losses(self, *, batch: int = 128) -> Callable[[int], Losses]:
        """The decoder side: states at signal tokens do not depend on the output projections, so the language model runs only once."""
        pools = Pools()
        samples = self.samples(_with_media(mosit.build_dialogues(DIALOGUES["wishes"], seed=21, source=_Sent(pools))), pools)
        cached = self.states(samples)

        def losses_of(step: int) -> Losses:
            generator = torch.Generator().manual_seed(step)
            distances = []
            for modality, (states, wanted) in cached.items():
                chosen = torch.randint(len(states), (batch,), generator=generator)
                embeddings = self.model.llm.embed(torch.tensor(self.model.signals[modality])).expand(batch, -1, -1)
                distances.append(alignment_loss(self.model.condition(modality, states[chosen], embeddings), wanted[chosen]))
            return {"alignment": torch.stack(distances).mean()}

        return losses_of

    @torch.inference_mode()
    def states(self, samples: Sequence[Sample], *, positions: int = 1024) -> dict[str, tuple[Tensor, Tensor]]:
        """Modality -> states at its spans [m, k, d] and wanted conditions [m, L, D]."""
        found: dict[str, list[tuple[Tensor, Tensor]]] = {modality: [] for modality in self.model.signals}
        for chosen in bucketed(samples, positions=positions, seed=0):
            batch = collate(chosen)
            states = self.model.llm(batch_embeddings(self.model, batch))
            for modality, group in batch.spans.items():
                found[modality].append((span_states(self.model, states, modality, group).clone(), group.vectors))
        return {modality: (torch.cat([s for s, _ in items]), torch.cat([w for _, w in items])) for modality, items in found.items()}


class _Sent:
    """The pools, or rendered scenes for a modality whose pool is not there (its dialogues are left out)."""

    def __init__(self, pools: Pools) -> None:
        self.pools, self.rendered = pools, mosit.RenderedScenes()

    def draw(self, rng, modality):  # type: ignore[no-untyped-def]
        return (self.pools if modality in self.pools.features else self.rendered).draw(rng, modality)


def _with_media(dialogues: Sequence[Dialogue]) -> list[Dialogue]:
    return [d for d in dialogues if _usable(d) and any(m.role == "assistant" and m.media for m in d)]


def _usable(dialogue: Dialogue) -> bool:
    """Everything that the user sends is in a pool."""
    return all("pool" in media.info for message in dialogue if message.role == "user" for media in message.media)


def _captions(pools: Pools) -> list[Dialogue]:
    built = mosit.build_dialogues(DIALOGUES["captions"], seed=11, source=_Sent(pools), only=("ask",), longest=1)
    return [dialogue for dialogue in built if _usable(dialogue)]


def _wishes(pools: Pools) -> list[Dialogue]:
    built = mosit.build_dialogues(2 * DIALOGUES["wishes"], seed=31)
    return [dialogue for dialogue in built if not any(m.role == "user" and m.media for m in dialogue)]


def _mosit(pools: Pools) -> list[Dialogue]:
    whole = [d for d in mosit.build_dialogues(DIALOGUES["mosit"], seed=41, source=_Sent(pools)) if _usable(d)]
    naming = mosit.build_dialogues(DIALOGUES["mosit"] // 3, seed=42, source=_Sent(pools), only=("ask",), longest=1)
    chat = mosit.build_dialogues(DIALOGUES["mosit"] // 20, seed=43, only=("plain chat",), longest=1)
    return whole + [dialogue for dialogue in naming if _usable(dialogue)] + chat


DATASETS: dict[str, Callable[[Pools], list[Dialogue]]] = {"captions": _captions, "wishes": _wishes, "mosit": _mosit}


def run(name: str, *, cpu_minutes: float | None = None, start: Path | None = None, preset_name: str = "nano") -> None:
    """Run a stage (a key of CPU_MINUTES) or go on with it, and export what was trained. `start`: parts to begin with, None: fresh ones."""
    preset = load_preset(preset_name)
    recipe = Recipe(preset, start=start)
    stage = STAGES["decoder" if name == "refresh" else name]
    if name == "encoder" and start is None:
        warm_start(recipe.model, Pools())
    train(
        recipe.model,
        stage,
        recipe.losses(stage),
        folder=RUNS / name,
        budget=Budget(cpu_seconds=60 * (cpu_minutes or CPU_MINUTES[name])),
        on_save=lambda model: model.save_trained(RUNS / name / "parts"),
    )
    recipe.model.save_trained(preset.folder)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the language side of nano, one stage at a time.")
    parser.add_argument("stage", choices=list(CPU_MINUTES))
    parser.add_argument("--cpu-minutes", type=float)
    parser.add_argument("--start", type=Path, help="folder of exported parts to begin with (default: fresh ones)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    run(options.stage, cpu_minutes=options.cpu_minutes, start=options.start)


if __name__ == "__main__":
    main()
