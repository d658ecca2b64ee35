"""The recipe of nano's language side: which dialogues each stage of stages.py sees, and for how long.

`python -m nextgpt_core.train.nano.language STAGE` runs (or goes on with) one stage and exports the trained parts to checkpoints/nano.
"""

import argparse
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from nextgpt_core.build import build_template, build_trainable
from nextgpt_core.config import Preset, load_preset
from nextgpt_core.messages import Media
from nextgpt_core.train.data import Batch, Sample, bucketed, collate, encode_dialogue
from nextgpt_core.train.half import freeze_in_half, half_head
from nextgpt_core.train.loop import STATE_FILE, Budget, Losses, batch_embeddings, batch_losses, span_states, train
from nextgpt_core.train.losses import alignment_loss
from nextgpt_core.train.nano import mosit
from nextgpt_core.train.nano.mosit import Dialogue, MediaSource
from nextgpt_core.train.nano.pictures import FLAT_STYLE
from nextgpt_core.train.nano.pools import Pools
from nextgpt_core.train.nano.sprites import MAIN_STYLE
from nextgpt_core.train.nano.stand_ins import StandIns, warm_start
from nextgpt_core.train.nano.text_space import CONDITION_SCALE, encode_texts
from nextgpt_core.train.split import SplitNetwork
from nextgpt_core.train.stages import STAGES, Stage

log = logging.getLogger(__name__)
RUNS = Path("runs") / "nano" / "language"
CPU_MINUTES = {"wishes": 10, "instruction": 40, "encoder": 8, "decoder": 8}  # in this order
DIALOGUES = {"captions": 12_000, "states": 5_000, "wishes": 2_500, "mosit": 6_000}


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

    def __init__(self, preset: Preset, *, start: Path | None = None, dialogues: Mapping[str, int] = DIALOGUES) -> None:
        """`start` is a folder of exported parts to begin with; None begins with fresh ones. `dialogues` is the size of each dataset."""
        torch.manual_seed(0)
        self.preset, self.dialogues = preset, dialogues
        self.model = build_trainable(preset)
        if start is not None:
            self.model.load_trained(start)
        self.template = build_template(preset, self.model)
        self.space = CaptionSpace()
        self.stand_ins = StandIns(self.model.llm)
        self.head = half_head(self.model.llm)
        freeze_in_half(self.model.llm.network)

    def samples(self, dialogues: Sequence[Dialogue], features: Callable[[Media], Tensor]) -> list[Sample]:
        """Dialogues -> samples; `features` gives the vectors of what users send, captions of what is made are encoded on the way."""
        self.space.add(media.info["caption"] for dialogue in dialogues for message in dialogue for media in message.media)
        return [
            encode_dialogue(
                messages,
                template=self.template,
                signals=self.model.signals,
                features=features,
                conditions=self.space,
                vectors_of=self.preset.encoder.tokens.__getitem__,
            )
            for messages in dialogues
        ]

    def batches(self, stage: Stage) -> list[Batch]:
        """A stage's dataset as batches; every epoch has the same ones in a new order."""
        pools = Pools()
        source: MediaSource = mosit.RenderedScenes(styles=_STYLES) if stage.stand_ins else pools
        features = self.stand_ins if stage.stand_ins else pools.features_of
        samples = self.samples(DATASETS[stage.dataset](source, self.dialogues[stage.dataset]), features)
        log.info("%s: %d dialogues, %d tokens", stage.name, len(samples), sum(map(len, samples)))
        return [collate(chosen) for chosen in bucketed(samples, positions=stage.positions, seed=0)]

    def losses(self, stage: Stage) -> Callable[[int], Losses]:
        """What a stage minimises at a step."""
        if stage.dataset == "states":
            return self._state_losses()
        batches = self.batches(stage)
        split = SplitNetwork(self.model.llm, at=stage.frozen_layers) if stage.frozen_layers else None
        noise = stage.noise * (self.stand_ins.deviation if stage.stand_ins else 1.0)
        project = _as_they_are if stage.stand_ins else None

        def losses_of(step: int) -> Losses:
            chosen = _shuffled(step, len(batches))
            batch = batches[chosen]

            def embeddings(seed: int) -> Tensor:
                return batch_embeddings(self.model, batch, noise=noise, seed=seed, project=project)

            states = self.model.llm(embeddings(step)) if split is None else split.upper(split.kept(chosen, lambda: embeddings(chosen)))
            return batch_losses(self.model, batch, states, head=self.head)

        return losses_of

    def _state_losses(self, *, batch: int = 128) -> Callable[[int], Losses]:
        """The decoder side: states at signal tokens do not depend on the output projections, so the language model runs only once."""
        samples = self.samples(DATASETS["states"](mosit.RenderedScenes(styles=_STYLES), self.dialogues["states"]), self.stand_ins)
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
            states = self.model.llm(batch_embeddings(self.model, batch, project=_as_they_are))
            for modality, group in batch.spans.items():
                found[modality].append((span_states(self.model, states, modality, group).clone(), group.vectors))
        return {modality: (torch.cat([s for s, _ in items]), torch.cat([w for _, w in items])) for modality, items in found.items()}


def _shuffled(step: int, count: int) -> int:
    """The item of a step when `count` items are gone through again and again, in the given order first and in a new one each time."""
    epoch, place = divmod(step, count)
    if not epoch:
        return place
    return int(torch.randperm(count, generator=torch.Generator().manual_seed(epoch))[place])


def _as_they_are(modality: str, vectors: Tensor) -> Tensor:
    return vectors


_MAKING = ("wish", "implicit", "several", "send and wish")  # openings whose answers hold media
_STYLES = (MAIN_STYLE,) * 8 + (FLAT_STYLE,)


def _captions(source: MediaSource, count: int) -> list[Dialogue]:
    return mosit.build_dialogues(count, seed=11, source=source, only=("ask",), longest=1)


def _states(source: MediaSource, count: int) -> list[Dialogue]:
    built = mosit.build_dialogues(count, seed=21, source=source, only=_MAKING, longest=2)
    return [dialogue for dialogue in built if any(message.role == "assistant" and message.media for message in dialogue)]


def _wishes(source: MediaSource, count: int) -> list[Dialogue]:
    built = mosit.build_dialogues(2 * count, seed=31, source=source)
    return [dialogue for dialogue in built if not any(m.role == "user" and m.media for m in dialogue)][:count]


def _mosit(source: MediaSource, count: int) -> list[Dialogue]:
    """Two thirds whole dialogues, the rest mostly naming (so that it stays sharp) and some plain chat."""
    whole = mosit.build_dialogues(2 * count // 3, seed=41, source=source)
    naming = mosit.build_dialogues(count // 4, seed=42, source=source, only=("ask",), longest=1)
    chat = mosit.build_dialogues(count // 12, seed=43, only=("plain chat",), longest=1)
    return [*whole, *naming, *chat]


DATASETS: dict[str, Callable[[MediaSource, int], list[Dialogue]]] = {
    "captions": _captions,
    "states": _states,
    "wishes": _wishes,
    "mosit": _mosit,
}


def run(name: str, *, cpu_minutes: float | None = None, start: Path | None = None, dialogues: int | None = None) -> None:
    """Run a stage (a key of CPU_MINUTES) or go on with it, and export what was trained to its folder in RUNS and to the preset's.

    `start` holds the parts to begin with (None: fresh ones), `dialogues` is the size of the dataset (None: DIALOGUES).
    """
    preset = load_preset("nano")
    recipe = Recipe(preset, start=start, dialogues=dict.fromkeys(DIALOGUES, dialogues) if dialogues else DIALOGUES)
    stage = STAGES[name]
    if name == "encoder" and not (RUNS / name / STATE_FILE).is_file():
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
    parser.add_argument("--dialogues", type=int, help="size of the dataset")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    run(options.stage, cpu_minutes=options.cpu_minutes, start=options.start, dialogues=options.dialogues)


if __name__ == "__main__":
    main()
