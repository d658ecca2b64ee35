"""The scorecard's measures. Each one asks the real model, by the words a user would type, and counts what it answers.

Sent media go through their modality's file format, as an upload does; replies and made media come from batched.py.
"""

import json
import logging
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nextgpt_core.config import Preset
from nextgpt_core.errors import CheckpointMissing
from nextgpt_core.llm.language_model import LanguageModel, load_language_model
from nextgpt_core.messages import Media, Message
from nextgpt_core.modalities import MODALITIES, AudioClip, VideoClip
from nextgpt_core.model import NextGPT
from nextgpt_core.prompt import Template, Words
from recipes.nano.dialogues.phrases import frames
from recipes.nano.evaluation.batched import BatchedModel, Conversation, Reply, numbered
from recipes.nano.evaluation.judges.accuracy import load_judge
from recipes.nano.evaluation.judges.attributes import sample_order
from recipes.nano.evaluation.naming import Names, motion_names, sound_names, thing_names
from recipes.nano.evaluation.routing import CASES_OF_OTHERS, RoutingCase, heldout_routing_cases, others_routing_cases
from recipes.nano.evaluation.sheets import Cell, save_sheet, spectrogram, strip
from recipes.nano.world import pictures, videos
from recipes.nano.world.photos import available_photos
from recipes.nano.world.pictures import PictureScene
from recipes.nano.world.scenes import RenderedScenes
from recipes.nano.world.sounds import catalogue as sounds
from recipes.nano.world.sounds.catalogue import SOUNDS, SoundScene
from recipes.nano.world.sprites import HELD_OUT_STYLE, hexcodes
from recipes.nano.world.things import things
from recipes.nano.world.videos import VideoScene

log = logging.getLogger(__name__)
CHAT = Path(__file__).parent / "data" / "heldout_chat.jsonl"  # chat.chat_pairs(held_out=True), kept so that no run depends on a cache
SENT_PIXELS = 256  # pictures that "users" send
SENT_VIDEO_PIXELS = 128
VIDEO_FPS = 8.0
SHOWN = 48  # cells of a contact sheet
_ORDERED = ("colour", "number", "ground")


@dataclass
class Outcome:
    """What a measure counted. `value` and `interval` (95 %) are shares, or ratios where `cases` were not simply right or wrong."""

    value: float
    interval: tuple[float, float]
    cases: int
    details: dict[str, Any] = field(default_factory=dict)


@dataclass
class Bench:
    """The model under test and where its contact sheets go."""

    model: NextGPT
    template: Template
    preset: Preset
    out: Path
    seed: int = 2026

    @cached_property
    def batched(self) -> BatchedModel:
        return BatchedModel(self.model, self.template)

    def rng(self, salt: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, salt])

    def ask(self, conversations: Sequence[Conversation], load: Callable[[Media], Any] | None = None) -> list[Reply]:
        """The model's replies; `load` gives the content of what users sent."""
        contents: dict[Path, Any] = {}
        asked = [numbered(c, i, contents, load or rendered) for i, c in enumerate(conversations)]
        return self.batched.replies(asked, contents=contents)


# ---- routing and chat ----------------------------------------------------------------------------


def routing(bench: Bench, cases: int) -> Outcome:
    """Unseen phrasings, one to four turns: exactly the wished set of modalities is made."""
    return _routed(bench, heldout_routing_cases(bench.seed, cases, source=RenderedScenes()))


def routing_of_others(bench: Bench, cases: int) -> Outcome:
    """The same with conversations by two authors who had not seen the phrasings; `details` has each one's share."""
    authors = [others_routing_cases(path) for path in CASES_OF_OTHERS]
    each = max(1, cases // len(authors))
    chosen = [found[:: max(1, len(found) // each)] for found in authors]
    outcomes = [_routed(bench, found) for found in chosen]
    hits = [round(outcome.value * outcome.cases) for outcome in outcomes]
    both = sum(outcome.cases for outcome in outcomes)
    shares = {path.stem: outcome.value for path, outcome in zip(CASES_OF_OTHERS, outcomes, strict=True)}
    details = {path.stem: outcome.details for path, outcome in zip(CASES_OF_OTHERS, outcomes, strict=True)}
    return Outcome(sum(hits) / both, wilson(sum(hits), both), both, {"authors": shares, **details})


def _routed(bench: Bench, asked: Sequence[RoutingCase]) -> Outcome:
    replies = bench.ask([case.messages for case in asked])
    right = [set(reply.modalities) == case.wished for case, reply in zip(asked, replies, strict=True)]
    kinds: dict[str, list[bool]] = {}
    for case, hit in zip(asked, right, strict=True):
        kinds.setdefault(case.kind, []).append(hit)
    missed = [
        {"asked": case.messages[-1].text, "kind": case.kind, "wished": sorted(case.wished), "made": reply.modalities, "said": reply.text}
        for case, reply, hit in zip(asked, replies, right, strict=True)
        if not hit
    ]
    return counted(right, by_kind={kind: f"{sum(hits)}/{len(hits)}" for kind, hits in sorted(kinds.items())}, missed=missed[:60])


def chat_kept(bench: Bench, cases: int) -> Outcome:
    """Perplexity of the base model's own replies to held-out plain chat, over the base model's."""
    lines = CHAT.read_text(encoding="utf-8").splitlines()
    pairs = [(row["prompt"], row["reply"]) for row in map(json.loads, lines[:: max(1, len(lines) // cases)])]
    base = load_language_model(bench.preset.file(bench.preset.llm.path), added_tokens=())
    both = [(_loss(bench.model.llm, bench.template, *pair), _loss(base, bench.template, *pair)) for pair in pairs]
    ours, theirs = np.array([a[0] for a, _ in both]), np.array([b[0] for _, b in both])
    tokens = np.array([count for (_, count), _ in both])
    ratio = math.exp((ours.sum() - theirs.sum()) / tokens.sum())
    draws = bench.rng(9).integers(len(pairs), size=(2000, len(pairs)))  # bootstrap over conversations
    ratios = np.exp((ours - theirs)[draws].sum(1) / tokens[draws].sum(1))
    low, high = np.quantile(ratios, (0.025, 0.975))
    perplexities = {"nano": math.exp(ours.sum() / tokens.sum()), "base": math.exp(theirs.sum() / tokens.sum())}
    return Outcome(ratio, (float(low), float(high)), len(pairs), perplexities)


@torch.inference_mode()
def _loss(llm: LanguageModel, template: Template, asked: str, reply: str) -> tuple[float, int]:
    """Summed negative log-likelihood of a reply and its end, and its tokens."""
    pieces = template([Message("user", (asked,)), Message("assistant", (reply,))], open_answer=False)
    words = [piece for piece in pieces if isinstance(piece, Words)]
    ids = torch.tensor([token for piece in words for token in piece.ids])
    wanted = torch.tensor([piece.answer for piece in words for _ in piece.ids])
    logits = llm.logits(llm(llm.embed(ids)[None])[0, :-1])[wanted[1:]]
    return float(F.cross_entropy(logits, ids[1:][wanted[1:]], reduction="sum")), int(wanted.sum())


# ---- perceiving ----------------------------------------------------------------------------------


def pictures_named(bench: Bench, cases: int) -> Outcome:
    """One Twemoji drawing of each thing, a style that no training saw."""
    rng = bench.rng(1)
    drawn = [thing for thing in things() if hexcodes(thing, HELD_OUT_STYLE)]
    chosen = drawn if cases >= len(drawn) else [drawn[i] for i in sorted(rng.choice(len(drawn), cases, replace=False))]
    drawn_as = {"styles": (HELD_OUT_STYLE,), "canonical": 1.0, "jitter": 0.5, "first": True}
    scenes = [pictures.sample_picture(rng, thing=thing, **drawn_as) for thing in chosen]  # type: ignore[arg-type]
    return _named(bench, scenes, "image", rng, thing_names(), lambda scene: scene.thing.name)


def photos_named(bench: Bench, cases: int) -> Outcome:
    """Real photographs; any word that fits counts, when it is the first thing that the reply names."""
    photos = available_photos()
    photos = photos[:: max(1, len(photos) // cases)]
    rng = bench.rng(2)
    names = thing_names()
    replies = bench.ask(
        [_question(rng, "image", photo) for photo in photos], load=lambda media: MODALITIES["image"].load(media.info["scene"].file)
    )
    right, said = [], []
    for photo, reply in zip(photos, replies, strict=True):
        named = names.first(reply.text) or Names({word: (word,) for word in photo.words}).first(reply.text)  # "shoe" is no thing of ours
        right.append(bool(named & set(photo.words)))
        said.append(f"{photo.path}: {reply.text}")
    return counted(right, replies=said)


def sounds_named(bench: Bench, cases: int) -> Outcome:
    """Every kind in keys and velocities that training never had, with noise."""
    rng = bench.rng(3)
    scenes = [sounds.sample_sound(rng, SOUNDS[i % len(SOUNDS)].name, heldout=True) for i in _spread(cases, len(SOUNDS))]
    heard = sounds.render_many(scenes)  # all that fluidsynth plays, at once
    clips = {id(scene): clip for scene, clip in zip(scenes, heard, strict=True)}

    def load(media: Media) -> AudioClip:
        return uploaded("audio", AudioClip(clips[id(media.info["scene"])]))

    return _named(bench, scenes, "audio", rng, sound_names(), lambda scene: scene.kind, load=load)


def videos_named(bench: Bench, cases: int) -> Outcome:
    """Pairs of thing and motion that training never saw: both must be told."""
    rng = bench.rng(4)
    scenes = [videos.sample_video(rng, held_out=True, plain=1.0, jitter=0.5) for _ in range(cases)]
    replies = bench.ask([_question(rng, "video", scene) for scene in scenes])
    thing_right = [scene.picture.thing.name in thing_names().first(reply.text) for scene, reply in zip(scenes, replies, strict=True)]
    motion_right = [
        scene.motion in motion_names().first(thing_names().without_first(reply.text)) for scene, reply in zip(scenes, replies, strict=True)
    ]
    said = [f"{videos.caption(scene)}: {reply.text}" for scene, reply in zip(scenes, replies, strict=True)]
    parts = {"thing": float(np.mean(thing_right)), "motion": float(np.mean(motion_right))}
    return counted([a and b for a, b in zip(thing_right, motion_right, strict=True)], **parts, replies=said[:60])


def _named(
    bench: Bench,
    scenes: Sequence[Any],
    modality: str,
    rng: np.random.Generator,
    names: Names,
    wanted: Callable[[Any], str],
    *,
    load: Callable[[Media], Any] | None = None,
) -> Outcome:
    replies = bench.ask([_question(rng, modality, scene) for scene in scenes], load=load)
    right = [wanted(scene) in names.first(reply.text) for scene, reply in zip(scenes, replies, strict=True)]
    missed = [f"{wanted(scene)}: {reply.text}" for scene, reply, hit in zip(scenes, replies, right, strict=True) if not hit]
    return counted(right, missed=missed[:80])


def _question(rng: np.random.Generator, modality: str, scene: Any) -> list[Message]:
    """A file and one of the held-out ways to ask what it is."""
    asked = str(rng.choice(frames("question", modality, held_out=True)))
    return [Message("user", (Media(modality, Path(f"sent.{modality}"), {"scene": scene}), asked))]


# ---- making --------------------------------------------------------------------------------------


def pictures_made(bench: Bench, cases: int) -> Outcome:
    """Plain wishes for things, in held-out phrasings; the judge must see the thing in what is made."""
    rng = bench.rng(5)
    judge = load_judge("image")
    chosen = [things()[i] for i in _spread(cases, len(things()), rng)]
    wishes = [(thing.name, thing.singular) for thing in chosen]
    made = _wished(bench, "image", wishes, rng)
    judged = [judge.name(content[None])[0] if content is not None else "nothing" for content in made]
    cells = [(made[i], wishes[i][1], judged[i], judged[i] == wishes[i][0]) for i in range(len(wishes))]
    _sheet(bench, "pictures.png", cells, lambda content: content)
    return counted([hit for *_, hit in cells], missed=[f"{wish}: {seen}" for _, wish, seen, hit in cells if not hit][:80])


def sounds_made(bench: Bench, cases: int) -> Outcome:
    """Plain wishes for kinds of sound."""
    rng = bench.rng(6)
    judge = load_judge("audio")
    wishes = [(SOUNDS[i].name, SOUNDS[i].name) for i in _spread(cases, len(SOUNDS), rng)]
    made = _wished(bench, "audio", wishes, rng)
    judged = [judge.name(content.resampled(16_000).samples)[0] if content is not None else "nothing" for content in made]
    cells = [(made[i], wishes[i][1], judged[i], judged[i] == wishes[i][0]) for i in range(len(wishes))]
    _sheet(bench, "sounds.png", cells, lambda content: spectrogram(content.resampled(16_000).samples))
    return counted([hit for *_, hit in cells], missed=[f"{wish}: {heard}" for _, wish, heard, hit in cells if not hit][:80])


def videos_made(bench: Bench, cases: int) -> Outcome:
    """Wishes for unseen pairs of thing and motion; the judge must see both."""
    rng = bench.rng(7)
    judge = load_judge("video")
    scenes = [videos.sample_video(rng, held_out=True, plain=1.0, jitter=0.0) for _ in range(cases)]
    made = _wished(bench, "video", [(videos.caption(scene), videos.caption(scene)) for scene in scenes], rng)
    judged = [judge.name(content.frames[None])[0] if content is not None else ("nothing", "nothing") for content in made]
    wanted = [(scene.picture.thing.name, scene.motion) for scene in scenes]
    cells = [(made[i], videos.caption(scenes[i]), " ".join(judged[i]), tuple(judged[i]) == wanted[i]) for i in range(len(scenes))]
    _sheet(bench, "videos.png", cells, lambda content: strip(content.frames), columns=3)
    parts = {
        what: float(np.mean([seen[k] == want[k] for seen, want in zip(judged, wanted, strict=True)]))
        for k, what in enumerate(("thing", "motion"))
    }
    return counted([hit for *_, hit in cells], **parts, missed=[f"{wish}: {seen}" for _, wish, seen, hit in cells if not hit][:80])


def pictures_to_order(bench: Bench, cases: int) -> Outcome:
    """Wishes for one to three of a thing in a colour on a ground ("two red apples on a blue background"); all three must be right."""
    rng = bench.rng(9)
    judge = load_judge("attributes")
    scenes = [sample_order(rng) for _ in range(cases)]
    made = _wished(bench, "image", [(pictures.caption(scene), pictures.caption(scene)) for scene in scenes], rng)
    judged = [judge.name(content, scene.thing) if content is not None else ("", 0, "") for content, scene in zip(made, scenes, strict=True)]
    wanted = [(scene.colour, scene.count, scene.background) for scene in scenes]
    cells = [(made[i], pictures.caption(scenes[i]), "{1} {0} on {2}".format(*judged[i]), judged[i] == wanted[i]) for i in range(cases)]
    _sheet(bench, "orders.png", cells, lambda content: content)
    parts = {
        what: float(np.mean([seen[k] == want[k] for seen, want in zip(judged, wanted, strict=True)])) for k, what in enumerate(_ORDERED)
    }
    return counted([hit for *_, hit in cells], **parts, missed=[f"{wish}: {seen}" for _, wish, seen, hit in cells if not hit][:80])


def _wished(bench: Bench, modality: str, wishes: Sequence[tuple[str, str]], rng: np.random.Generator) -> list[Any]:
    """What the model makes of wishes (name, wording), in order; None where its answer asked for no such file."""
    if modality not in bench.model.decoders:
        raise CheckpointMissing(f"The preset has no decoder of a {MODALITIES[modality].noun}.")
    phrasings = [frame for frame in frames("wish", modality, held_out=True) if "{x}" in frame]
    asked = [[Message("user", (str(rng.choice(phrasings)).format(x=wording, n=wording, name=wording),))] for _, wording in wishes]
    conditions: list[Tensor | None] = [
        next((condition for made, condition in reply.conditions if made == modality), None) for reply in bench.ask(asked)
    ]
    contents = bench.batched.make(modality, [condition for condition in conditions if condition is not None], seed=bench.seed)
    return [None if condition is None else next(contents) for condition in conditions]


def _sheet(bench: Bench, name: str, cells: Sequence[tuple[Any, str, str, bool]], show: Callable[[Any], np.ndarray], **options: Any) -> None:
    shown = [Cell(show(content), wish, judged, hit) for content, wish, judged, hit in cells[:SHOWN] if content is not None]
    save_sheet(shown, bench.out / name, **options)


# ---- shared --------------------------------------------------------------------------------------


def rendered(media: Media) -> Any:
    """The content of a file whose `info` holds its scene, after a way through a file."""
    scene = media.info["scene"]
    if isinstance(scene, PictureScene):
        return uploaded("image", pictures.render(scene, SENT_PIXELS))
    if isinstance(scene, SoundScene):
        return uploaded("audio", AudioClip(sounds.render(scene)))
    assert isinstance(scene, VideoScene)
    return uploaded("video", VideoClip(videos.render(scene, SENT_VIDEO_PIXELS), VIDEO_FPS))


def uploaded(modality: str, content: Any) -> Any:
    """What the model gets to see of a content that came as a file."""
    spec = MODALITIES[modality]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"sent{spec.save_suffix}"
        spec.save(content, path, provenance={})
        return spec.load(path)


def counted(right: Sequence[bool], **details: Any) -> Outcome:
    """Share of right cases with its 95 % interval (Wilson)."""
    share = sum(right) / len(right) if right else 0.0
    return Outcome(share, wilson(sum(right), len(right)), len(right), details)


def wilson(hits: int, cases: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % score interval of a share."""
    if not cases:
        return 0.0, 1.0
    share, weight = hits / cases, z * z / cases
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / cases + weight / (4 * cases))
    return max(0.0, middle - half), min(1.0, middle + half)


def _spread(cases: int, kinds: int, rng: np.random.Generator | None = None) -> list[int]:
    """`cases` indices below `kinds`: each one as often as possible before any repeats."""
    order = np.arange(kinds) if rng is None else rng.permutation(kinds)
    return [int(order[i % kinds]) for i in range(cases)]
