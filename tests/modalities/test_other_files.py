"""A file reaches nothing but itself, and what it is called does not matter: playlists, references, names."""

import io
from pathlib import Path

import pytest

from nextgpt_core.errors import MediaError
from nextgpt_core.modalities import MODALITIES, containers, look, sniff
from tests.modalities.files import compressed_sound, film, picture, sound, tone

HLS = b"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:100000\n#EXTINF:10,\n{0}\n"
PLAYLISTS = {  # {0} is an address of a file that exists
    "list.m3u8": HLS + b"#EXT-X-ENDLIST\n",
    "live.m3u8": HLS,
    "letters.m3u8": b"#EXTM3U\nAVI \n#EXT-X-TARGETDURATION:100000\n#EXTINF:10,\n{0}\n",
    "marked.m3u8": b"\xef\xbb\xbf" + HLS,
    "list.mp4": HLS,
    "list.mpd": b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><BaseURL>{0}</BaseURL></Period></MPD>',
    "bare.mpd": b'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><BaseURL>{0}</BaseURL></Period></MPD>',
    "list.ffconcat": b"ffconcat version 1.0\nfile '{0}'\n",
    "list.sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5000 RTP/AVP 96\n",
    "list.pls": b"[playlist]\nFile1={0}\nNumberOfEntries=1\n",
    "list.asx": b'<asx version="3.0"><entry><ref href="{0}"/></entry></asx>',
    "list.xspf": b'<?xml version="1.0"?><playlist version="1"><trackList><track><location>{0}</location></track></trackList></playlist>',
    "list.smil": b'<smil><body><video src="{0}"/></body></smil>',
    "list.wmv": b"[Reference]\nRef1={0}\n",
}
HIDDEN = {  # such lists behind something that is none
    "tagged.mp3": b"ID3\x04\x00\x00\x00\x00\x00\x00" + HLS,
    "riff.avi": b"RIFF\x00\x00\x00\x00AVI " + HLS,
    "zeros.m3u8": bytes(64) + HLS,
    "binary.mpd": b"\x00<MPD><BaseURL>{0}</BaseURL></MPD>",
    "mime.txt": b"\x01\x02" + HLS,
}


@pytest.mark.parametrize("case", [*PLAYLISTS, *HIDDEN])
@pytest.mark.parametrize("address", ["secret.mp4", "file:{folder}/secret.mp4", "{folder}/secret.mp4"])
def test_playlists_are_refused_and_open_nothing(tmp_path: Path, case: str, address: str) -> None:
    film(tmp_path / "secret.mp4")
    place = address.format(folder=tmp_path).encode()
    path = tmp_path / case
    path.write_bytes({**PLAYLISTS, **HIDDEN}[case].replace(b"{0}", place))
    for task in (sniff, look, MODALITIES["video"].describe, MODALITIES["video"].load, MODALITIES["audio"].load, MODALITIES["image"].load):
        with pytest.raises(MediaError) as caught:
            task(path)
        assert "secret" not in str(caught.value) and "; please" in str(caught.value)
    if case in PLAYLISTS:
        with pytest.raises(MediaError, match="is a playlist, which only names other files; please send those files themselves"):
            sniff(path)
        with pytest.raises(containers.DAMAGE), containers.opened_container(path):  # refused by FFmpeg as well
            pass
    assert MODALITIES["video"].read_provenance(path) is None


def test_no_demuxer_of_playlists_devices_or_scripts_is_on_the_list() -> None:
    reaching = {"hls", "dash", "concat", "sdp", "rtp", "rtsp", "sap", "image2", "lavfi", "imf", "vobsub", "mpsub", "avisynth",
                "vapoursynth", "v4l2", "x11grab", "fbdev", "alsa", "oss", "webm_dash_manifest", "ffmetadata", "tty"}  # fmt: skip
    assert not reaching & set(containers.FORMATS)
    assert containers.OPTIONS["protocol_whitelist"] == "none"  # not even "file": the one file is given, not named


def test_a_reader_is_given_no_name(tmp_path: Path) -> None:
    path = sound(tmp_path / "a.wav", tone())
    with pytest.raises(AttributeError):
        _ = containers.Nameless(path).name  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["a.raw", "a.sd2", "a.m3u8", "a.mpd", "a.sdp", "a%03d.png", "a.eps", "a.txt", "a"])
def test_the_name_does_not_choose_the_reader(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "named"
    folder.mkdir()
    for make, modality, suffix in ((sound_file, "audio", ".wav"), (film_file, "video", ".mp4"), (picture_file, "image", ".png")):
        path = make(tmp_path).rename(folder / name)
        found = look(path).found
        assert (found.modality, found.suffix) == (modality, suffix)
        MODALITIES[modality].load(path)


def test_what_a_file_is_called_afterwards_follows_from_what_it_is(tmp_path: Path) -> None:
    assert look(compressed_sound(tmp_path / "a.mp4", "aac")).found.suffix == ".m4a"
    assert look(compressed_sound(tmp_path / "a.m4a", "aac").rename(tmp_path / "a.wav")).found.suffix == ".m4a"
    assert look(compressed_sound(tmp_path / "a.webm", "libopus")).found.suffix == ".weba"
    assert look(film(tmp_path / "b.webm", codec="libvpx-vp9")).found.suffix == ".webm"
    assert look(film(tmp_path / "b.mov")).found.suffix == ".mp4"
    assert look(picture(tmp_path / "a.jpg").rename(tmp_path / "a.html")).found.suffix == ".jpg"


def sound_file(folder: Path) -> Path:
    return sound(folder / "plain.wav", tone())


def film_file(folder: Path) -> Path:
    return film(folder / "plain.mp4")


def picture_file(folder: Path) -> Path:
    return picture(folder / "plain.png")


TEXTS = {
    "BMW.txt": b"BMW sold more cars than ever.\n" * 20,
    "list.txt": "Groceries: eggs, m\u00f6hren, \u5927\u7c73\n".encode() * 9,
    "notes.md": b"Genre: drama\n",
    "a.txt": b"GIF89a is the name of a format\n",
    "b.txt": b"P5 is a processor, RIFF a phrase, OggS nothing at all.",
    "c.txt": "FORMular\u00e4nderung".encode("latin-1") + b" am Montag, und noch mehr Text dazu",
    "d.txt": "ID3 ist ein Buch".encode("utf-16"),
    "e.json": b'{"a": [1, 2, 3]}',
    "f.csv": b"MM,II,BM\n1,2,3\n",
    "g.py": b"import this\n",
    "one": b"B",
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_is_told_as_text_whatever_it_begins_with(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(TEXTS[name])
    with pytest.raises(MediaError) as caught:
        sniff(path)
    assert str(caught.value) == (
        f"{name} is not a picture, sound or video that can be read but text; please write or paste it into the message instead."
    )


def test_words_before_a_picture_are_no_text(tmp_path: Path) -> None:
    sink = io.BytesIO()
    sink.write(b"P1\n# a comment\n4 2\n0 1 0 1\n1 0 1 0\n")
    (tmp_path / "plain.pbm").write_bytes(sink.getvalue())
    assert MODALITIES[sniff(tmp_path / "plain.pbm")].load(tmp_path / "plain.pbm").shape == (2, 4, 3)
