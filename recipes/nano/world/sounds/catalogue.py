"""The sounds nano knows: kinds with names a person would say, scenes drawn from them, their captions, and their waveforms.

Instruments, drums and a few effects are played by fluidsynth, the rest by the recipes of sound_nature, sound_people and sound_things.
Evaluation uses what training never hears: other keys, other velocities (`heldout=True`), and noise.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from recipes.nano.world.sounds import machines as things
from recipes.nano.world.sounds import nature, people
from recipes.nano.world.sounds.blocks import RATE, SAMPLES, SECONDS, Recipe, noise
from recipes.nano.world.sounds.fluidsynth import DRUMS, Note, Score, play

QUIET_GAIN = 0.1  # -20 dB
PEAK = 0.7


@dataclass(frozen=True)
class SoundKind:
    """One kind of sound. `axes` are the attributes that can be heard of it and that captions may tell."""

    name: str  # with its article: "a violin", "rain"
    group: str  # "instrument", "percussion", "effect"
    synonyms: tuple[str, ...] = ()
    axes: tuple[str, ...] = ("loudness",)
    programs: tuple[tuple[int, int], ...] = ()  # (bank, program) of the soundfont; empty: a recipe makes it
    keys: tuple[int, ...] = ()  # instruments: lowest and highest key; percussion: the keys of the kit
    recipe: Recipe | None = None
    force: tuple[str, str] = ("", "")  # words for weak and strong, e.g. ("light", "heavy")


def _instrument(name: str, programs: Sequence[int | tuple[int, int]], low: int, high: int, *synonyms: str) -> SoundKind:
    pairs = tuple(p if isinstance(p, tuple) else (0, p) for p in programs)
    return SoundKind(name, "instrument", synonyms, ("loudness", "form", "pitch", "tempo", "mood"), pairs, (low, high))


def _percussion(name: str, keys: Sequence[int], *synonyms: str, kits: Sequence[int] = (0, 8, 16)) -> SoundKind:
    return SoundKind(name, "percussion", synonyms, ("loudness", "form", "tempo"), tuple((0, kit) for kit in kits), tuple(keys))


def _played(name: str, program: int, keys: Sequence[int], *synonyms: str, bank: int = 0) -> SoundKind:
    return SoundKind(name, "effect", synonyms, ("loudness",), ((bank, program),), tuple(keys))


def _made(name: str, recipe: Recipe, axes: str, *synonyms: str, force: tuple[str, str] = ("", "")) -> SoundKind:
    return SoundKind(name, "effect", synonyms, tuple(axes.split()), recipe=recipe, force=force)


SOUNDS: tuple[SoundKind, ...] = (
    # keyboards, bells and mallets
    _instrument("a piano", (0, 1), 36, 88, "a grand piano", "the piano"),
    _instrument("an electric piano", (4,), 40, 84, "a Rhodes piano"),
    _instrument("a honky-tonk piano", (3,), 40, 84, "a saloon piano", "a barroom piano"),
    _instrument("a harpsichord", (6,), 40, 84, "a cembalo"),
    _instrument("a clavinet", (7,), 40, 80, "a funky clavinet"),
    _instrument("a celesta", (8,), 60, 96),
    _instrument("a glockenspiel", (9,), 72, 100, "orchestra bells"),
    _instrument("a music box", (10,), 60, 92, "a musical box"),
    _instrument("a vibraphone", (11,), 53, 88, "vibes"),
    _instrument("a marimba", (12,), 45, 86),
    _instrument("a xylophone", (13,), 65, 96),
    _instrument("tubular bells", (14,), 60, 78, "tubular chimes"),
    _instrument("a dulcimer", (15,), 50, 84, "a hammered dulcimer"),
    _instrument("a Hammond organ", (16, 18), 40, 84, "a rock organ", "a jazz organ"),
    _instrument("a church organ", (19,), 36, 84, "a pipe organ", "an organ in a church"),
    _instrument("an accordion", (21,), 48, 86, "a squeezebox"),
    _instrument("a harmonica", (22,), 58, 86, "a mouth organ"),
    # plucked strings
    _instrument("an acoustic guitar", (24, 25), 40, 80, "a guitar", "a classical guitar"),
    _instrument("a ukulele", ((8, 24),), 58, 82, "a Hawaiian ukulele"),
    _instrument("a mandolin", ((16, 25),), 55, 86),
    _instrument("an electric guitar", (26, 27), 40, 82, "a clean electric guitar", "a jazz guitar"),
    _instrument("a muted guitar", (28,), 40, 78, "a palm-muted guitar"),
    _instrument("a distorted guitar", (29, 30), 40, 80, "a heavy metal guitar", "an overdriven guitar", "a rock guitar"),
    _instrument("a double bass", (32,), 28, 55, "an upright bass", "an acoustic bass"),
    _instrument("a bass guitar", (33, 34), 28, 55, "an electric bass"),
    _instrument("a slap bass", (36, 37), 28, 55),
    _instrument("a synth bass", (38, 39), 28, 55, "a bass synthesizer"),
    _instrument("a harp", (46,), 40, 92),
    _instrument("a sitar", (104,), 48, 79, "an Indian sitar"),
    _instrument("a banjo", (105,), 48, 84),
    _instrument("a shamisen", (106,), 50, 79, "a Japanese shamisen"),
    _instrument("a koto", (107,), 50, 84, "a Japanese koto", "a zither"),
    _instrument("a kalimba", (108,), 55, 86, "a thumb piano"),
    # bowed strings and ensembles
    _instrument("a violin", (40, 110), 56, 93, "a fiddle"),
    _instrument("a cello", (42,), 36, 70, "a violoncello"),
    _instrument("tremolo strings", (44,), 45, 86, "trembling strings"),
    _instrument("plucked strings", (45,), 45, 86, "pizzicato strings"),
    _instrument("a string orchestra", (48, 49), 40, 86, "a string section", "strings"),
    _instrument("a choir", (52,), 45, 79, "people singing", "a choir singing"),
    _instrument("a humming voice", (53,), 48, 79, "a person humming", "voices going ooh"),
    _instrument("an orchestra hit", (55,), 48, 76, "an orchestral stab"),
    _instrument("timpani", (47,), 38, 58, "kettledrums"),
    # wind instruments
    _instrument("a trumpet", (56,), 55, 84),
    _instrument("a trombone", (57,), 40, 70),
    _instrument("a tuba", (58,), 28, 55),
    _instrument("a muted trumpet", (59,), 55, 82, "a trumpet with a mute"),
    _instrument("a French horn", (60,), 40, 74, "a horn"),
    _instrument("a brass band", (61,), 45, 80, "a brass section"),
    _instrument("a saxophone", (65, 66), 44, 80, "a sax", "an alto saxophone"),
    _instrument("an oboe", (68,), 58, 88),
    _instrument("a bassoon", (70,), 34, 66),
    _instrument("a clarinet", (71,), 50, 88),
    _instrument("a piccolo", (72,), 74, 100),
    _instrument("a flute", (73,), 60, 92),
    _instrument("a recorder", (74,), 62, 90, "a block flute"),
    _instrument("a pan flute", (75,), 60, 90, "panpipes"),
    _instrument("a bottle being blown", (76,), 55, 84, "blowing across a bottle"),
    _instrument("a shakuhachi", (77,), 55, 84, "a Japanese flute", "a bamboo flute"),
    _instrument("a person whistling", (78,), 66, 94, "whistling", "a whistle tune"),
    _instrument("an ocarina", (79,), 62, 90),
    _instrument("bagpipes", (109,), 55, 80, "Scottish bagpipes"),
    _instrument("a shehnai", (111,), 55, 82, "an Indian oboe"),
    # synthesizers
    _instrument("a video game synth", (80,), 50, 88, "a chiptune", "8-bit music", "a square wave synth"),
    _instrument("a sawtooth synth", (81,), 45, 84, "a synth lead", "a synthesizer"),
    _instrument("a synth pad", (89, 95), 45, 80, "ambient music", "a warm synth pad"),
    _instrument("a synth brass section", (62, 63), 45, 80, "synth brass"),
    _instrument("crystal chimes", (98,), 55, 88, "a crystal synth"),
    # tuned percussion
    _instrument("steel drums", (114,), 52, 84, "a steel pan", "Caribbean steel drums"),
    _instrument("a taiko drum", (116,), 40, 64, "a Japanese drum"),
    _instrument("synth drums", (118,), 45, 72, "electronic toms", "disco toms"),
    # percussion
    _percussion("a bass drum", (35, 36), "a kick drum"),
    _percussion("a snare drum", (38, 40)),
    _percussion("a hi-hat", (42, 44, 46), "a closed hi-hat"),
    _percussion("a crash cymbal", (49, 57), "cymbals", "a cymbal crash", kits=(0,)),
    _percussion("a ride cymbal", (51, 59), kits=(0,)),
    _percussion("tom-toms", (41, 43, 45, 47, 48, 50), "tom drums"),
    _percussion("rim clicks", (37,), "a side stick", "drumstick clicks"),
    _percussion("a cowbell", (56,), kits=(0,)),
    _percussion("a tambourine", (54,), kits=(0,)),
    _percussion("maracas", (70,), "a shaker", "a cabasa", kits=(0,)),
    _percussion("bongos", (60, 61), "bongo drums", kits=(0,)),
    _percussion("congas", (62, 63, 64), "conga drums", kits=(0,)),
    _percussion("timbales", (65, 66), kits=(0,)),
    _percussion("an agogo bell", (67, 68), kits=(0,)),
    _percussion("a guiro", (73, 74), "a rasp", "a scraper", kits=(0,)),
    _percussion("a wood block", (75, 76, 77), "claves", kits=(0,)),
    _percussion("a cuica", (78, 79), "a Brazilian friction drum", kits=(0,)),
    _percussion("a triangle", (80, 81), kits=(0,)),
    _percussion("sleigh bells", (83,), "jingle bells", kits=(0,)),
    _percussion("castanets", (85,), kits=(0,)),
    _percussion("a referee's whistle", (71, 72), "a police whistle", "a sports whistle", kits=(0,)),
    _percussion("a vibraslap", (58,), "a rattle", kits=(0,)),
    _percussion("a drum machine", (36, 38, 42, 46, 39), "an 808 beat", "an electronic beat", kits=(25,)),
    _percussion("a drum kit", (36, 38, 42, 42, 46), "drums", "a rock beat", "a drummer", kits=(0, 8, 16)),
    _percussion("a drum roll", (38,), "a snare roll", kits=(0,)),
    _percussion("hand claps", (39,), "clapping hands", "a person clapping"),
    _percussion("a record scratch", (29, 30), "a DJ scratching", "turntable scratching", kits=(0,)),
    # effects of the soundfont
    _played("ocean waves", 122, (60, 64, 67), "the seashore", "the sea", "waves on a beach"),
    _played("birds chirping", 123, (60, 64, 67, 72), "a bird singing", "birdsong", "a bird"),
    _played("a telephone ringing", 124, (67, 70, 72, 76), "a telephone", "a phone ringing"),
    _played("a helicopter", 125, (54, 57, 60, 64), "a helicopter flying"),
    _played("applause", 126, (57, 60, 64), "an audience clapping", "a crowd applauding"),
    _played("a gunshot", 127, (54, 57, 60, 64), "a gun", "shooting"),
    # weather, water, fire
    _made("rain", nature.rain, "loudness force", "rainfall", "raindrops", force=("light", "heavy")),
    _made("wind", nature.wind, "loudness force", "the wind howling", "a breeze", force=("gentle", "strong")),
    _made("thunder", nature.thunder, "loudness", "a thunderstorm", "a thunderclap"),
    _made("dripping water", nature.dripping, "loudness tempo", "a dripping tap", "water drops"),
    _made("bubbles", nature.bubbles, "loudness", "boiling water", "bubbling water"),
    _made("a stream", nature.stream, "loudness", "a brook", "a babbling creek", "flowing water"),
    _made("a crackling fire", nature.fire, "loudness", "a fire", "a campfire"),
    _made("a whistling kettle", nature.kettle, "loudness", "a tea kettle", "a kettle boiling"),
    _made("an explosion", nature.explosion, "loudness", "a bomb", "a blast"),
    _made("fireworks", nature.fireworks, "loudness", "a firework"),
    _made("breaking glass", nature.glass, "loudness", "glass shattering"),
    # alarms, bells, phones, games
    _made("a siren", things.siren, "loudness pitch tempo", "a fire engine", "a wailing siren"),
    _made("an ambulance", things.ambulance, "loudness pitch tempo", "an ambulance siren"),
    _made("a police siren", things.police, "loudness pitch", "a police car"),
    _made("an alarm clock", things.alarm_clock, "loudness pitch tempo", "a beeping alarm", "an alarm"),
    _made("a smoke alarm", things.smoke_alarm, "loudness", "a fire alarm", "a smoke detector"),
    _made("a buzzer", things.buzzer, "loudness", "a wrong answer buzzer"),
    _made("a church bell", things.church_bell, "loudness pitch tempo", "a bell", "bells ringing"),
    _made("a gong", things.gong, "loudness pitch", "a tam-tam", "a Chinese gong"),
    _made("a doorbell", things.doorbell, "loudness", "a ding-dong", "someone at the door"),
    _made("a bicycle bell", things.bicycle_bell, "loudness", "a bike bell"),
    _made("a dial tone", things.dial_tone, "loudness", "a telephone dial tone"),
    _made("a busy signal", things.busy_tone, "loudness", "an engaged tone"),
    _made("dialing a telephone", things.dialling, "loudness tempo", "phone keys", "touch tones", "dialing a number"),
    _made("Morse code", things.morse, "loudness pitch tempo", "a telegraph"),
    _made("a sonar", things.sonar, "loudness pitch", "a submarine", "a sonar ping"),
    _made("radio static", things.static, "loudness", "white noise", "static noise"),
    _made("a laser gun", things.laser, "loudness pitch tempo", "a laser", "a ray gun"),
    _made("a video game coin", things.coin, "loudness", "collecting a coin"),
    _made("a video game jump", things.jump, "loudness", "a jumping sound in a game"),
    _made("a UFO", things.ufo, "loudness pitch", "a flying saucer", "an alien spaceship"),
    # machines
    _made("a car engine", things.engine, "loudness pitch", "an engine", "a car", "a motor running"),
    _made("a motorcycle", things.motorcycle, "loudness pitch", "a motorbike"),
    _made("a train horn", things.train_horn, "loudness pitch", "a train"),
    _made("a steam train", things.steam_train, "loudness tempo", "a locomotive", "a steam engine"),
    _made("a car horn", things.car_horn, "loudness pitch", "honking", "a car honking"),
    _made("a ship's horn", things.ship_horn, "loudness pitch", "a foghorn", "a ship"),
    _made("an airplane", things.jet, "loudness", "a jet plane", "a plane flying by"),
    _made("a drill", things.drill, "loudness pitch", "a power drill"),
    _made("a vacuum cleaner", things.vacuum, "loudness", "a hoover", "vacuuming"),
    _made("a ticking clock", things.clock, "loudness tempo", "a clock", "a watch ticking"),
    _made("typing on a keyboard", things.typing, "loudness tempo", "someone typing", "a typewriter"),
    _made("a camera shutter", things.camera, "loudness", "a camera", "taking a photo"),
    _made("a hammer", things.hammer, "loudness tempo", "hammering", "a blacksmith"),
    _made("a handsaw", things.saw, "loudness tempo", "sawing wood"),
    _made("a creaking door", things.creaking, "loudness", "a door creaking", "a squeaky door"),
    _made("a zipper", things.zipper, "loudness", "zipping a jacket"),
    # people
    _made("a heartbeat", people.heartbeat, "loudness tempo", "a beating heart", "a heart"),
    _made("footsteps", people.footsteps, "loudness tempo", "someone walking", "steps"),
    _made("knocking on a door", people.knocking, "loudness tempo", "a knock on the door", "someone knocking"),
    _made("snoring", people.snoring, "loudness", "a person snoring", "someone sleeping"),
    _made("a baby crying", people.crying, "loudness", "a crying baby"),
    _made("laughter", people.laughing, "loudness pitch", "a person laughing", "laughing"),
    _made("a man talking", people.man_talking, "loudness tempo", "a man speaking", "a male voice"),
    _made("a woman talking", people.woman_talking, "loudness tempo", "a woman speaking", "a female voice"),
    _made("whispering", people.whispering, "loudness", "someone whispering"),
    _made("a robot talking", people.robot_talking, "loudness", "a robot", "a robot voice"),
    # animals
    _made("a dog barking", nature.dog, "loudness pitch tempo", "a dog", "barking"),
    _made("a cat meowing", nature.cat, "loudness pitch", "a cat", "meowing"),
    _made("a cow mooing", nature.cow, "loudness pitch", "a cow", "mooing"),
    _made("a sheep bleating", nature.sheep, "loudness pitch", "a sheep", "a goat"),
    _made("a rooster crowing", nature.rooster, "loudness pitch", "a rooster", "a cock"),
    _made("a duck quacking", nature.duck, "loudness pitch tempo", "a duck", "quacking"),
    _made("an owl hooting", nature.owl, "loudness pitch", "an owl"),
    _made("a cuckoo", nature.cuckoo, "loudness pitch", "a cuckoo clock", "a cuckoo calling"),
    _made("a wolf howling", nature.wolf, "loudness pitch", "a wolf", "howling"),
    _made("a frog croaking", nature.frog, "loudness pitch", "a frog", "frogs"),
    _made("crickets", nature.crickets, "loudness", "a cricket", "cicadas"),
    _made("a bee buzzing", nature.bee, "loudness pitch", "a bee", "bees"),
    _made("a mosquito", nature.mosquito, "loudness pitch", "a mosquito buzzing", "a fly"),
    _made("a snake hissing", nature.snake, "loudness", "a snake", "hissing"),
    _made("a horse galloping", nature.horse, "loudness tempo", "a horse", "hooves"),
    # toys and the rest
    _made("a spring boing", things.boing, "loudness pitch", "a spring", "a cartoon boing"),
    _made("a slide whistle", things.slide_whistle, "loudness pitch", "a swanee whistle"),
    _made("a bouncing ball", things.bouncing_ball, "loudness", "a ball bouncing", "a ping-pong ball"),
    _made("jingling keys", things.keys, "loudness tempo", "keys", "a bunch of keys"),
    _made("silence", things.silence, "", "nothing", "no sound"),
)

KINDS: dict[str, SoundKind] = {kind.name: kind for kind in SOUNDS}


@dataclass(frozen=True)
class SoundScene:
    """One sound to be heard: what a caption may tell (empty: nothing special), and what it does not tell."""

    kind: str
    form: str = ""  # "note" or "melody" of an instrument, "rhythm" of percussion
    pitch: str = ""  # "low", "high"
    tempo: str = ""  # "slow", "fast"
    mood: str = ""  # "cheerful", "sad"
    force: str = ""  # one of the kind's own two words
    loudness: str = ""  # "quiet"
    key: int = 0  # semitone within the register (instruments), quarter tones (effects)
    velocity: int = 100
    seed: int = 0
    noise: float | None = None  # signal-to-noise ratio in dB of added white or pink noise; None: clean

    @property
    def attributes(self) -> dict[str, str]:
        """What a caption tells beside the kind."""
        return {key: value for key, value in asdict(self).items() if key in AXES and value}


AXES = ("form", "pitch", "tempo", "mood", "force", "loudness")


def sample_sound(rng: np.random.Generator, kind: str | None = None, *, plain: float = 0.35, heldout: bool = False) -> SoundScene:
    """Draw a scene. With probability `plain` it has no special attribute. `heldout` takes the keys and velocities that training never
    has, and adds noise at 15-30 dB."""
    chosen = KINDS[kind] if kind else SOUNDS[rng.integers(len(SOUNDS))]
    words = {axis: "" for axis in AXES}
    if rng.uniform() >= plain:
        choices = {
            "form": ("note", "melody") if chosen.group == "instrument" else ("rhythm",),
            "pitch": ("low", "high"),
            "tempo": ("slow", "fast"),
            "mood": ("cheerful", "sad"),
            "force": chosen.force,
            "loudness": ("quiet",),
        }
        chance = {"form": 1.0, "pitch": 0.5, "tempo": 0.6, "mood": 0.6, "force": 0.8, "loudness": 0.15}
        for axis in chosen.axes:
            if rng.uniform() < chance[axis]:
                words[axis] = str(rng.choice(choices[axis]))
        if words["form"] == "note":
            words["tempo"] = words["mood"] = ""
    while True:
        key, velocity = int(rng.integers(0, 12)), int(rng.integers(60, 122))
        if heldout == (key % 5 == 2) and heldout == (velocity % 4 == 3):
            break
    seed = int(rng.integers(2**31))
    return SoundScene(chosen.name, **words, key=key, velocity=velocity, seed=seed, noise=float(rng.uniform(15, 30)) if heldout else None)


def caption(scene: SoundScene, *, name: str | None = None) -> str:
    """The one canonical wording: "a violin", "a low note on a violin", "a fast cheerful melody on a piano", "heavy rain".

    `name` says one of the kind's synonyms instead.
    """
    name = name or scene.kind
    if scene.form:
        words = [scene.loudness, scene.tempo, scene.mood, scene.pitch, scene.form]
        return f"{_with_article(' '.join(word for word in words if word))} on {name}"
    words = [scene.loudness, scene.force, scene.tempo, scene.pitch]
    told = " ".join(word for word in words if word)
    first, _, rest = name.partition(" ")
    if not told:
        return name
    if first == "the":
        return f"the {told} {rest}"
    return _with_article(f"{told} {rest}") if first in ("a", "an") else f"{told} {name}"


def _with_article(words: str) -> str:
    return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"


def render(scene: SoundScene) -> np.ndarray:
    """float32 [40960] in -1..1 at 16 kHz."""
    return render_many([scene])[0]


def render_many(scenes: Sequence[SoundScene]) -> np.ndarray:
    """float32 [n, 40960]; all that fluidsynth plays in one run."""
    played = [i for i, scene in enumerate(scenes) if KINDS[scene.kind].programs]
    out = np.zeros((len(scenes), SAMPLES), dtype=np.float32)
    if played:
        out[played] = play([_score(scenes[i]) for i in played], seconds=SECONDS, rate=RATE)
    for i, scene in enumerate(scenes):
        recipe = KINDS[scene.kind].recipe
        if recipe is not None:
            out[i] = recipe(np.random.default_rng(scene.seed), *_factors(scene))
        out[i] = _finish(out[i], scene)
    return out


def _factors(scene: SoundScene) -> tuple[float, float, float]:
    """Pitch, rate and force of a recipe. The key is a quarter tone around the register's middle."""
    rng = np.random.default_rng(scene.seed + 1)
    register = {"low": -8.0, "": 0.0, "high": 8.0}[scene.pitch]
    pitch = 2 ** ((register + 0.5 * (scene.key - 6)) / 12)
    rate = {"slow": 0.6, "": 1.0, "fast": 1.8}[scene.tempo] * rng.uniform(0.88, 1.13)
    weak, strong = KINDS[scene.kind].force
    force = 0.5 if not scene.force else {weak: 0.1, strong: 0.9}[scene.force]
    return pitch, float(rate), float(np.clip(force + rng.uniform(-0.1, 0.1), 0, 1))


def _finish(x: np.ndarray, scene: SoundScene) -> np.ndarray:
    """Level, a fade against clicks at the cut, and noise."""
    rng = np.random.default_rng(scene.seed + 2)
    if scene.kind != "silence":
        x = x * (PEAK / (np.abs(x).max() + 1e-6) * (QUIET_GAIN if scene.loudness else 1.0))
    fade = 160
    x[-fade:] *= np.linspace(1, 0, fade)
    if scene.noise is not None:
        level = np.sqrt(np.mean(x**2)) * 10 ** (-scene.noise / 20)
        x = x + level * noise(rng, slope=float(rng.choice([0.0, 1.0])))
    return np.clip(x, -1, 1).astype(np.float32)


# ---- scores ---------------------------------------------------------------------------------------------------------------------------

SCALES = {"cheerful": (0, 2, 4, 7, 9, 12), "sad": (0, 2, 3, 7, 8, 12)}  # major and minor, five tones
STEP = {"slow": 0.62, "": 0.32, "fast": 0.15}  # seconds from note to note


def _score(scene: SoundScene) -> Score:
    rng = np.random.default_rng(scene.seed)
    kind = KINDS[scene.kind]
    bank, program = kind.programs[rng.integers(len(kind.programs))]
    if kind.group == "percussion":
        return Score(bank, program, tuple(_rhythm(scene, kind, rng)), DRUMS)
    if kind.group == "effect":
        return Score(bank, program, tuple(_held_effect(scene, kind, rng)))
    return Score(bank, program, tuple(_melody(scene, kind, rng)))


def _melody(scene: SoundScene, kind: SoundKind, rng: np.random.Generator) -> list[Note]:
    low, high = kind.keys
    third = (high - low) / 3
    register = {"low": 0.0, "": third, "high": 2 * third}[scene.pitch]
    span = max(third - 1, 1)
    base = round(low + register + scene.key / 11 * span)
    if scene.form == "note":
        return [Note(0.03, float(rng.uniform(1.2, 2.3)), base, scene.velocity)]
    mood = scene.mood or str(rng.choice(["cheerful", "sad"]))
    scale, step = SCALES[mood], STEP[scene.tempo] * rng.uniform(0.9, 1.1)
    notes, at, degree = [], 0.03, int(rng.integers(0, 4))
    while at < SECONDS - 0.1:
        held = step * (2 if rng.uniform() < 0.2 else 1)
        key = int(np.clip(base + scale[degree] - (12 if scene.pitch == "high" else 0) * (base + 12 > high), low, high))
        velocity = int(np.clip(scene.velocity + rng.integers(-8, 9), 1, 127))
        notes.append(Note(at, held * (0.6 if mood == "cheerful" else 0.98), key, velocity))
        at += held
        # Cheerful tunes hop upwards, sad ones sink by steps.
        move = rng.choice([-1, 1, 2]) if mood == "cheerful" else rng.choice([-1, -1, 1])
        degree = int(degree + move) % len(scale)
    return notes


def _rhythm(scene: SoundScene, kind: SoundKind, rng: np.random.Generator) -> list[Note]:
    step = STEP[scene.tempo] * rng.uniform(0.9, 1.1)
    if scene.kind == "a drum roll":
        return [
            Note(float(t), 0.05, 38, int(scene.velocity - 25 + 20 * t / SECONDS)) for t in np.arange(0.03, SECONDS, 0.055 * step / 0.32)
        ]
    if scene.kind in ("a drum kit", "a drum machine"):
        eighth, notes = 0.75 * step, []
        for k, at in enumerate(np.arange(0.03, SECONDS, eighth)):
            keys = [42 if k % 8 < 7 else 46] + ([36] if k % 4 == 0 or rng.uniform() < 0.15 else []) + ([38] if k % 4 == 2 else [])
            notes += [Note(float(at), 0.1, key, scene.velocity) for key in keys]
        return notes
    step = max(
        step, {"a crash cymbal": 0.5, "a vibraslap": 0.7, "a ride cymbal": 0.25}.get(scene.kind, 0.0) * (STEP[scene.tempo] / 0.32) ** 0.5
    )
    notes, pattern = [], rng.uniform(size=8)
    for k, at in enumerate(np.arange(0.03, SECONDS - 0.05, step)):
        if pattern[k % 8] > 0.2 or k == 0:
            accent = 12 if k % 4 == 0 else 0
            notes.append(Note(float(at), 0.3, int(rng.choice(kind.keys)), int(np.clip(scene.velocity - 6 + accent, 1, 127))))
    return notes


def _held_effect(scene: SoundScene, kind: SoundKind, rng: np.random.Generator) -> list[Note]:
    key = int(rng.choice(kind.keys)) + scene.key % 3 - 1
    gap = {"a gunshot": 0.8, "birds chirping": 0.6, "a telephone ringing": 1.3}.get(scene.kind)
    if gap:  # the soundfont has one shot, chirp or ring
        times = np.cumsum(rng.uniform(0.7 * gap, 1.3 * gap, 6)) - 0.65 * gap
        return [Note(float(t), gap, key + int(rng.integers(-1, 2)), scene.velocity) for t in times if t < SECONDS - 0.2]
    return [Note(0.02, SECONDS, key, scene.velocity)]
