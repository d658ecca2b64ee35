"""The recipe of nano's language side: which dialogues each stage of stages.py sees, and for how long.

`python -m recipes.nano.language.training [STAGE…]` runs these stages (default: all, in order), or goes on with them. A stage begins with
the trained parts in checkpoints/nano, as far as they are there, and writes those that it trains back to it.
"""

import argparse
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nextgpt_core.build import build_template, build_trainable
from nextgpt_core.checkpoints import save_tensors
from nextgpt_core.config import Preset, load_preset
from nextgpt_core.messages import Media
from nextgpt_core.model import TRAINED_FILES, NextGPT
from nextgpt_core.train.data import Batch, Sample, bucketed, collate, encode_dialogue
from nextgpt_core.train.dialogues import Dialogue
from nextgpt_core.train.loop import Losses, batch_embeddings, batch_losses, span_states, train
from nextgpt_core.train.losses import alignment_loss
from nextgpt_core.train.parallel import gathered, in_parallel, rank, share_from_first, world
from nextgpt_core.train.session import STATE_FILE, Budget
from nextgpt_core.train.split import SplitNetwork
from nextgpt_core.train.stages import Stage
from recipes.nano.bfloat16 import freeze_in_half, half_head
from recipes.nano.decoders import audio, image, video
from recipes.nano.decoders.unet import read_captions, whitening, write_projected
from recipes.nano.dialogues import builder
from recipes.nano.language.pools import Pools
from recipes.nano.language.stages import STAGES
from recipes.nano.language.stand_ins import StandIns, warm_start
from recipes.nano.paths import RUNS
from recipes.nano.text_space import CONDITION_SCALE, encode_texts
from recipes.nano.world.scenes import MediaSource, RenderedScenes

log = logging.getLogger(__name__)
LANGUAGE_RUNS = RUNS / "language"
CPU_MINUTES = {"instruction": 40, "media": 130, "encoder": 20, "decoder": 17}  # in this order
WARM_STEPS = 1000  # of the regression that input projections begin with
PROCESSES = 2  # each takes 4 GB, and what a step learns from grows with them
DECODERS: dict[str, Any] = {"image": image, "audio": audio, "video": video}
DIALOGUES = {"captions": 6_000, "states": 7_500, "mosit": 5_000}
STATEMENTS = {"image": 1.4, "video": 0.87, "audio": 0.33}  # captions that decoders learn from, as shares of "states"
_WHITENED = 0.5  # weight of the distance that counts rare directions as much as common ones: what tells captions of one thing apart


class CaptionSpace:
    """Conditions of captions: scaled MiniLM embeddings [1, 384], encoded once."""

    def __init__(self) -> None:
        self._rows: dict[str, Tensor] = {}

    def add(self, captions: Iterable[str]) -> None:
        new = sorted(set(captions) - self._rows.keys())
        self._rows.update(zip(new, encode_texts(new) * CONDITION_SCALE, strict=True))

    def __call__(self, media: Media) -> Tensor:
        return self._rows[media.info["caption"]][None]


class Recipe:
    """The model being trained, and its datasets as batches."""

    def __init__(self, preset: Preset, *, merged: bool = False, fresh: bool = False, dialogues: Mapping[str, int] = DIALOGUES) -> None:
        """Begins with the parts that the preset's folder holds, unless `fresh`. A `merged` adapter is faster and cannot learn;
        `dialogues` is the size of each dataset."""
        torch.manual_seed(0)
        self.preset, self.dialogues = preset, dialogues
        self.model = build_trainable(preset)
        if not fresh:
            self.model.load_trained(preset.folder, parts=[part for part, name in TRAINED_FILES.items() if (preset.folder / name).is_file()])
        share_output_projection(self.model)
        if merged:
            self.model.llm.merge_lora()
        self.template = build_template(preset, self.model)
        self.space = CaptionSpace()
        self.stand_ins = StandIns(self.model.llm, spread=preset.input_projection.spread)
        self._statements: dict[str, tuple[list[str], Spans]] = {}
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
                vectors_of=lambda modality: self.preset.encoder.tokens[modality] * self.preset.input_projection.spread,
                words=self._caption_words,
            )
            for messages in dialogues
        ]

    def _caption_words(self, media: Media) -> tuple[int, ...]:
        words = " ".join(word for word in media.info["caption"].split() if word not in ("a", "an", "the", "on", "to"))
        return tuple(self.model.llm.tokenizer.encode(f" {words}"))

    def batches(self, stage: Stage) -> list[Batch]:
        """This process' share of a stage's dataset, as batches; every epoch has the same ones in a new order."""
        pools = Pools()
        source: MediaSource = RenderedScenes() if stage.stand_ins else pools
        features: Callable[[Media], Tensor] = self.stand_ins if stage.stand_ins else pools.features_of
        samples = self.samples(DATASETS[stage.dataset](source, self.dialogues[stage.dataset], stage.seed), features)
        log.info("%s: %d dialogues, %d tokens", stage.name, len(samples), sum(map(len, samples)))
        return [collate(chosen) for chosen in bucketed(samples, positions=stage.positions, seed=0)][rank() :: world()]

    def losses(self, stage: Stage) -> Callable[[int], Losses]:
        """What a stage minimises at a step."""
        if stage.dataset not in DATASETS:
            return self._state_losses(stage.noise)
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

    def _state_losses(self, noise: float, *, batch: int = 192) -> Callable[[int], Losses]:
        """The decoder side: states at signal tokens do not depend on the output projections, so the language model runs only once.

        The `noise` on them (a share of their deviation) keeps the projections from learning the states of these captions by heart.
        """
        dialogues = self.samples(_making(self.dialogues["states"] // 12)[rank() :: world()], self.stand_ins)
        spans = joined([self.states(dialogues), *(self.statements(modality)[1] for modality in DECODERS)])
        deviation, network = noise * spans.states.std(), next(iter(self.model.signals))
        whiten, _ = whitening(torch.cat(gathered(spans.wanted[:, 0])))

        def losses_of(step: int) -> Losses:
            generator = torch.Generator().manual_seed(step * world() + rank())
            chosen = torch.randint(len(spans.states), (batch,), generator=generator)
            blurred = spans.states[chosen] + deviation * torch.randn(spans.states[chosen].shape, generator=generator)
            made, wanted = self.model.condition(network, blurred, spans.embeddings[chosen]), spans.wanted[chosen]
            rare = ((made - wanted) @ whiten).square().mean()
            return {"alignment": alignment_loss(made, wanted) + _WHITENED * rare}

        return losses_of

    @torch.inference_mode()
    def states(self, samples: Sequence[Sample], *, positions: int = 1024) -> "Spans":
        """What the output projections will see of all spans of these samples, in the samples' order."""
        found: list[tuple[int, Tensor, Tensor, Tensor]] = []
        places = {id(sample): place for place, sample in enumerate(samples)}
        for chosen in bucketed(samples, positions=positions, seed=0):
            batch = collate(chosen)
            states = self.model.llm(batch_embeddings(self.model, batch, project=_as_they_are))
            for modality, group in batch.spans.items():
                embeddings = self.model.llm.embed(torch.tensor(self.model.signals[modality]))
                for row, seen, wanted in zip(
                    group.rows.tolist(), span_states(self.model, states, modality, group), group.vectors, strict=True
                ):
                    found.append((places[id(chosen[row])], seen.clone(), embeddings, wanted))
        found.sort(key=lambda item: item[0])
        return Spans(*(torch.stack([item[i] for item in found]) for i in (1, 2, 3)))

    def statements(self, modality: str) -> tuple[list[str], "Spans"]:
        """Captions that the modality's decoder learns from, and the spans of statements with them: this process' share, computed once."""
        if modality not in self._statements:
            DECODERS[modality].load_latents()
            captions = _spread(read_captions(DECODERS[modality].LATENTS), int(self.dialogues["states"] * STATEMENTS[modality]))
            captions = captions[rank() :: world()]
            dialogues = [builder.statement(modality, said, seed=place) for place, said in enumerate(captions)]
            self._statements[modality] = captions, self.states(self.samples(dialogues, self.stand_ins))
        return self._statements[modality]

    @torch.inference_mode()
    def write_projected(self) -> None:
        """What the output projection makes of these statements: what the decoders will be given in use."""
        for modality in DECODERS:
            captions, spans = self.statements(modality)
            parts = zip(spans.states.split(256), spans.embeddings.split(256), strict=True)
            made = torch.cat([self.model.condition(modality, states, embeddings)[:, 0] for states, embeddings in parts])
            close = F.cosine_similarity(made, spans.wanted[:, 0]).mean()
            log.info("%s: %d captions projected, cosine to their own embeddings %.3f", modality, len(captions), close)
            everything = gathered((captions, made))
            if rank() == 0:
                said = [caption for part, _ in everything for caption in part]
                write_projected(DECODERS[modality].LATENTS, said, torch.cat([conditions for _, conditions in everything]))


@dataclass(frozen=True)
class Spans:
    """States at signal tokens [m, k, d], the tokens' embeddings [m, k, d] and the wanted conditions [m, L, D]."""

    states: Tensor
    embeddings: Tensor
    wanted: Tensor


def joined(spans: Sequence[Spans]) -> Spans:
    """All of them as one."""
    return Spans(*(torch.cat([getattr(item, field.name) for item in spans]) for field in fields(Spans)))


def _spread(captions: Sequence[str], count: int) -> list[str]:
    """Up to `count` different captions: the shortest (what is asked for most), and some of all others."""
    order = sorted(dict.fromkeys(captions), key=len)
    first, rest = order[: count // 2], order[count // 2 :]
    return first + rest[:: max(1, -(-len(rest) // (count - len(first))))]


def share_output_projection(model: NextGPT) -> None:
    """Make the three output projections one network: nano's decoders are told what to make in one space, MiniLM's, so that what is learnt
    of the words for pictures helps sounds and videos as well. (Their signal tokens differ, and so do the states at them.)"""
    shared = next(iter(model.output_projections.values()))
    for modality in model.output_projections:
        model.output_projections[modality] = shared


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
    """Questions about what is sent, and wishes that come with it: from questions alone the projections learn to say "name me", whatever
    the words beside them want."""
    return [
        *builder.build_questions(count, seed=11 + 100 * seed, source=source),
        *builder.build_dialogues(count // 2, seed=12 + 100 * seed, source=source, only=("send and wish", "ask two"), longest=1),
    ]


def _making(count: int) -> list[Dialogue]:
    """Dialogues around what the assistant makes."""
    return builder.build_dialogues(count, seed=21, only=_MAKING, longest=2)


def _mosit(source: MediaSource, count: int, seed: int) -> list[Dialogue]:
    """`count` dialogues of one to four turns, and beside them short ones of what needs most practice: naming, what a second turn means,
    several media, only words, and bare statements (for the output projections)."""
    return [
        *builder.build_dialogues(count, seed=41 + 100 * seed, source=source),
        *builder.build_dialogues(count // 2, seed=42 + 100 * seed, source=source, only=("ask", "ask two"), longest=1),
        *builder.build_questions(count // 2, seed=46 + 100 * seed, source=source),
        *builder.build_second_turns(count, seed=47 + 100 * seed, source=source),
        *builder.build_dialogues(count // 2, seed=45 + 100 * seed, source=source, only=("several", "longing"), longest=1),
        *builder.build_dialogues(count // 2, seed=48 + 100 * seed, source=source, only=("send and wish", "mention"), longest=1),
        *builder.build_dialogues(count, seed=43 + 100 * seed, only=("plain chat", "small talk", "words", "mention"), longest=1),
        *builder.build_statements(count // 4, seed=44 + 100 * seed),
    ]


DATASETS: dict[str, Callable[[MediaSource, int, int], list[Dialogue]]] = {
    "captions": _captions,
    "mosit": _mosit,
}


def run(name: str, *, minutes: float = 1.0, dialogues: int | None = None, go_on: bool = False, processes: int | None = None) -> None:
    """Run a stage (a key of CPU_MINUTES) or go on with it, and export what it trains to the preset's folder.

    `minutes` multiplies the recipe's own time; `dialogues` (the size of the dataset) replaces its number. `go_on`: let the stage begin with
    all the trained parts in the folder; else the first one begins with untrained parts, and "media" with input projections fitted again.
    `processes` share the work: PROCESSES, if there are so many cores, unless told otherwise.
    """
    if STAGES[name].dataset not in DATASETS:
        for decoder in DECODERS.values():
            decoder.load_latents()  # built once, not by each process
    in_parallel(_run, name, minutes, dialogues, go_on, processes=processes or min(PROCESSES, os.cpu_count() or 1))


def _run(name: str, minutes: float, dialogues: int | None, go_on: bool) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    preset, stage = load_preset("nano"), STAGES[name]
    sizes = dict.fromkeys(DIALOGUES, dialogues) if dialogues else DIALOGUES
    first = name == next(iter(CPU_MINUTES))
    recipe = Recipe(preset, merged="lora" not in stage.rates, fresh=first and not go_on, dialogues=sizes)
    if name == "media" and not go_on and not (LANGUAGE_RUNS / name / STATE_FILE).is_file():
        if rank() == 0:
            warm_start(recipe.model, Pools(), spread=preset.input_projection.spread, steps=max(100, round(WARM_STEPS * min(1.0, minutes))))
        share_from_first(list(recipe.model.input_projection.parameters()))
        _export(recipe.model, preset, ["input_projection"])  # the stage does not train it, and may be interrupted
    budget = Budget(cpu_seconds=60 * minutes * CPU_MINUTES[name] / world())
    train(recipe.model, stage, recipe.losses(stage), folder=LANGUAGE_RUNS / name, budget=budget)
    if name == "decoder":
        recipe.write_projected()
    _export(recipe.model, preset, stage.rates)


def _export(model: NextGPT, preset: Preset, parts: Iterable[str]) -> None:
    for part in parts if rank() == 0 else ():
        save_tensors(model.trained_state(part), preset.folder / TRAINED_FILES[part], dtype=torch.float16)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the language side of nano, one stage after the other.")
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(CPU_MINUTES)}; default: all")
    parser.add_argument("--cpu-minutes", type=float, help="of each stage; default: the recipe's")
    parser.add_argument("--dialogues", type=int, help="size of each dataset")
    parser.add_argument("--go-on", action="store_true", help="begin with the trained parts in the folder, nothing from the start")
    parser.add_argument("--processes", type=int, help=f"that share the work; default: {PROCESSES}, or the cores if they are fewer")
    options = parser.parse_args()
    if unknown := [name for name in options.stages if name not in CPU_MINUTES]:
        parser.error(f"there is no stage '{unknown[0]}'; the stages are {', '.join(CPU_MINUTES)}.")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for name in options.stages or CPU_MINUTES:
        minutes = options.cpu_minutes / CPU_MINUTES[name] if options.cpu_minutes else 1.0
        run(name, minutes=minutes, dialogues=options.dialogues, go_on=options.go_on, processes=options.processes)


if __name__ == "__main__":
    main()
