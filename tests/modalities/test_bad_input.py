"""Every kind of bad file gets one clear sentence, from `sniff` or from its modality, and nothing else escapes."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from nextgpt_core.errors import MediaError, MediaTooLarge, UnsupportedMedia
from nextgpt_core.modalities import MODALITIES, Limits, sniff
from tests.modalities.files import compressed_sound, film, picture, png_header_only, sound, tone


def take(path: Path) -> object:
    """What the page does with an upload."""
    return MODALITIES[sniff(path)].load(path)


def bytes_of(content: bytes) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        path.write_bytes(content)
        return path

    return write


def cut(make: Callable[[Path], Path], share: float) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        data = make(path).read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        return path

    return write


def film_without_frames(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=12)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        container.start_encoding()
    return path


def noise_jpeg(path: Path) -> Path:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    return path


BAD = {
    "empty": ("photo.jpg", bytes_of(b""), "empty"),
    "no medium": ("letter.txt", bytes_of(b"Dear Sir or Madam, " * 50), "not a picture, sound or video"),
    "a program named as a picture": ("cat.jpg", bytes_of(b"MZ\x90\x00" + bytes(range(256)) * 8), "not a picture, sound or video"),
    "a drawing in SVG": ("a.svg", bytes_of(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "not a picture, sound or video"),
    "PDF": ("a.pdf", bytes_of(b"%PDF-1.7\n" + b"0" * 200), "not a picture, sound or video"),
    "HEIC": ("a.heic", bytes_of(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + b"0" * 200), "HEIC"),
    "0 x 0": ("a.png", lambda path: png_header_only(path, 0, 0), ""),
    "30,000 x 30,000": ("a.png", lambda path: png_header_only(path, 30_000, 30_000), "too many pixels"),
    "12,000 x 12,000": ("a.png", lambda path: png_header_only(path, 12_000, 12_000), "too many pixels"),
    "a strip": ("a.png", lambda path: picture(path, size=(3000, 2)), "too narrow"),
    "a cut PNG": ("a.png", cut(lambda path: picture(path, size=(200, 200)), 0.5), "damaged or cut off"),
    "a cut JPEG": ("a.jpg", cut(noise_jpeg, 0.5), "damaged or cut off"),
    "a cut WebP": ("a.webp", cut(lambda path: picture(path, size=(200, 200), lossless=True), 0.5), "damaged or cut off"),
    "a cut GIF": ("a.gif", cut(lambda path: picture(path, size=(200, 200)), 0.3), "damaged or cut off"),
    "a PNG header alone": ("a.png", bytes_of(b"\x89PNG\r\n\x1a\n"), ""),
    "a JPEG start alone": ("a.jpg", bytes_of(b"\xff\xd8\xff\xe0"), ""),
    "a WAV without samples": ("a.wav", lambda path: sound(path, np.zeros(0, np.float32)), "no sound"),
    "a WAV of NaN": ("a.wav", lambda path: sound(path, np.full(1000, np.nan, np.float32), subtype="FLOAT"), "no valid samples"),
    "a WAV header alone": ("a.wav", bytes_of(b"RIFF\x24\x00\x00\x00WAVEfmt "), ""),
    "an MP3 tag alone": ("a.mp3", bytes_of(b"ID3\x04\x00\x00\x00\x00\x00\x00" + b"\x00" * 500), ""),
    "a cut M4A": ("a.m4a", cut(lambda path: compressed_sound(path, "aac"), 0.3), "damaged or cut off"),
    "a cut MP4": ("a.mp4", cut(film, 0.3), "damaged or cut off"),
    "an MP4 start alone": ("a.mp4", bytes_of(b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2"), ""),
    "a WebM start alone": ("a.webm", bytes_of(b"\x1a\x45\xdf\xa3" + b"\x00" * 200), ""),
    "a film without frames": ("a.avi", film_without_frames, ""),
    "a transport stream of noise": ("a.ts", bytes_of(b"\x47" * 2000), ""),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("case", BAD)
def test_bad_files_get_one_clear_sentence(tmp_path: Path, case: str) -> None:
    name, make, expected = BAD[case]
    path = make(tmp_path / name)
    with pytest.raises(MediaError) as caught:
        take(path)
    sentence = str(caught.value)
    assert expected in sentence and name in sentence
    assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 200
    assert ("; please" in sentence) or ("; save" in sentence)  # says what to do
    with pytest.raises(MediaError):  # the page's check tells it before anything is sent
        MODALITIES[sniff(path)].describe(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedMedia, match="not there any more"):
        sniff(tmp_path / "gone.png")


def test_too_many_bytes_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(3 * 2**30)  # sparse
    for modality in ("image", "audio", "video"):
        with pytest.raises(MediaTooLarge, match="3,072 MB"):
            MODALITIES[modality].load(path)


@pytest.mark.parametrize("modality", ["image", "audio", "video"])
def test_the_wrong_modality_is_refused(tmp_path: Path, modality: str) -> None:
    files = {"image": picture(tmp_path / "a.png"), "audio": sound(tmp_path / "a.wav", tone()), "video": film(tmp_path / "a.mp4")}
    for other, path in files.items():
        if other != modality and (modality, other) != ("video", "image"):  # a still picture may be taken as a film of one frame
            with pytest.raises(MediaError):
                MODALITIES[modality].load(path)


def test_a_cut_film_shows_what_is_there(tmp_path: Path) -> None:
    path = cut(lambda p: film(p, frames=60), 0.6)(tmp_path / "a.mkv")
    assert 1 <= len(MODALITIES["video"].load(path).frames) <= 32


def test_odd_names_stay_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / ("a\nb\x1b[31m" + "x" * 150 + ".jpg")
    path.write_bytes(b"")
    with pytest.raises(UnsupportedMedia) as caught:
        sniff(path)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 150


def test_long_files_can_be_refused(tmp_path: Path) -> None:
    limits = Limits(max_bytes=10**7, max_file_seconds=0.5)
    with pytest.raises(MediaTooLarge, match="too much"):
        MODALITIES["audio"].load(sound(tmp_path / "a.wav", tone()), limits=limits)
    with pytest.raises(MediaTooLarge, match="too much"):
        MODALITIES["video"].load(film(tmp_path / "a.mp4"), limits=limits)
