"""The list of photographs, and what the picture tower learns from ImageNet and from photographs that are not evaluated."""

import struct

import pytest
import torch

from nextgpt_core.errors import CheckpointMissing
from recipes.nano import sources
from recipes.nano.encoders.imagenet import thing_classes
from recipes.nano.encoders.photo_or_drawing import fit, score
from recipes.nano.evaluation.scorecard import MEASURES
from recipes.nano.world import photos
from recipes.nano.world.photos import OTHER_PHOTOS, PHOTOS, Photo, available_photos


def test_the_evaluation_is_large_and_apart_from_training():
    assert len(PHOTOS) >= 310 and len(OTHER_PHOTOS) >= 100
    places = [(photo.package, photo.path) for photo in PHOTOS + OTHER_PHOTOS]
    assert len(set(places)) == len(places)
    assert all(photo.words for photo in PHOTOS) and not any(photo.words for photo in OTHER_PHOTOS)
    assert len(PHOTOS) == next(measure.cases for measure in MEASURES if measure.name == "photos named")


def test_entries_are_read_as_they_are_written():
    found = {photo.path: photo for photo in PHOTOS}
    assert found["data/camera.png"].words == ("camera", "video camera", "photo camera", "man", "photographer")
    assert found["animals/birds/hen"] == Photo("tuxpaint", "animals/birds/hen", ("chicken", "rooster"))
    assert not any(mark in text for photo in PHOTOS for text in (photo.path, *photo.words) for mark in ";=[]#")


def test_a_missing_package_costs_its_photographs_alone(tmp_path, monkeypatch):
    (tmp_path / "foolbox" / "data").mkdir(parents=True)
    (tmp_path / "foolbox" / "data" / "dog.jpg").touch()

    def source(key):
        if key != "photos":
            raise CheckpointMissing(f"{key} could not be fetched")
        return tmp_path

    monkeypatch.setattr(photos, "source", source)
    here, absent = Photo("foolbox", "dog.jpg", ("dog",)), [Photo("tuxpaint", "x", ("cat",)), Photo("palapeli", "y", ("cat",))]
    monkeypatch.setattr(photos, "PHOTOS", (*absent, here))
    assert available_photos() == [here]
    monkeypatch.setattr(photos, "PHOTOS", tuple(absent))
    with pytest.raises(CheckpointMissing, match="stamps could not be fetched"):
        available_photos()


def test_a_debian_version_with_an_epoch_is_found_as_apt_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "SOURCES", tmp_path)
    (tmp_path / "palapeli-data_4%3a22.12.3-1_all.deb").touch()
    assert sources._download(sources.PACKAGES["puzzles"]).name == "palapeli-data_4%3a22.12.3-1_all.deb"


def test_resources_are_read_from_a_bundle():
    names = struct.pack(">HI", 5, 0) + "a.png".encode("utf-16-be")
    root, leaf = struct.pack(">IHII", 0, 2, 1, 1) + bytes(8), struct.pack(">IHHHI", 0, 0, 0, 0, 0) + bytes(8)
    contents = struct.pack(">I", 3) + b"abc"
    begin = 20
    header = b"qres" + struct.pack(">IIII", 2, begin, begin + 44, begin + 44 + len(contents))
    assert dict(photos._resources(header + root + leaf + contents + names)) == {"a.png": b"abc"}


def test_a_class_of_imagenet_shows_one_thing():
    classes = [index for indices in thing_classes().values() for index in indices]
    assert len(set(classes)) == len(classes) >= 660 and set(classes) <= set(range(1000))


def test_kinds_that_can_be_told_apart_are():
    generator = torch.Generator().manual_seed(0)
    photographs, drawings = torch.randn(20, 8, generator=generator) + 2, torch.randn(200, 8, generator=generator)
    weights = fit(photographs, drawings)
    assert weights.shape == (9,)
    assert (score(weights, photographs) > 0).float().mean() > 0.9 and (score(weights, drawings) < 0).float().mean() > 0.9
