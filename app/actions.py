"""What the page does when a person does something. Each public method is one event of the page; layout and wiring are in chat.py."""

import asyncio
import dataclasses
import logging
import secrets
import time
from collections.abc import AsyncIterator
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from app.admission import Admission
from app.archive import export_zip, import_zip
from app.conversation import Conversation, Turn
from app.files import Checked, FileStore, check_all, checked
from app.i18n import language_of, say
from app.jobs import Desk, Job
from app.library import Library, Person
from app.loading import Loader
from app.pace import Pace
from app.render import Renderer
from app.settings import MADE, QUALITIES, Choices, Settings, recalled
from app.tab import Tab
from app.translate import translated
from nextgpt_core.errors import MediaError

logger = logging.getLogger(__name__)

COPY_SECONDS = 0.3  # between two looks at whether a copy is there

Update = dict[str, Any]  # output's name -> new value; what is not named stays as it is


NO_KEY = "\u2060"  # a word joiner: no width, and in no key


class Actions:
    """The events of the page. They give Updates; chat.py turns those into Gradio's. After each, `follow` shows an answer in the making."""

    def __init__(self, settings: Settings, store: FileStore, library: Library, desk: Desk, loader: Loader, renderer: Renderer) -> None:
        self.settings = settings
        self.store = store
        self.library = library
        self.desk = desk
        self.loader = loader
        self.renderer = renderer
        self.admission = Admission(settings, store, library, desk)
        self._where, self._refused = self.admission.where, self.admission.refused

    def open(self, tab: Tab, saved: Any, place: str, request: gr.Request | None) -> Update:
        """The page was opened or reloaded: show the conversation that this tab showed, else the one that was used last."""
        tab.language = language_of(request)
        tab.person = self.library.open(saved)
        last = tab.person.find(str(saved.get("current"))) if isinstance(saved, dict) else None
        if last is not None and not last.turns:  # another tab is about to use it
            last = None
        tab.conversation = tab.person.find(str(place)) or last or self.library.start(tab.person)
        return self._state(tab)

    async def send(self, tab: Tab, message: Any, choices: Choices) -> Update:
        """A message was sent. Whatever stands in its way is said, and the message stays in the box."""
        message = message or {}
        words, paths = message.get("text") or "", [Path(path) for path in message.get("files") or []]
        conversation = self._where(tab)[1]
        if self._refused(tab, conversation, words, len(paths), choices, place=len(conversation.turns)):
            another = self.desk.job(conversation.id) not in (None, tab.following)  # sent in another tab: this one shows it from now on
            return self._state(tab) if another else {}
        looked = await asyncio.to_thread(check_all, paths, checked)
        conversation = self.admission.still(tab, conversation)
        problem = self.admission.refusal(tab, conversation, words, len(paths), choices, len(conversation.turns))
        if problem:  # it was sent twice, perhaps
            gr.Warning(problem)
            return {}
        for file in looked:
            if file.problem:
                gr.Warning(say("left_out", tab.language, problem=translated(file.problem, tab.language)))
        usable = [file for file in looked if not file.problem]
        gone = any(not file.path.is_file() for file in looked)  # by its time, or with its conversation: it can be added again
        nothing = not usable and not words.strip()
        kept = None if gone or nothing else self.admission.kept(tab, usable, conversation)
        if kept is None:
            return {"chosen": chips(looked, tab.language)}
        conversation.turns.append(Turn(words, kept))
        first = self._start(tab, conversation, choices)
        for file in looked:
            self.store.discard_upload(file.path)
        return first | _filled(tab, "", [], **_buttons(self.desk.job(conversation.id) is not None))

    def retry(self, tab: Tab, index: int, choices: Choices) -> Update:
        """Answer a turn again. The earlier answer stays beside it; what came after it stays in a branch."""
        person, conversation = self._where(tab)
        turn = self._turn(conversation, index)
        if turn is None or self._refused(tab, conversation, turn.text, len(turn.files), choices, place=index, versions=len(turn.versions)):
            return {}
        if turn is not conversation.turns[-1]:
            self.library.branch(person, conversation, say("before_retry", tab.language))
            self.library.cut(person, conversation, index + 1)
        turn.again()
        return self._start(tab, conversation, choices)

    def edit(self, tab: Tab, index: int, words: str, choices: Choices) -> Update:
        """Send an earlier message in other words. The conversation as it was stays in a branch."""
        person, conversation = self._where(tab)
        turn = self._turn(conversation, index)
        if turn is None or self._refused(tab, conversation, words, len(turn.files), choices, place=index):
            return self._messages(tab)
        self.library.branch(person, conversation, say("before_edit", tab.language))
        self.library.cut(person, conversation, index)
        conversation.turns.append(Turn(words, list(turn.files)))
        return self._start(tab, conversation, choices)

    def undo(self, tab: Tab, index: int) -> Update:
        """Take a turn and what follows back; its message goes into the box."""
        person, conversation = self._where(tab)
        turn = self._turn(conversation, index)
        if turn is None or self._busy(tab):
            return {}
        self.library.cut(person, conversation, index)
        files = [str(self.store.path(file)) for file in turn.files if self.store.has(file)]
        return self._state(tab) | _filled(tab, turn.text, files)

    def edit_in_box(self, tab: Tab, index: int) -> Update:
        """Put an earlier message with its files into the box, to be changed and sent. The conversation as it was stays in a branch."""
        person, conversation = self._where(tab)
        if self._turn(conversation, index) is None or self._busy(tab):
            return {}
        self.library.branch(person, conversation, say("before_edit", tab.language))
        return self.undo(tab, index)

    def another(self, tab: Tab, reference: str, choices: Choices) -> Update:
        """Ask for one more file like an earlier one: the same message, a new seed."""
        conversation = self._where(tab)[1]
        found = self._medium(conversation, reference)
        if found is None:
            return {}
        turn, modality, _ = found
        name = next(name for name, one in MADE.items() if one == modality)
        forbid = tuple(one for one in choices.forbid if one != name)
        choices = dataclasses.replace(choices, answer=name, forbid=forbid, seed=secrets.randbelow(2**31))
        if self._refused(tab, conversation, turn.text, len(turn.files), choices, place=len(conversation.turns)):
            return {}
        conversation.turns.append(Turn(turn.text, list(turn.files)))
        return self._start(tab, conversation, choices)

    def use(self, tab: Tab, reference: str, message: Any) -> Update:
        """Put a made file into the message box."""
        found = self._medium(self._where(tab)[1], reference)
        return {} if found is None else _with_file(tab, message, str(found[2]))

    def shot(self, tab: Tab, message: Any, photo: str | None) -> Update:
        """Put a photo that was just taken into the message box, and fold the camera away."""
        if photo is None:  # the camera was emptied, by us or by the person
            return {}
        return {**_with_file(tab, message, photo), "webcam": None, "camera": gr.update(open=False)}

    def version(self, tab: Tab, reference: str) -> Update:
        """Show another one of a turn's answers."""
        number, to = (int(part) for part in reference.split(":"))
        turn = self._turn(self._where(tab)[1], number)
        if turn is not None and turn.answer.finished and 0 <= to < len(turn.versions):
            turn.shown = to
        return self._state(tab)

    def stop(self, tab: Tab) -> None:
        if tab.conversation is not None:
            self.desk.stop(tab.conversation.id)

    def switch(self, tab: Tab, conversation_id: str) -> Update:
        """Show another conversation."""
        person, _ = self._where(tab)
        tab.conversation = person.find(conversation_id) or tab.conversation
        return self._state(tab)

    async def follow(self, tab: Tab) -> AsyncIterator[Update]:
        """Show an answer while it grows, at most so many times a second, until it is done or the tab shows something else."""
        job = self.desk.job(tab.conversation.id) if tab.conversation else None
        if job is None or job is tab.following:
            if job is None and tab.conversation is not None:  # it may have been done before anybody looked
                yield self._state(tab)
                async for update in self._copies(tab, tab.conversation):
                    yield update
            return
        tab.following, seen, beat = job, -1, 0.0
        tab.pace = pace = tab.pace or Pace(self.settings.updates_per_second)
        pace.begin()
        try:
            while self.desk.job(job.conversation.id) is job and tab.conversation is job.conversation:
                if (job.version != seen or beat >= 1.0) and not pace.held:  # once a second also without news: the remaining time goes on
                    seen, beat, spent = job.version, 0.0, time.thread_time()
                    mark = pace.sent()
                    yield self._messages(tab, job) | ({"mark": mark} if mark else {})
                    pace.took(time.thread_time() - spent)
                beat += pace.pause
                await asyncio.sleep(pace.pause)
            if tab.conversation is job.conversation:
                yield self._state(tab) | ({} if job.answer.seed is None else {"seed": job.answer.seed})
                async for update in self._copies(tab, job.conversation):
                    yield update
            elif tab.conversation is not None:  # the last update may reach the browser after what the tab moved on to: show that once more
                yield self._messages(tab, self.desk.job(tab.conversation.id))
        finally:
            if tab.following is job:
                tab.following = None

    async def _copies(self, tab: Tab, conversation: Conversation) -> AsyncIterator[Update]:
        """Show copies of sent files once they are there, where browsers cannot show the files themselves."""
        shown = self.renderer.copies.made
        files = conversation.files()
        while tab.conversation is conversation and (self.renderer.copies.making(*files) or shown != self.renderer.copies.made):
            if shown != self.renderer.copies.made:
                shown = self.renderer.copies.made
                yield self._messages(tab, self.desk.job(conversation.id))
            else:
                await asyncio.sleep(COPY_SECONDS)

    def shown(self, tab: Tab, mark: str) -> None:
        """The browser has shown the update with this mark."""
        if tab.pace is not None:
            tab.pace.came_back(mark)

    def new(self, tab: Tab) -> Update:
        tab.conversation = self.library.start(self._where(tab)[0])
        return self._state(tab)

    def delete(self, tab: Tab) -> Update:
        """Delete the conversation that is open, with its files."""
        person, conversation = self._where(tab)
        self.desk.stop(conversation.id)
        self.library.delete(person, conversation)
        return self.new(tab)

    def export(self, tab: Tab) -> str | None:
        conversation = self._where(tab)[1]
        if not conversation.turns or conversation.busy:
            gr.Warning(say("busy" if conversation.turns else "nothing_to_export", tab.language))
            return None
        return str(export_zip(conversation, self.store))

    def bring(self, tab: Tab, path: str) -> Update:
        """Import a conversation file."""
        person = self._where(tab)[0]
        try:
            conversation = import_zip(Path(path), self.store, person.new_name(), self.settings)
        except MediaError as error:
            gr.Warning(translated(str(error), tab.language))
            return {}
        finally:
            self.store.discard_upload(Path(path))
        self.library.add(person, conversation)
        tab.conversation = conversation
        gr.Info(say("imported", tab.language))
        return self._state(tab)

    def chose(self, tab: Tab, message: Any, touched: str) -> Update:
        """Files were chosen: say at once what they are, and recall the settings of a file that this page made.

        `touched` is the mark that the browser has; another one than the last comes with what the box held before we changed it."""
        if tab.touched and touched != tab.touched:
            return {}
        paths = tuple((message or {}).get("files") or [])
        if paths == tab.chosen:
            return {}
        fresh, tab.chosen = [path for path in paths if path not in tab.chosen], paths
        looked = check_all([Path(path) for path in paths[: self.settings.max_files]], checked)
        update: Update = {"chosen": chips(looked, tab.language)}
        for file in looked:
            values = recalled(file.provenance or {}) if str(file.path) in fresh and not self._ours(file.path) else {}
            if values:
                update |= {**values, "lock": True}
                gr.Info(say("recalled", tab.language, seed=values["seed"]))
        return update

    def status(self) -> tuple[str, str, str]:
        """How the model is: state, name, and what is wrong with it."""
        return self.loader.state, self.loader.name, self.loader.problem

    # below: shared steps

    def _start(self, tab: Tab, conversation: Conversation, choices: Choices) -> Update:
        """Have the last turn answered."""
        turn = conversation.turns[-1]
        turn.answer.settings = dataclasses.asdict(choices)
        if self.desk.submit(conversation, choices.turn_settings()) is None:
            turn.answer.status, turn.answer.error = "failed", say("full", tab.language)
        return self._state(tab)

    def _messages(self, tab: Tab, job: Job | None = None) -> Update:
        if tab.conversation is None:
            return {}
        ahead = self.desk.ahead(job) if job else 0
        loading = self.loader.state == "loading"
        return {"chat": self.renderer.render(tab.conversation, tab.language, job, ahead=ahead, loading=loading)}

    def _state(self, tab: Tab) -> Update:
        """Everything that follows from the tab's conversation."""
        person, conversation = self._where(tab)
        job = self.desk.job(conversation.id)
        saved = self.library.save(person, current=conversation.id)
        self._tell(tab, person)
        choices = [(_title(one, tab.language), one.id) for one in person.listed()]
        return {
            **self._messages(tab, job),
            "box": gr.update(**_buttons(job is not None)),
            "listing": gr.update(choices=choices, value=conversation.id if conversation.turns else None),
            "place": conversation.id,
            "saved": saved,
        }

    def _tell(self, tab: Tab, person: Person) -> None:
        """Say which conversations are not kept any more, once."""
        limits = {"limit": self.library.max_conversations, "hours": f"{self.settings.keep_hours:g}"}
        for key, titles in (("made_room", person.gone), ("unkept", person.unkept)):
            if titles:
                gr.Warning(say(key, tab.language, titles=", ".join(f"“{title}”" for title in titles), **limits))
                titles.clear()

    def _busy(self, tab: Tab) -> bool:
        busy = tab.conversation is not None and self.desk.job(tab.conversation.id) is not None
        if busy:
            gr.Warning(say("busy", tab.language))
        return busy

    def _turn(self, conversation: Conversation, index: int) -> Turn | None:
        return conversation.turns[index] if 0 <= index < len(conversation.turns) else None

    def _medium(self, conversation: Conversation, reference: str) -> tuple[Turn, str, Path] | None:
        number, index = (int(part) for part in reference.split(":"))
        turn = self._turn(conversation, number)
        for piece in turn.answer.pieces if turn else []:
            if turn and piece.index == index and piece.file and self.store.has(piece.file):
                return turn, piece.modality, self.store.path(piece.file)
        return None

    def _ours(self, path: Path) -> bool:
        return path.is_relative_to(self.store.root)


def chips(files: list[Checked], language: str) -> str:
    """HTML: each chosen file with what will be used of it, or why it cannot be."""
    items = []
    for file in files:
        if file.problem:
            items.append(f'<li class="problem">{escape(translated(file.problem, language))}</li>')
        else:
            facts = say("used", language, label=file.label, summary=file.summary)
            items.append(f"<li><b>{escape(facts)}</b> {escape(translated(file.note, language))}</li>")
    return f'<ul class="nx-chosen">{"".join(items)}</ul>' if items else ""


def choices_from(values: dict[str, Any]) -> Choices:
    """What the settings' components hold -> Choices. Steps that are not set follow the quality."""
    quality, forbid = values.get("quality"), values.get("forbid")
    steps = values.get("steps") or QUALITIES.get(quality if isinstance(quality, str) else "balanced") or 0
    return Choices(
        answer=values.get("answer") or "auto",
        forbid=tuple(forbid) if isinstance(forbid, list | tuple) else (),
        temperature=values.get("temperature"),
        top_p=values.get("top_p") or None,
        max_new_tokens=values.get("max_new_tokens") or None,
        guidance=values.get("guidance") or 0.0,
        steps=steps,
        seconds=values.get("seconds") or 0.0,
        frames=values.get("frames") or 0,
        seed=values.get("seed") if values.get("lock") else None,
    )


def _buttons(busy: bool) -> dict[str, Any]:
    """Send or stop in the message box, whichever makes sense now."""
    return {"submit_btn": not busy, "stop_btn": busy}


def _filled(tab: Tab, text: str, files: list[str], **buttons: Any) -> Update:
    """A new content of the message box. Gradio tells nobody of a change that we make; `touched` does."""
    tab.touched = secrets.token_hex(4)
    told: Update = {"box": gr.update(value={"text": text, "files": files}, **buttons), "touched": tab.touched}
    if not files:  # the browser says nothing of a box without any
        tab.chosen = ()
        told["chosen"] = ""
    return told


def _with_file(tab: Tab, message: Any, path: str) -> Update:
    """The message box with one more file."""
    message = message or {}
    return _filled(tab, message.get("text") or "", [*(message.get("files") or []), path])


def _title(conversation: Conversation, language: str) -> str:
    """The name in the list. It begins with an invisible sign: Gradio translates labels that are a key, which a person may type: "hello"."""
    title = NO_KEY + (conversation.title or say("untitled", language))
    return f"{title} ({conversation.note})" if conversation.note else title
