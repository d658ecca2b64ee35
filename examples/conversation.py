"""A conversation: a picture is sent, and later messages refer to it. The engine keeps nothing; what was said is handed to it each time.

.venv/bin/python -m examples.conversation
"""

from pathlib import Path

from nextgpt_core import Engine, Media, Message, TurnDone, TurnSettings

PICTURE = Path(__file__).resolve().parents[1] / "assets" / "examples" / "picture.png"

engine = Engine.load("nano")
conversation: list[Message] = []

for parts in ((Media("image", PICTURE), "What is in this picture?"), ("Draw another one in blue.",), ("Let me hear what it sounds like.",)):
    conversation.append(Message("user", parts))
    *_, done = engine.turn(conversation, TurnSettings(seed=1), out_dir=Path("made"))
    assert isinstance(done, TurnDone)  # the last event, always
    conversation.append(done.message)  # with its media: a file that was made can be referred to like one that was sent
    print(f"> {conversation[-2].text}\n{done.message.text}", *(file.path for file in done.message.media))
