"""The recipe of nano's language side: which dialogues each stage of stages.py sees, and for how long.

`python -m nextgpt_core.train.nano.language [STAGE…]` runs these stages (default: all, in order), or goes on with them. A stage begins with
the trained parts in checkpoints/nano, as far as they are there, and writes those that it trains back to it.
"""

import argparse
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from nextgpt_core.build import build_template, build_trainable
from nextgpt_core.checkpoints import save_tensors
from nextgpt_core.config import Preset, load_preset
from nextgpt_core.messages import Media
from nextgpt_core.model import TRAINED_FILES
from nextgpt_core.train.data import Batch, Sample, bucketed, collate, encode_dialogue
from nextgpt_core.train.half import freeze_in_half, half_head
from nextgpt_core.train.loop import STATE_FILE, Budget, Losses, batch_embeddings, batch_losses, span_states, train
from nextgpt_core.train.losses import alignment_loss
from nextgpt_core.train.nano import mosit
from nextgpt_core.train.nano.mosit import Dialogue, MediaSource
from nextgpt_core.train.nano.pools import Pools
from nextgpt_core.train.nano.stand_ins import StandIns, warm_start
from nextgpt_core.train.nano.text_space import CONDITION_SCALE, encode_texts
from nextgpt_core.train.split import SplitNetwork
from nextgpt_core.train.stages import STAGES, Stage

log = logging.getLogger(__name__)
RUNS = Path("runs") / "nano" / "language"
CPU_MINUTES = {"wishes": 15, "instruction": 30, "encoder": 8, "media": 20, "decoder": 10}  # in this order
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

    def __init__(self, preset: Preset, *, merged: bool = False, dialogues: Mapping[str, int] = DIALOGUES) -> None:
        """Begins with the parts in the preset's folder, if it holds them all. A `merged` adapter is faster and cannot learn;
        `dialogues` is the size of each dataset."""
        torch.manual_seed(0)
        self.preset, self.dialogues = preset, dialogues
        self.model = build_trainable(preset)
        if all((preset.folder / name).is_file() for name in TRAINED_FILES.values()):
            self.model.load_trained(preset.folder)
        if merged:
            self.model.llm.merge_lora()
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
                words=self._caption_words,
            )
            for messages in dialogues
        ]

    def _caption_words(self, media: Media) -> tuple[int, ...]:
        words = " ".join(word for word in media.info["caption"].split() if word not in ("a", "an", "the", "on", "to"))
        return tuple(self.model.llm.tokenizer.encode(f" {words}"))

    def batches(self, stage: Stage) -> list[Batch]:
        """A stage's dataset as batches; every epoch has the same ones in a new order."""
        pools = Pools()
        source: MediaSource = mosit.RenderedScenes() if stage.stand_ins else pools
        features = self.stand_ins if stage.stand_ins else pools.features_of
        samples = self.samples(DATASETS[stage.dataset](source, self.dialogues[stage.dataset], stage.seed), features)
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

    def _state_losses(self, *, batch: int = 128, noise: float = 0.3) -> Callable[[int], Losses]:
        """The decoder side: states at signal tokens do not depend on the output projections, so the language model runs only once.

        The `noise` on them (a share of their deviation) keeps the projections from learning the states of these captions by heart.
        """
        samples = self.samples(DATASETS["states"](mosit.RenderedScenes(), self.dialogues["states"], 0), self.stand_ins)
        cached = self.states(samples)

        def losses_of(step: int) -> Losses:
            generator = torch.Generator().manual_seed(step)
            distances = []
            for modality, (states, wanted) in cached.items():
                chosen = torch.randint(len(states), (batch,), generator=generator)
                embeddings = self.model.llm.embed(torch.tensor(self.model.signals[modality])).expand(batch, -1, -1)
                blurred = states[chosen] + noise * states.std() * torch.randn(states[chosen].shape, generator=generator)
                distances.append(alignment_loss(self.model.condition(modality, blurred, embeddings), wanted[chosen]))
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


def _captions(source: MediaSource, count: int, seed: int) -> list[Dialogue]:
    return mosit.build_dialogues(count, seed=11 + 100 * seed, source=source, only=("ask",), longest=1)


def _states(source: MediaSource, count: int, seed: int) -> list[Dialogue]:
    """Mostly bare statements, some whole dialogues around them."""
    built = mosit.build_dialogues(count // 8, seed=21 + 100 * seed, source=source, only=_MAKING, longest=2)
    return mosit.build_statements(count, seed=22 + 100 * seed) + built


def _wishes(source: MediaSource, count: int, seed: int) -> list[Dialogue]:
    built = mosit.build_dialogues(2 * count, seed=31 + 100 * seed, source=source)
    return [dialogue for dialogue in built if not any(m.role == "user" and m.media for m in dialogue)][:count]


def _mosit(source: MediaSource, count: int, seed: int) -> list[Dialogue]:
    """Half whole dialogues, the rest naming (so that it stays sharp), bare statements (for the output projections) and plain chat."""
    whole = mosit.build_dialogues(count // 2, seed=41 + 100 * seed, source=source)
    naming = mosit.build_dialogues(count // 6, seed=42 + 100 * seed, source=source, only=("ask",), longest=1)
    chat = mosit.build_dialogues(count // 16, seed=43 + 100 * seed, only=("plain chat",), longest=1)
    return [*whole, *naming, *mosit.build_statements(count, seed=44 + 100 * seed), *chat]


DATASETS: dict[str, Callable[[MediaSource, int, int], list[Dialogue]]] = {
    "captions": _captions,
    "states": _states,
    "wishes": _wishes,
    "mosit": _mosit,
}


def run(name: str, *, cpu_minutes: float | None = None, dialogues: int | None = None) -> None:
    """Run a stage (a key of CPU_MINUTES) or go on with it, and export what it trains to the preset's folder.

    `cpu_minutes` and `dialogues` (the size of the dataset) replace the recipe's own.
    """
    preset, stage = load_preset("nano"), STAGES[name]
    sizes = dict.fromkeys(DIALOGUES, dialogues) if dialogues else DIALOGUES
    recipe = Recipe(preset, merged="lora" not in stage.rates, dialogues=sizes)
    if name == "encoder" and not (RUNS / name / STATE_FILE).is_file():
        warm_start(recipe.model, Pools())

    train(
        recipe.model,
        stage,
        recipe.losses(stage),
        folder=RUNS / name,
        budget=Budget(cpu_seconds=60 * (cpu_minutes or CPU_MINUTES[name])),
    )
    for part in stage.rates:
        save_tensors(recipe.model.trained_state(part), preset.folder / TRAINED_FILES[part], dtype=torch.float16)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the language side of nano, one stage after the other.")
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(CPU_MINUTES)}; default: all")
    parser.add_argument("--cpu-minutes", type=float, help="of each stage")
    parser.add_argument("--dialogues", type=int, help="size of each dataset")
    options = parser.parse_args()
    if unknown := [name for name in options.stages if name not in CPU_MINUTES]:
        parser.error(f"there is no stage '{unknown[0]}'; the stages are {', '.join(CPU_MINUTES)}.")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for name in options.stages or CPU_MINUTES:
        run(name, cpu_minutes=options.cpu_minutes, dialogues=options.dialogues)


if __name__ == "__main__":
    main()
