"""Describing files: each is looked at by itself, in words alone.

.venv/bin/python -m examples.describe photo.jpg rain.mp3 clip.mp4
"""

import sys
from pathlib import Path

from nextgpt_core import Engine, Media, Message, NextGPTError, TurnDone, TurnSettings
from nextgpt_core.modalities import sniff

ASSETS = Path(__file__).resolve().parents[1] / "assets" / "examples"

files = [Path(name) for name in sys.argv[1:]] or [ASSETS / "picture.png", ASSETS / "sound.wav", ASSETS / "video.mp4"]
engine = Engine.load("nano")
words_only = TurnSettings(answer_with=frozenset({"text"}))

for path in files:
    try:
        message = Message("user", (Media(sniff(path), path), "What is this?"))  # what a file is, is read from its contents
        *_, done = engine.turn([message], words_only, out_dir=Path("made"))
    except NextGPTError as error:  # a sentence that says what is wrong with the file and what to do
        print(f"{path.name}: {error}")
        continue
    assert isinstance(done, TurnDone)
    print(f"{path.name}: {done.message.text}")
