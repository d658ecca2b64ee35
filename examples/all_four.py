"""Text, a picture, a sound and a video from one message: as the model chooses, and as the settings demand.

.venv/bin/python -m examples.all_four
"""

from pathlib import Path

from nextgpt_core import Engine, MediaProgress, MediaReady, Message, SignalSpan, TurnDone, TurnSettings

engine = Engine.load("nano")
wish = Message("user", ("Draw a dog, let me hear a dog and make a video of a dog jumping.",))

# The model decides: it writes a span of signal tokens where something should be shown.
for event in engine.turn([wish], TurnSettings(seed=1), out_dir=Path("made")):
    if isinstance(event, SignalSpan):
        print(f"{event.modality} asked for at token {event.start}")
    elif isinstance(event, MediaProgress) and event.step == event.steps:
        print(f"{event.modality} denoised in {event.steps} steps")
    elif isinstance(event, MediaReady):
        print(f"{event.media.modality}: {event.media.path}")
    elif isinstance(event, TurnDone):
        print(event.message.text)

# The caller decides: exactly these, whatever the message says, and in few steps.
demanded = TurnSettings(seed=1, answer_with=frozenset({"text", "image", "audio", "video"}), steps=8)
*_, done = engine.turn([Message("user", ("a cat",))], demanded, out_dir=Path("made"))
assert isinstance(done, TurnDone)
print(sorted(file.modality for file in done.message.media), "were demanded")
