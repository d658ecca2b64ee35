"""Pictures that work, and what is made of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nextgpt_core.modalities import MODALITIES, sniff
from nextgpt_core.modalities.image import to_rgb
from tests.modalities.files import gradient, picture

IMAGE = MODALITIES["image"]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {}),
        ("a.jpg", {"quality": 98, "subsampling": 0}),
        ("a.webp", {"lossless": True}),
        ("a.bmp", {}),
        ("a.tiff", {}),
        ("a.avif", {"quality": 95}),
        ("cmyk.jpg", {"mode": "CMYK", "quality": 98, "subsampling": 0}),
    ],
)
def test_formats_keep_the_picture(tmp_path: Path, name: str, options: dict) -> None:
    path = picture(tmp_path / name, **options)
    assert sniff(path) == "image"
    pixels = IMAGE.load(path)
    assert pixels.shape == (32, 48, 3) and pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - gradient()).mean() < 8
    assert IMAGE.describe(path)["summary"] == "48 × 32"


def test_modes_become_rgb(tmp_path: Path) -> None:
    for mode in ("1", "L", "P", "LA", "RGBA"):
        pixels = IMAGE.load(picture(tmp_path / f"{mode}.png", mode=mode))
        assert pixels.shape == (32, 48, 3) and pixels.std() > 20


def test_sixteen_bits_scale_to_eight(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 48 * 32).reshape(32, 48).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    pixels = IMAGE.load(tmp_path / "deep.png")
    assert pixels.min() == 0 and pixels.max() == 255 and abs(int(pixels[16, 0, 0]) - int(values[16, 0] // 257)) <= 1


def test_transparent_is_laid_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (IMAGE.load(tmp_path / "clear.png") == 255).all()


def test_palette_with_transparency_is_laid_on_white(tmp_path: Path) -> None:
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([10, 20, 30] * 256)
    palette.save(tmp_path / "clear.gif", transparency=0)
    assert (IMAGE.load(tmp_path / "clear.gif") == 255).all()


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90° clockwise to see it upright
    Image.fromarray(gradient()).save(tmp_path / "turned.jpg", exif=exif, quality=98)
    pixels = IMAGE.load(tmp_path / "turned.jpg")
    assert pixels.shape == (48, 32, 3)
    assert np.abs(pixels.astype(int) - np.rot90(gradient(), -1)).mean() < 8
    assert IMAGE.describe(tmp_path / "turned.jpg")["width"] == 32


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_saved_pictures_carry_their_provenance(tmp_path: Path, suffix: str) -> None:
    media = IMAGE.save(gradient(), tmp_path / f"made{suffix}", provenance={"seed": 7, "prompt": "grüße ✨"})
    assert (IMAGE.load(media.path) == gradient()).all()
    assert IMAGE.read_provenance(media.path) == {"ai_generated": True, "seed": 7, "prompt": "grüße ✨"}
    assert media.info["width"] == 48 and media.info["seed"] == 7


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        IMAGE.save(gradient(), tmp_path / name, provenance={"seed": 7})
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_foreign_files_have_no_provenance(tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(b"junk")
    assert IMAGE.read_provenance(tmp_path / "junk") is None
    assert IMAGE.read_provenance(picture(tmp_path / "a.png")) is None


# large pictures: reduced while they are decoded, or right after


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "LA", "RGBA", "I;16", "CMYK"])
def test_large_pictures_are_halved_and_look_the_same(tmp_path: Path, mode: str) -> None:
    whole = gradient(400, 300)
    picture = Image.fromarray(whole[..., 0].astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(whole).convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    picture.save(path)
    with Image.open(path) as opened:
        full = to_rgb(opened, 400 * 300)
    with Image.open(path) as opened:
        half = to_rgb(opened, 200 * 150)
    assert full.shape == (300, 400, 3) and half.shape == (150, 200, 3)
    smaller = full.reshape(150, 2, 200, 2, 3).mean(axis=(1, 3))
    assert np.abs(half - smaller).mean() < 3


def test_a_large_jpeg_is_decoded_small_and_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(gradient(400, 300)).save(tmp_path / "a.jpg", exif=exif, quality=95)
    with Image.open(tmp_path / "a.jpg") as picture:
        small = to_rgb(picture, 200 * 150)
        assert picture.size == (200, 150)  # by the decoder
    assert small.shape == (200, 150, 3)
    assert np.abs(small.astype(int) - np.rot90(gradient(200, 150), -1)).mean() < 8


def test_a_large_tiff_keeps_its_orientation(tmp_path: Path) -> None:
    Image.fromarray(gradient(400, 300)).save(tmp_path / "a.tif", tiffinfo={274: 6})
    with Image.open(tmp_path / "a.tif") as picture:
        small = to_rgb(picture, 200 * 150)
    assert small.shape == (200, 150, 3)
    assert np.abs(small.astype(int) - np.rot90(gradient(200, 150), -1)).mean() < 8


def test_transparency_of_a_large_picture_is_laid_on_white(tmp_path: Path) -> None:
    palette = Image.new("P", (40, 40), 0)
    palette.putpalette([10, 20, 30] * 256)
    palette.save(tmp_path / "clear.gif", transparency=0)
    with Image.open(tmp_path / "clear.gif") as picture:
        assert (to_rgb(picture, 400) == 255).all()


def test_only_pictures_that_are_no_ordinary_photographs_are_reduced(tmp_path: Path) -> None:
    Image.new("RGB", (4600, 3400), (9, 99, 200)).save(tmp_path / "photo.jpg")
    assert IMAGE.load(tmp_path / "photo.jpg").shape == (3400, 4600, 3)
    Image.new("RGB", (9000, 7000), (9, 99, 200)).save(tmp_path / "large.jpg")
    pixels = IMAGE.load(tmp_path / "large.jpg")
    assert pixels.shape == (3500, 4500, 3) and abs(int(pixels[7, 7, 2]) - 200) < 3
    assert IMAGE.describe(tmp_path / "large.jpg")["summary"] == "9000 × 7000"
