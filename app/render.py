"""A conversation as Gradio's Chatbot shows it: exactly two messages per turn, media by address, finished turns rendered once.

An update of a streaming answer must not cost more in a long conversation. So messages are made in the form in which the browser gets them,
those of finished turns once, and a file carries its address: left to Gradio, every path would be checked at every update.
"""

import mimetypes
import time
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app.conversation import Answer, Conversation, Piece, Turn
from app.copies import Copies
from app.files import FileStore, StoredFile
from app.i18n import noun, say
from app.jobs import Job
from app.routing_view import routing_panel
from app.translate import translated
from nextgpt_core.modalities.reading import Stop

Content = dict[str, Any]
Message = dict[str, Any]
# The settings that a person sees under a file, where they are known.
SHOWN_SETTINGS = ("steps", "guidance")
HTML_PROPS: dict[str, Any] = {"apply_default_css": False}


class Renderer:
    """Turns -> messages. `render` is cheap for finished turns, however many there are."""

    def __init__(self, store: FileStore) -> None:
        self._store = store
        self.copies = Copies(store)

    def render(
        self, conversation: Conversation, language: str, job: Job | None = None, *, ahead: int = 0, loading: bool = False
    ) -> list[Message]:
        """Two messages per turn: the person's and the answer's. `job` is the one that makes the last answer, if any."""
        messages: list[Message] = []
        for number, turn in enumerate(conversation.turns):
            if turn.answer.finished:
                key = (language, number, turn.shown, self._store.sweeps, self.copies.made)
                if turn.rendered is None or turn.rendered[0] != key:
                    turn.rendered = (key, self._turn(turn, number, language))
                messages += turn.rendered[1]
            else:
                waiting = self._waiting(job, language, ahead, loading)
                messages += self._turn(turn, number, language, waiting, stopped=None if job is None else job.cancel.is_set)
        return messages

    def _turn(self, turn: Turn, number: int, language: str, waiting: str = "", stopped: Stop = None) -> list[Message]:
        asked = [content for file in turn.files for content in self._sent(file, language, stopped)]
        asked += [text(turn.text)] if turn.text else []
        return [
            message("user", asked or [text(" ")]),
            message("assistant", self._answer(turn, number, language, waiting)),
        ]

    def _answer(self, turn: Turn, number: int, language: str, waiting: str) -> list[Content]:
        answer = turn.answer
        content: list[Content] = []
        for piece in answer.pieces:
            if piece.kind == "text":
                content += [text(piece.text.strip())] if piece.text.strip() else []
            elif piece.file is not None:
                content += self._medium(piece.file, f"{number}:{piece.index}", language)
            elif piece.error:
                reason = say("medium_failed", language, noun=noun(piece.modality, language), reason=translated(piece.error, language))
                content.append(self._notice(reason, "problem"))
            elif answer.finished:
                content.append(self._html(stopped(piece, language)))
            else:
                content.append(self._html(progress(piece, language)))
        if not answer.finished:
            return content or [self._html(f'<p class="nx-wait"><i></i><i></i><i></i><span>{escape(waiting)}</span></p>')]
        content += [self._notice(sentence, kind) for sentence, kind in ending(answer, bool(content), language)]
        if len(turn.versions) > 1:
            content.append(self._html(versions(turn, number, language)))
        if answer.seconds:
            content.append(self._html(routing_panel(turn, language)))
        return content

    def _medium(self, file: StoredFile, reference: str, language: str) -> list[Content]:
        if not self._store.has(file):
            return [self._notice(say("gone", language, noun=noun(file.modality, language)))]
        facts = [say("made", language)]
        if file.info.get("seed") is not None:
            facts.append(f"{say('seed', language)} {file.info['seed']}")
        facts += [f"{say(name, language)} {file.info[name]:g}" for name in SHOWN_SETTINGS if isinstance(file.info.get(name), int | float)]
        url = address(self._store.path(file))
        below = (
            f'<div class="nx-below"><span>{escape(" · ".join(facts))}</span>'
            f'<button type="button" data-nx="another:{reference}">{say("another", language)}</button>'
            f'<button type="button" data-nx="use:{reference}">{say("use", language)}</button>'
            f'<a href="{escape(url)}" download="{file.modality}{self._store.path(file).suffix}">{say("download", language)}</a></div>'
        )
        return [self._file(file, language, made=True), self._html(below)]

    def _sent(self, file: StoredFile, language: str, stopped: Stop) -> list[Content]:
        """A file of the person's own. Where browsers cannot show it, a copy that they can, as soon as there is one."""
        if file.info.get("playable", True) or not self._store.has(file):
            return [self._file(file, language, made=False)]
        copy = self.copies.of(file, stopped=stopped)
        key = "copied" if copy is not None else "copying" if self.copies.making(file) else "not_copied"
        url = address(self._store.path(file))
        label = say(key, language, label=file.label or noun(file.modality, language))
        below = (
            f'<div class="nx-below"><span>{escape(label)}</span>'
            f'<a href="{escape(url)}" download="{file.modality}{self._store.path(file).suffix}">{say("download", language)}</a></div>'
        )
        return [*([self._component(file.modality, copy)] if copy is not None else []), self._html(below)]

    def _file(self, file: StoredFile, language: str, *, made: bool) -> Content:
        """What was `made` is silent and short: it moves by itself. What a person sent waits to be played."""
        path = self._store.path(file)
        if not path.is_file():
            return self._notice(say("gone", language, noun=noun(file.modality, language)))
        return self._component(file.modality, path, made=made)

    def _component(self, modality: str, path: Path, *, made: bool = False) -> Content:
        mime = mimetypes.guess_type(path.name)[0] or ""
        if modality == "image" or mime.startswith("image/"):
            mime = mime if mime.startswith("image/") else "image/png"
        elif not mime.startswith(modality):  # .webm may be a sound
            mime = f"{modality}/{path.suffix[1:]}"
        value = {"path": str(path), "url": address(path), "mime_type": mime, "orig_name": path.name}
        kind = mime.partition("/")[0]
        return component(kind, value, {"loop": True, "autoplay": True} if kind == "video" and made else {})

    def _notice(self, sentence: str, kind: str = "quiet") -> Content:
        return self._html(f'<p class="nx-notice {kind}">{escape(sentence)}</p>')

    def _html(self, value: str) -> Content:
        return component("html", value, HTML_PROPS)

    def _waiting(self, job: Job | None, language: str, ahead: int, loading: bool) -> str:
        if loading:
            return say("model_loading", language)
        if ahead:
            return say("ahead", language, count=ahead)
        return say("thinking" if job is not None and job.answer.status == "running" else "waiting", language)


def message(role: str, content: list[Content]) -> Message:
    return {"role": role, "metadata": None, "content": content, "options": None}


def component(kind: str, value: Any, props: dict[str, Any]) -> Content:
    """One of Gradio's components inside a message; `props` are those of its settings that differ from what the browser assumes."""
    return {"type": "component", "component": kind, "value": value, "constructor_args": {}, "props": props}


def address(path: Path) -> str:
    """Where the page's server serves a file of the store, seen from the page: a proxy may have put both below a path of its own."""
    return f"gradio_api/file={quote(str(path))}"


def text(value: str) -> Content:
    """Words of a person or the model. Gradio renders the Markdown in it and sanitises the HTML."""
    return {"type": "text", "text": value}


def progress(piece: Piece, language: str) -> str:
    """HTML of a file in the making, of the size that the finished one will have."""
    name = noun(piece.modality, language)
    facts = [say("making", language, noun=name)]
    if piece.step and piece.steps:
        facts.append(say("step", language, step=piece.step, steps=piece.steps))
        spent = time.monotonic() - piece.started
        facts.append(say("left", language, seconds=max(1, round(spent / piece.step * (piece.steps - piece.step)))))
    else:
        facts.append(say("starting", language))
    shown = f'<img src="{piece.preview}" alt="">' if piece.preview else ""
    return (
        f'<div class="nx-making {piece.modality}" aria-live="off"><div class="nx-preview">{shown}</div>'
        f'<progress max="{piece.steps or 1}" value="{piece.step}" aria-label="{escape(facts[0])}"></progress>'
        f"<span>{escape(' · '.join(facts))}</span></div>"
    )


def stopped(piece: Piece, language: str) -> str:
    """HTML of a file that was stopped: the last that was seen of it stays."""
    sentence = f'<p class="nx-notice quiet">{say("medium_stopped", language, noun=noun(piece.modality, language))}</p>'
    if not piece.preview:
        return sentence
    return f'<div class="nx-making {piece.modality}"><div class="nx-preview"><img src="{piece.preview}" alt=""></div>{sentence}</div>'


def versions(turn: Turn, number: int, language: str) -> str:
    """HTML of the arrows between the answers that retry made."""
    here, count = turn.shown + 1, len(turn.versions)

    def arrow(to: int, sign: str, key: str) -> str:
        off = "" if 0 <= to < count else " disabled"
        return f'<button type="button" data-nx="version:{number}:{to}" aria-label="{say(key, language)}"{off}>{sign}</button>'

    label = say("version", language, here=here, count=count)
    return f'<div class="nx-below">{arrow(turn.shown - 1, "‹", "earlier")}<span>{label}</span>{arrow(turn.shown + 1, "›", "later")}</div>'


def ending(answer: Answer, said: bool, language: str) -> list[tuple[str, str]]:
    """What is to be said after an answer that did not end as usual: (sentence, kind)."""
    if answer.status == "failed":
        return [(translated(answer.error, language), "problem")]
    if answer.status == "cancelled":
        return [(say("stopped", language), "quiet")]
    if not said:
        return [(say("nothing", language), "quiet")]
    return [(say("cut", language), "quiet")] if answer.cut else []
