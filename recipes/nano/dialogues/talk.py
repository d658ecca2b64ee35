"""A dialogue being written: what each side says, and what "it" refers to meanwhile."""

from pathlib import Path

import numpy as np

from nextgpt_core.messages import Media
from nextgpt_core.train.dialogues import DialogueWriter, agreeing, bare
from recipes.nano.dialogues import phrases
from recipes.nano.dialogues.wording import as_typed, reworded
from recipes.nano.world.scenes import MediaSource, Scene, caption, modality_of, random_scene, wished

_SLIPS = {False: 0.2, True: 0.12}  # share of messages with a slip of the keyboard; practice is harder than the test


class Talk(DialogueWriter):
    """A dialogue being written: its messages, and the scene that "it" refers to."""

    def __init__(self, rng: np.random.Generator, source: MediaSource, held_out: bool) -> None:
        super().__init__(rng)
        self.source = source
        self.held_out = held_out
        self.scene: Scene | None = None
        self.made: str | None = None  # modality of the last file the assistant made

    def frame(self, kind: str, key: str = "") -> str:
        found = phrases.frames(kind, key, held_out=self.held_out) or phrases.frames(kind, key, held_out=False)
        return self.pick(found)

    def send(self, modality: str) -> Media:
        """A file from the user; it becomes what "it" refers to."""
        self.scene, info = self.source.draw(self.rng, modality)
        self.made = None
        return Media(modality, Path(f"sent.{modality}"), info | {"scene": self.scene, "caption": caption(self.scene)})

    def user(self, text: str, *media: Media, chatty: bool = True) -> None:
        """`chatty` texts may get openers and closers."""
        self.ask(as_typed(self.rng, text, chatty=chatty, slips=_SLIPS[self.held_out]), *media)

    def answer(self, *scenes: Scene, replies: dict[str, tuple[str, ...]] = phrases.MADE) -> None:
        """Make these media."""
        made = []
        for scene in scenes:
            modality, said = modality_of(scene), caption(scene)
            sentence = agreeing(self.pick(replies[modality]).format(x=said))
            made.append((sentence, Media(modality, Path(f"made.{modality}"), {"scene": scene, "caption": said})))
        self.make(*made)
        self.scene, self.made = scenes[-1], modality_of(scenes[-1])

    def wish(self, modality: str) -> Scene:
        return wished(random_scene(self.rng, modality))

    def words_for(self, scene: Scene) -> str:
        """The scene as a user may say it."""
        return reworded(self.rng, scene, caption(scene))


def filled(talk: Talk, frame: str, scene: Scene) -> str:
    said = talk.words_for(scene)
    return frame.format(x=said, n=bare(said))


def some_motion(talk: Talk) -> tuple[str, str]:
    motion = talk.pick([name for name in phrases.MOTION_WORDS if name != "standing still"])
    return motion, talk.pick(phrases.MOTION_WORDS[motion][1])
