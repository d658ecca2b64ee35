"""A turn: a wish in words, the answer as it is written, and the file that was made.

.venv/bin/python -m examples.turn "draw a red apple"
"""

import sys
from pathlib import Path

from nextgpt_core import Engine, MediaFailed, MediaReady, Message, TextDelta, TurnDone, TurnSettings

wish = sys.argv[1] if len(sys.argv) > 1 else "draw a red apple"
engine = Engine.load("nano")  # once; an engine takes any number of turns

for event in engine.turn([Message("user", (wish,))], TurnSettings(seed=1), out_dir=Path("made")):
    if isinstance(event, TextDelta):
        print(event.text, end="", flush=True)
    elif isinstance(event, MediaReady):
        print(f"\n{event.media.modality}: {event.media.path}")
    elif isinstance(event, MediaFailed):  # the rest of the answer is unharmed
        print(f"\nno {event.modality}: {event.reason}")
    elif isinstance(event, TurnDone):
        print(f"seed {event.seed}, {sum(event.seconds.values()):.1f} s, ended by {event.finish_reason}")
