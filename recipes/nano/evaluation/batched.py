"""The engine's own steps, many conversations at a time: what makes the scorecard affordable on two cores.

Prompts come from the same template, answers from the same greedy rule with complete signal spans, media from the same denoising loop;
tests hold `replies` against `decoding.decode` and `make` against `Decoder.generate`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nextgpt_core.decoders.diffusion import denoise, make_scheduler
from nextgpt_core.errors import ConfigError
from nextgpt_core.messages import Media, Message
from nextgpt_core.model import NextGPT
from nextgpt_core.prompt import Template, embed_pieces

LONGEST = 64  # tokens of an answer: far more than nano's answers to the scorecard's questions need
Conversation = Sequence[Message]


@dataclass
class Reply:
    """An answer: its text, and the condition [L, D] of every file that it asked for, in order."""

    text: str = ""
    conditions: list[tuple[str, Tensor]] = field(default_factory=list)

    @property
    def modalities(self) -> list[str]:
        return [modality for modality, _ in self.conditions]


class BatchedModel:
    """Answers many conversations at once, greedily, and makes many media at once."""

    def __init__(self, model: NextGPT, template: Template, *, batch: int = 16) -> None:
        self.model = model
        self._template = template
        self._batch = batch

    @torch.inference_mode()
    def replies(self, conversations: Sequence[Conversation], *, contents: Mapping[Path, Any] | None = None) -> list[Reply]:
        """The answers, in order. `contents` are the media that users sent, by the path in their `Media`, as their specs load them."""
        prompts = [self._prompt(conversation, contents or {}) for conversation in conversations]
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))  # neighbours need little padding
        found: dict[int, Reply] = {}
        for begin in range(0, len(order), self._batch):
            chosen = order[begin : begin + self._batch]
            found.update(zip(chosen, self._answer([prompts[i] for i in chosen]), strict=True))
        return [found[i] for i in range(len(prompts))]

    @torch.inference_mode()
    def make(self, modality: str, conditions: Sequence[Tensor], *, seed: int, batch: int = 8) -> Iterator[Any]:
        """Conditions [L, D] -> media contents, at the decoder's defaults. Item i draws its noise from `seed + i` alone."""
        settings, decoder = self.model.decoders[modality].defaults, self.model.decoders[modality].denoiser()
        if decoder is None:
            raise ConfigError(f"The {modality} decoder of {self.model.name} makes one file at a time; it cannot be measured in batches.")
        for begin in range(0, len(conditions), batch):
            wanted = torch.stack(list(conditions[begin : begin + batch])).float()
            noise = [
                torch.randn(decoder.latent_shape(settings), generator=torch.Generator().manual_seed(seed + begin + i))
                for i in range(len(wanted))
            ]
            latents = denoise(
                torch.cat(noise),
                predict=decoder.predict,
                condition=wanted,
                unconditional=decoder.unconditional.expand_as(wanted),
                scheduler=make_scheduler(decoder.noise_schedule, decoder.scheduler),
                steps=settings.steps,
                guidance=settings.guidance,
            )
            for row in decoder.complete(latents, wanted):
                yield decoder.finish(row[None], settings)

    def _prompt(self, conversation: Conversation, contents: Mapping[Path, Any]) -> Tensor:
        """A conversation -> prompt embeddings [n, d]."""

        def vectors(media: Media) -> Tensor:
            return self.model.perceive(media.modality, contents[media.path])

        return embed_pieces(self._template(conversation), llm=self.model.llm, vectors=_once(vectors)).embeddings

    def _answer(self, prompts: Sequence[Tensor]) -> list[Reply]:
        """One batch in lockstep. Prompts are padded on the left; positions are relative (RoPE), so that the shift changes nothing."""
        llm, signals = self.model.llm, self.model.signals
        longest = max(len(prompt) for prompt in prompts)
        embeddings = torch.zeros(len(prompts), longest, llm.width)
        mask = torch.zeros(len(prompts), longest, dtype=torch.long)
        for i, prompt in enumerate(prompts):
            embeddings[i, longest - len(prompt) :], mask[i, longest - len(prompt) :] = prompt, 1
        first_of = {ids[0]: modality for modality, ids in signals.items()}
        blocked = torch.tensor([token for token in llm.added.values() if token not in first_of])
        cache = llm.new_cache()
        rows = [_Row() for _ in prompts]
        states = llm(embeddings, mask, cache=cache)[:, -1]
        for _ in range(LONGEST):
            scores = llm.logits(states)
            scores[:, blocked] = -torch.inf
            tokens = [
                row.next(int(choice), first_of, signals, self._template.stop_ids)
                for row, choice in zip(rows, scores.argmax(-1), strict=True)
            ]
            if all(row.done for row in rows):
                break
            fed = llm.embed(torch.tensor(tokens))
            mask = torch.cat([mask, torch.ones(len(rows), 1, dtype=torch.long)], dim=1)
            states = llm(fed[:, None], mask, cache=cache)[:, -1]
            for row, state, embedding in zip(rows, states, fed, strict=True):
                row.note(state, embedding)
        return [self._reply(row) for row in rows]

    def _reply(self, row: "_Row") -> Reply:
        data = b"".join(self.model.llm.tokenizer.token_bytes(token) for token in row.text)
        made = [
            (modality, self.model.condition(modality, torch.stack(states)[None], torch.stack(embeddings)[None])[0])
            for modality, states, embeddings in row.spans
            if len(states) == len(self.model.signals[modality])  # the last one may be cut off by LONGEST
        ]
        return Reply(data.decode("utf-8", "replace").strip(), made)


@dataclass
class _Row:
    """One answer being written: what must still be fed of a span, and what was said."""

    text: list[int] = field(default_factory=list)
    spans: list[tuple[str, list[Tensor], list[Tensor]]] = field(default_factory=list)
    forced: list[int] = field(default_factory=list)
    done: bool = False
    in_span: bool = False

    def next(self, choice: int, first_of: Mapping[int, str], signals: Mapping[str, tuple[int, ...]], stop_ids: frozenset[int]) -> int:
        """The token to feed now: the rest of a span, else the model's choice. A finished row feeds anything; nobody looks at it."""
        if self.done:
            return choice
        if self.forced:
            return self.forced.pop(0)
        self.in_span = choice in first_of
        if self.in_span:
            modality = first_of[choice]
            self.spans.append((modality, [], []))
            self.forced = list(signals[modality][1:])
        elif choice in stop_ids:
            self.done = True
        else:
            self.text.append(choice)
        return choice

    def note(self, state: Tensor, embedding: Tensor) -> None:
        """The state after the token that was fed."""
        if self.in_span and not self.done:
            self.spans[-1][1].append(state)
            self.spans[-1][2].append(embedding)


def _once(vectors: Callable[[Media], Tensor]) -> Callable[[Media], Tensor]:
    known: dict[Path, Tensor] = {}

    def remembered(media: Media) -> Tensor:
        if media.path not in known:
            known[media.path] = vectors(media)
        return known[media.path]

    return remembered


def numbered(conversation: Conversation, number: int, contents: dict[Path, Any], load: Callable[[Media], Any]) -> list[Message]:
    """The conversation with a path of its own for every file that the user sent, whose content goes into `contents`."""
    out = []
    for place, message in enumerate(conversation):
        parts: list[str | Media] = []
        for index, part in enumerate(message.parts):
            if isinstance(part, Media) and message.role == "user":
                part = replace(part, path=Path(f"{number}-{place}-{index}{part.path.suffix}"))
                contents[part.path] = load(part)
            parts.append(part)
        out.append(replace(message, parts=tuple(parts)))
    return out
