"""What stands between a message and its answer: whose it is, why it is refused, how its files are kept."""

import logging

import gradio as gr

from app.conversation import Conversation
from app.files import Checked, FileStore, StoredFile
from app.i18n import say
from app.jobs import Desk
from app.library import Library, Person
from app.settings import PAGE_MOST, Choices, Settings
from app.tab import Tab
from app.translate import translated
from nextgpt_core.errors import ConfigError, SettingsError

logger = logging.getLogger(__name__)


class Admission:
    """Says to the person what it refuses."""

    def __init__(self, settings: Settings, store: FileStore, library: Library, desk: Desk) -> None:
        self.settings = settings
        self.store = store
        self.library = library
        self.desk = desk

    def where(self, tab: Tab) -> tuple[Person, Conversation]:
        """The tab's person and conversation. A tab that this server does not know (any more) must be opened first: as somebody new it
        would write over what the browser keeps."""
        if tab.person is None:
            raise gr.Error(say("reload", tab.language), print_exception=False)
        tab.person = self.library.again(tab.person)
        shown = tab.conversation and tab.person.find(tab.conversation.id)
        tab.conversation = shown or self.library.start(tab.person)
        return tab.person, tab.conversation

    def still(self, tab: Tab, conversation: Conversation) -> Conversation:
        """The conversation, or a new one in its place: an empty one is dropped when another tab begins its own."""
        person, shown = self.where(tab)
        if person.find(conversation.id) is conversation:
            return conversation
        return self.library.start(person) if shown.turns else shown

    def refused(
        self, tab: Tab, conversation: Conversation, words: str, files: int, choices: Choices, *, place: int, versions: int = 0
    ) -> bool:
        """Say what stands in the way of an answer, before anything is changed for it. It will be that of turn `place`, which has
        `versions` already."""
        problem = self.refusal(tab, conversation, words, files, choices, place, versions)
        if not problem and not self.library.allow(self.where(tab)[0], self.settings.turns_per_minute):
            problem = say("too_fast", tab.language, limit=self.settings.turns_per_minute)
        if problem:
            gr.Warning(problem)
        return bool(problem)

    def refusal(self, tab: Tab, conversation: Conversation, words: str, files: int, choices: Choices, place: int, versions: int = 0) -> str:
        """Why a message cannot be answered, or nothing."""
        limits, language = self.settings, tab.language
        if not words.strip() and not files:
            return say("empty", language)
        if self.desk.job(conversation.id) is not None:
            return say("busy", language)
        if tab.person and sum(self.desk.job(one.id) is not None for one in tab.person.conversations) >= limits.max_waiting_per_person:
            return say("too_many_waiting", language, limit=limits.max_waiting_per_person)
        if len(words) > limits.max_text:
            return say("too_long", language, length=f"{len(words):,}", limit=f"{limits.max_text:,}")
        if files > limits.max_files:
            return say("too_many", language, count=files, limit=limits.max_files)
        if place >= limits.max_turns:
            return say("too_many_turns", language, limit=limits.max_turns)
        if versions >= limits.max_versions:
            return say("too_many_versions", language, limit=limits.max_versions)
        try:
            choices.turn_settings(PAGE_MOST)
        except (ConfigError, SettingsError) as error:
            return translated(str(error), language)
        return ""

    def kept(self, tab: Tab, files: list[Checked], conversation: Conversation) -> list[StoredFile] | None:
        """The files, copied into the conversation; None, and a sentence, where that is not possible."""
        kept: list[StoredFile] = []
        try:
            for file in files:
                kept.append(self.store.adopt(file, conversation.id))
        except OSError as error:
            logger.warning("a message's file could not be kept: %s", error)
            for stored in kept:
                self.store.delete(stored)
            gr.Warning(say("not_kept", tab.language))
            return None
        return kept
