"""One chat turn, from the messages to the answer and its media. Read `Engine._turn` first: it is the whole system in order."""

import hashlib
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import torch
from torch import Tensor

from nextgpt_core.config import Preset, SamplingConfig, load_preset
from nextgpt_core.decoders.generation import decoder_settings, generate_with_progress, sampling_settings
from nextgpt_core.decoding import Context, Ended, Span, Text, decode, sampler
from nextgpt_core.errors import Cancelled, MediaError, MessageError, NextGPTError, OutOfMemory, SettingsError, is_out_of_memory
from nextgpt_core.messages import (
    Event,
    Media,
    MediaFailed,
    MediaReady,
    MediaStarted,
    Message,
    SignalSpan,
    TextDelta,
    TurnDone,
    TurnSettings,
)
from nextgpt_core.modalities import MODALITIES, ahead
from nextgpt_core.model import NextGPT
from nextgpt_core.prompt import Prompt, Template, embed_pieces, file_key, pieces_within

log = logging.getLogger(__name__)
CACHE_BYTES = 512 * 2**20  # for the key-value caches of the last conversations
CONVERSATIONS = 4  # at most
REMEMBERED_MEDIA = 256  # whose projected vectors are kept
Cancel = threading.Event | Callable[[], bool] | None


class Engine:
    """Serves turns one after another; safe to call from several threads."""

    def __init__(self, model: NextGPT, template: Template, *, context: int = 2048, sampling: SamplingConfig | None = None) -> None:
        """`context` is how many positions prompt and answer may take together; `sampling` is for turns that do not say it themselves."""
        self.model = model
        self._template = template
        self._room = context
        self._sampling = sampling or SamplingConfig()
        self._contexts: list[Context] = []  # the most recently used last
        self._conversations = max(1, min(CONVERSATIONS, CACHE_BYTES // model.llm.cache_bytes(context)))
        self._perceived: OrderedDict[tuple[str, str, str], Tensor] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def load(cls, preset: str | Path | Preset = "nano", *, device: str | None = None, precision: str | None = None) -> "Engine":
        """An engine with everything that a preset names, on the GPU where there is one (each part where the memory plan puts it).

        `precision` is the language model's; None: the preset's own, or what fits. Raises ConfigError, CheckpointError, or OutOfMemory
        where the plan says that the GPU is too small.
        """
        from nextgpt_core.build import build, build_template  # imports every kind of part there is

        found = preset if isinstance(preset, Preset) else load_preset(preset)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        model = build(found, device=device, precision=precision)
        return cls(model, build_template(found, model), context=found.llm.context, sampling=found.sampling)

    def turn(
        self, messages: Sequence[Message], settings: TurnSettings | None = None, *, cancel: Cancel = None, out_dir: Path
    ) -> Iterator[Event]:
        """Answer a conversation whose last message is the user's; media are written into `out_dir`.

        Yields text as it is written and each span as it is complete, then the media one by one, and TurnDone last, after a cancel too.
        Raises MessageError or MediaError before anything else when the newest message cannot be answered.
        """
        with self._lock:
            yield from self._turn(tuple(messages), settings or TurnSettings(), cancelled=_as_question(cancel), out_dir=out_dir)

    @torch.inference_mode()
    def _turn(
        self, messages: tuple[Message, ...], settings: TurnSettings, *, cancelled: Callable[[], bool], out_dir: Path
    ) -> Iterator[Event]:
        clock = Stopwatch()
        sampling = sampling_settings(settings, self._sampling)
        seed = secrets.randbelow(2**31) if settings.seed is None else settings.seed
        answer: list[str | Media | None] = []  # in order; None where a file is not made (yet)
        spans: list[SignalSpan] = []
        places: list[int] = []  # of the spans' media in `answer`
        context: Context | None = None
        prompt_tokens = generated_tokens = 0
        reason: Literal["stop", "length", "cancelled"] = "cancelled"
        try:
            # 1. Perceive: every file a person sent becomes a few vectors in the language model's space.
            with clock("perceive"):
                _check(messages, settings, sampling, makes=tuple(self.model.signals), room=self._room)
                messages = self._readable(messages, cancelled=cancelled)

            # 2. Assemble the prompt: words and media vectors, in the order of the conversation.
            with clock("prompt"):
                self.model.before_reading()
                prompt = self._prompt(messages, room=self._room - sampling.max_new_tokens)
                prompt_tokens = len(prompt.keys)

            # 3. Read it, from where it departs from what was read before.
            with clock("read"):
                context = self._context_for(prompt)
                state = context.read(prompt, cancelled=cancelled)

            # 4. Write: text and complete signal spans.
            written_spans: list[Span] = []
            with clock("write"):
                for written in self._write(context, state, settings, sampling, seed=seed, cancelled=cancelled):
                    if isinstance(written, Text):
                        answer.append(written.text)
                        yield TextDelta(written.text)
                    elif isinstance(written, Span):
                        written_spans.append(written)
                        spans.append(SignalSpan(written.modality, written.start, len(written.states)))
                        places.append(len(answer))
                        answer.append(None)
                        yield spans[-1]
                    else:
                        ended, generated_tokens = written.reason, written.tokens

            # 5. Project: each span's states become its decoder's condition.
            conditions: list[Tensor] = []
            for span in written_spans:
                with clock("project"):
                    conditions.append(self.model.condition(span.modality, span.states[None], span.embeddings[None])[0])

            # 6. Make the media, one after the other. A decoder that fails takes nothing else with it.
            for index, (span, condition) in enumerate(zip(written_spans, conditions, strict=True)):
                with clock(span.modality):
                    for event in self._make(index, span.modality, condition, settings, seed=seed, cancelled=cancelled, out_dir=out_dir):
                        if isinstance(event, MediaReady):
                            answer[places[index]] = event.media
                        yield event
            reason = ended
        except Cancelled:
            log.info("the turn was stopped")
        except Exception as error:
            # A pass that broke off leaves layers of the cache with different lengths: nothing can be read into it any more.
            self._contexts = [one for one in self._contexts if one is not context]
            if is_out_of_memory(error):
                self._contexts.clear()
                if not isinstance(error, OutOfMemory):  # the encoder says so itself
                    raise OutOfMemory(
                        "There was not enough memory for this answer; begin a new conversation, or ask for a shorter one."
                    ) from error
            raise

        # 7. The answer, as the next turn will find it in the conversation.
        yield TurnDone(
            message=Message("assistant", _joined(answer)),
            spans=tuple(spans),
            seconds=clock.seconds,
            seed=seed,
            finish_reason=reason,
            prompt_tokens=prompt_tokens,
            generated_tokens=generated_tokens,
        )

    def _readable(self, messages: tuple[Message, ...], *, cancelled: Callable[[], bool]) -> tuple[Message, ...]:
        """Perceive all media that persons sent. What cannot be read any more in older messages is left out of them."""
        found = []
        for message in messages:
            parts: list[str | Media] = []
            for part in message.parts:
                if isinstance(part, Media) and message.role == "user":
                    if cancelled():
                        raise Cancelled("Stopped.")
                    try:
                        self._vectors(part, cancelled)
                    except MediaError as error:
                        if message is messages[-1]:
                            raise
                        log.warning("left out of the conversation: %s", error)
                        continue
                parts.append(part)
            found.append(replace(message, parts=tuple(parts)))
        return tuple(found)

    def _vectors(self, media: Media, cancelled: Callable[[], bool] | None = None) -> Tensor:
        """A file's vectors in the language model's space [M, d], computed once per file. Raises MediaError, or Cancelled."""
        key = file_key(media)
        if not media.path.exists():  # what was perceived is not forgotten with its file
            key = next((known for known in self._perceived if known[:2] == key[:2]), key)
        if key not in self._perceived:
            if media.modality not in self.model.inputs:
                raise MessageError(f"This model cannot perceive a {MODALITIES[media.modality].noun}; please describe it in words.")
            content = ahead.load(media, cancelled=cancelled)
            self._perceived[key] = self.model.perceive(media.modality, content)
            if len(self._perceived) > REMEMBERED_MEDIA:
                self._perceived.popitem(last=False)
        self._perceived.move_to_end(key)
        return self._perceived[key]

    def _prompt(self, messages: tuple[Message, ...], *, room: int) -> Prompt:
        pieces, dropped = pieces_within(self._template, messages, room=room, vectors=self._vectors)
        if dropped:
            log.info("%d old messages no longer fit and were left out", dropped)
        return embed_pieces(pieces, llm=self.model.llm, vectors=self._vectors)

    def _context_for(self, prompt: Prompt) -> Context:
        """The context that has read most of this prompt, or a fresh one where that is little."""
        best = max(self._contexts, key=lambda context: context.shared(prompt.keys), default=None)
        if best is None or 2 * best.shared(prompt.keys) < min(len(best.keys), len(prompt.keys)):
            best = Context(self.model.llm)
        others = [context for context in self._contexts if context is not best]
        self._contexts = [*others[max(0, len(others) - self._conversations + 1) :], best]
        return best

    def _write(
        self,
        context: Context,
        state: Tensor,
        settings: TurnSettings,
        sampling: SamplingConfig,
        *,
        seed: int,
        cancelled: Callable[[], bool],
    ) -> Iterator[Text | Span | Ended]:
        signals = self.model.signals
        asked = settings.answer_with
        return decode(
            context,
            state,
            signals=signals,
            choose=sampler(temperature=sampling.temperature, top_p=sampling.top_p, generator=_generator(seed)),
            max_new_tokens=sampling.max_new_tokens,
            stop_ids=self._template.stop_ids,
            stop_strings=self._template.stop_strings,
            forbid=settings.forbid | (frozenset() if asked is None else frozenset(signals) - asked),
            require=() if asked is None else tuple(modality for modality in signals if modality in asked),
            cancelled=cancelled,
        )

    def _make(
        self,
        index: int,
        modality: str,
        condition: Tensor,
        settings: TurnSettings,
        *,
        seed: int,
        cancelled: Callable[[], bool],
        out_dir: Path,
    ) -> Iterator[Event]:
        """Run one decoder and save what it makes, with its provenance."""
        spec = MODALITIES[modality]
        decoder = self.model.decoders.get(modality)
        if decoder is None:
            yield MediaFailed(index, modality, f"The preset '{self.model.name}' has no decoder for a {spec.noun}, so none was made.")
            return
        wanted = decoder_settings(settings, decoder.defaults)
        yield MediaStarted(index, modality, wanted.steps)
        try:
            content = yield from generate_with_progress(
                decoder, condition, index=index, settings=wanted, generator=_generator(seed, index), cancelled=cancelled
            )
            out_dir.mkdir(parents=True, exist_ok=True)
            path = out_dir / f"{modality}-{uuid4().hex}{spec.save_suffix}"
            yield MediaReady(index, spec.save(content, path, provenance=self._provenance(seed, asdict(wanted))))
        except Cancelled:
            raise
        except NextGPTError as error:
            yield MediaFailed(index, modality, str(error))
        except Exception as error:  # whatever a library raises, text and the other media survive it
            log.exception("the %s decoder failed", modality)
            yield MediaFailed(index, modality, f"The {spec.noun} could not be made ({error}).")

    def _provenance(self, seed: int, settings: dict[str, Any]) -> dict[str, Any]:
        """What a made file says of itself. No time stamps: the same turn gives the same bytes."""
        return {
            "generator": "NExT-GPT Chat",
            "ai_generated": True,
            "preset": self.model.name,
            "seed": seed,
            "settings": {name: value for name, value in settings.items() if value is not None},
        }


class Stopwatch:
    """Seconds per named stage; a stage that runs twice adds up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begin


def _check(messages: tuple[Message, ...], settings: TurnSettings, sampling: SamplingConfig, *, makes: tuple[str, ...], room: int) -> None:
    for part in (part for message in messages for part in message.parts):
        if not isinstance(part, str | Media):
            raise MessageError(f"A message is made of words and files (str and Media), not of {type(part).__name__}.")
        if isinstance(part, Media) and part.modality not in MODALITIES:
            raise MessageError(f"A file's modality is one of {', '.join(MODALITIES)}, not {part.modality!r}.")
    if unknown := sorted(((settings.answer_with or frozenset()) - {"text"} | settings.forbid) - MODALITIES.keys()):
        raise SettingsError(f"An answer may hold text, {', '.join(MODALITIES)}; there is no {unknown[0]!r}.")
    if impossible := sorted((settings.answer_with or frozenset()) - {"text", *makes}):
        raise SettingsError(f"This model cannot make a {MODALITIES[impossible[0]].noun}; ask for something else.")
    if not messages or messages[-1].role != "user":
        raise MessageError("There is nothing to answer: the last message must be the user's.")
    if not messages[-1].text.strip() and not messages[-1].media:
        raise MessageError("This message is empty. Please write something or add a file.")
    if not 1 <= sampling.max_new_tokens < room:
        raise MessageError(f"An answer can have 1 to {room - 1} tokens, not {sampling.max_new_tokens}.")


def _joined(answer: Sequence[str | Media | None]) -> tuple[str | Media, ...]:
    """Pieces of text that follow each other become one part; what was not made leaves no trace."""
    parts: list[str | Media] = []
    for piece in answer:
        if isinstance(piece, str) and parts and isinstance(parts[-1], str):
            parts[-1] += piece
        elif piece is not None:
            parts.append(piece)
    return tuple(parts)


def _generator(seed: int, *path: int) -> torch.Generator:
    """A generator of its own for each use of a turn's seed."""
    digest = hashlib.sha256("/".join(map(str, (seed, *path))).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _as_question(cancel: Cancel) -> Callable[[], bool]:
    if cancel is None:
        return lambda: False
    return cancel.is_set if isinstance(cancel, threading.Event) else cancel
