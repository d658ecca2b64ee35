"""One open page."""

from dataclasses import dataclass

from app.conversation import Conversation
from app.jobs import Job
from app.library import Person
from app.pace import Pace


@dataclass
class Tab:
    """One open page: whose it is, and which conversation it shows. Lives in gr.State."""

    person: Person | None = None
    conversation: Conversation | None = None
    language: str = "en"
    chosen: tuple[str, ...] = ()  # files in the message box that were looked at
    touched: str = ""  # the mark of the last content that we gave the message box
    following: Job | None = None  # the answer that it shows while it grows
    pace: Pace | None = None  # how often it is shown that
