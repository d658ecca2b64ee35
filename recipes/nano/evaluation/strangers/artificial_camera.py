"""Videos with an artificial camera, made from the strangers' photographs: a row of their own, never counted with filmed ones.

The camera pans, zooms, shakes or stands still over a photograph; in most clips a thing or a person, cut out of another photograph, crosses
it and faces the way it goes. A plan says all that is to be seen, so that authors and judges need not look; the same plan gives the same
frames. Every clip's photographs are of one part (dev or final).
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageOps

from recipes.nano.evaluation.strangers.files import StrangersFile, path, strangers_files

SIZE = (480, 270)
RATES = (24, 25, 30, 50, 60)
CAMERAS = ("still", "shake", "zoom in", "zoom out", "pan left", "pan right", "pan up", "pan down")
_MARGIN = 1.35  # how much larger than the picture the photograph is, for the camera to move in

# Where things can be: photographs with room for them, and the height of the line on which they stand, 0 (top) to 1 (bottom).
_GROUNDS = {
    "land": {
        "beach-malibu.jpg": 0.85, "gravel-desert.jpg": 0.85, "hay_field.jpg": 0.85, "driveway.jpg": 0.85, "route66.jpg": 0.85,
        "silos.jpg": 0.85, "wooden-house.jpg": 0.9, "002.jpg": 0.88, "leuvenA.jpg": 0.9, "canyon.jpg": 0.9, "kitchen.jpg": 0.95,
        "hall.jpg": 0.9, "clothing-store.jpg": 0.95, "beach.jpg": 0.9, "basketball-court1-a.jpg": 0.9, "castle.jpg": 0.92,
    },
    "water": {"city-with-water.jpg": 0.82, "city-with-water2.jpg": 0.8, "001.jpg": 0.75, "ocean_waves.jpg": 0.6, "boardwalk.jpg": 0.66},
    "air": {
        "city-with-water2.jpg": 0.35, "gravel-desert.jpg": 0.35, "sun_behind_clouds.jpg": 0.5, "home.jpg": 0.35,
        "DSCN0614_small.jpg": 0.4, "hay_field.jpg": 0.35,
    },
}  # fmt: skip
# Things cut out, where they belong and their height as a share of the picture's.
_THINGS = {
    "elephant.gif": ("land", 0.5), "buffalo1.gif": ("land", 0.42), "cow1.gif": ("land", 0.4), "football-run.gif": ("land", 0.5),
    "dan2.gif": ("land", 0.5), "referee1.gif": ("land", 0.5), "anjuli-4.gif": ("land", 0.5), "bike.gif": ("land", 0.35),
    "bus.gif": ("land", 0.4), "car-blue.gif": ("land", 0.33), "car-bug.gif": ("land", 0.33), "tennisball.png": ("land", 0.16),
    "sail-boat.gif": ("water", 0.5), "tug-boat.gif": ("water", 0.22), "yacht.gif": ("water", 0.3), "airplane.gif": ("air", 0.2),
    "bird-flying.gif": ("air", 0.4),
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What a clip shows."""

    id: str
    part: str
    background: str  # ids of files.jsonl
    thing: str | None
    camera: str
    goes: str | None  # "left" or "right": where the thing goes
    fps: int
    seconds: float
    height: float = 0.0  # the thing's, as a share of the picture's
    line: float = 0.0  # where it stands
    seed: int = 0

    @property
    def shows(self) -> str:
        """One sentence, for authors and judges."""
        files = {file.id: file for file in strangers_files()}
        place = files[self.background].shows
        if self.thing is None:
            return f"A still photograph ({place}); the camera: {self.camera}"
        name = files[self.thing].row["things"][0]
        return f"A thing cut out ({name}) goes to the {self.goes} over a photograph ({place}); the camera: {self.camera}"


def plans(count: int, *, part: str, seed: int = 0) -> list[Plan]:
    """`count` plans of one part, seeded: one in four without a thing, so that only the camera moves. Each pair of photographs comes once
    as long as there are others."""
    rng = np.random.default_rng([seed, len(part)])
    photos = {Path(file.member).name: file for file in strangers_files() if file.kind == "photo" and file.part == part}
    moving = [
        (photos[thing], photos[ground], place, size, line)
        for thing, (place, size) in _THINGS.items()
        for ground, line in _GROUNDS[place].items()
        if thing in photos and ground in photos
    ]
    still = [file for file in photos.values() if "white background" not in str(file.row["place"])]
    rng.shuffle(moving)
    rng.shuffle(still)
    made: list[Plan] = []
    for i in range(count):
        common: dict[str, Any] = {
            "id": f"artificial-{part}-{i + 1:03d}",
            "part": part,
            "fps": int(rng.choice(RATES)),
            "seconds": float(rng.choice((2.0, 3.0, 4.0))),
            "seed": seed * 1000 + i,
        }
        if i % 4 == 3:
            camera = str(rng.choice(CAMERAS[1:]))
            made.append(Plan(background=still[i // 4 % len(still)].id, thing=None, camera=camera, goes=None, **common))
            continue
        thing, ground, _, size, line = moving[(i - i // 4) % len(moving)]
        goes = str(rng.choice(("left", "right")))
        camera = str(rng.choice(CAMERAS, p=(0.3, 0.3, *(0.4 / 6,) * 6)))
        made.append(Plan(background=ground.id, thing=thing.id, camera=camera, goes=goes, height=size, line=line, **common))
    return made


def write(plan: Plan, target: Path) -> Path:
    """The clip as a silent MP4; its plan is in the comment. Raises as files.path does."""
    with av.open(str(target), "w") as container:
        container.metadata["comment"] = str(asdict(plan))
        stream = container.add_stream("libx264", rate=plan.fps)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, plan.fps)
        for picture in frames(plan):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return target


def frames(plan: Plan) -> Iterator[np.ndarray]:
    """uint8 [270, 480, 3] each, fps * seconds of them."""
    rng = np.random.default_rng(plan.seed)
    width, height = SIZE
    ground = _opened(plan.background).convert("RGB")
    room = (round(width * _MARGIN), round(height * _MARGIN))
    ground = ImageOps.fit(ground, room, Image.Resampling.LANCZOS)
    thing = _standing(plan, round(plan.height * height)) if plan.thing else None
    count = max(2, round(plan.fps * plan.seconds))
    shakes = _shakes(rng, count, plan.fps) if plan.camera == "shake" else np.zeros((count, 2))
    for i in range(count):
        done = i / (count - 1)
        scene = ground.copy()
        if thing is not None:
            _place(scene, thing, plan, done, seconds=i / plan.fps)
        yield np.asarray(scene.resize(SIZE, Image.Resampling.BILINEAR, box=_seen(plan.camera, done, room, shakes[i])))


def _opened(file_id: str) -> Image.Image:
    with Image.open(path(file_id)) as picture:
        return ImageOps.exif_transpose(picture.convert("RGBA"))


def _standing(plan: Plan, height: int) -> Image.Image:
    """The thing without its margins, at its height, turned to where it goes."""
    file: StrangersFile = {file.id: file for file in strangers_files()}[plan.thing or ""]
    picture = _opened(file.id)
    picture = picture.crop(picture.getchannel("A").getbbox())
    if file.row.get("facing") not in ("none", plan.goes):
        picture = ImageOps.mirror(picture)
    return picture.resize((max(1, round(picture.width * height / picture.height)), height), Image.Resampling.LANCZOS)


def _place(scene: Image.Image, thing: Image.Image, plan: Plan, done: float, *, seconds: float) -> None:
    """From one side of the visible middle to the other, on its line, with the small bob of a step or a swell."""
    left, right = 0.06 * scene.width, 0.94 * scene.width - thing.width
    start, end = (left, right) if plan.goes == "right" else (right, left)
    bob = 0.012 * scene.height * math.sin(2 * math.pi * 1.5 * seconds)
    x, foot = start + (end - start) * done, plan.line * 0.9 * scene.height + bob
    scene.paste(thing, (round(x), round(foot - thing.height)), thing)


def _seen(camera: str, done: float, room: tuple[int, int], shake: np.ndarray) -> tuple[float, float, float, float]:
    """The box of the photograph that the camera sees: left, top, right, bottom."""
    largest, smallest = 1.0 / 1.05, 1.0 / _MARGIN
    share = {"zoom in": largest + (smallest - largest) * done, "zoom out": smallest + (largest - smallest) * done}.get(camera, 1.0 / 1.15)
    free_x, free_y = room[0] * (1 - share), room[1] * (1 - share)
    across = {"pan left": 1 - done, "pan right": done}.get(camera, 0.5)
    down = {"pan up": 1 - done, "pan down": done}.get(camera, 0.5)
    left = float(np.clip(free_x * across + shake[0], 0, free_x))
    top = float(np.clip(free_y * down + shake[1], 0, free_y))
    return left, top, left + room[0] * share, top + room[1] * share


def _shakes(rng: np.random.Generator, count: int, fps: int) -> np.ndarray:
    """A hand's unrest in pixels, [count, 2]: smooth over about a fifth of a second, whatever the rate."""
    width = max(3, fps // 5)
    noise = rng.normal(size=(count + width, 2))
    kernel = np.hanning(width + 2)[1:-1]
    smooth = np.stack([np.convolve(noise[:, axis], kernel / np.sqrt((kernel**2).sum()), mode="valid")[:count] for axis in (0, 1)], axis=1)
    return 5.0 * smooth
