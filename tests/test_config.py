import json

import pytest

from nextgpt_core.config import checkpoints_folder, load_preset
from nextgpt_core.errors import ConfigError


def test_published_tokens_are_in_upstreams_order():
    preset = load_preset("7b")
    tokens = preset.added_tokens
    assert len(tokens) == 38
    assert tokens[:3] == ("<Img>", "</Img>", "[IMG0]")
    assert tokens[6] == "[VID0]" and tokens[30] == "[AUD0]" and tokens[-1] == "[AUD7]"
    assert preset.llm.vocabulary + len(tokens) == 32038


def test_nano_loads_by_name_folder_and_file():
    preset = load_preset("nano")
    assert load_preset(preset.folder) == load_preset(preset.folder / "preset.json") == preset
    assert preset.file("llm") == preset.folder / "llm"


def test_a_bundled_name_wins_over_a_folder_that_is_called_the_same(tmp_path, monkeypatch):
    """`ask --out nano` makes such a folder."""
    (tmp_path / "nano").mkdir()
    (tmp_path / "my7b").mkdir()
    monkeypatch.chdir(tmp_path)
    bundled = load_preset("nano")
    assert bundled.handle == "nano"
    for folder in (tmp_path / "nano", tmp_path / "my7b"):
        (folder / "preset.json").write_text((bundled.folder / "preset.json").read_text())
    assert load_preset("nano").folder == bundled.folder
    assert load_preset("./nano").folder.resolve() == tmp_path / "nano"
    assert load_preset("my7b").folder.resolve() == tmp_path / "my7b" and load_preset(tmp_path / "my7b").handle == str(tmp_path / "my7b")


def test_a_folder_without_a_preset_is_said_to_be_none(tmp_path, monkeypatch):
    (tmp_path / "made").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"no preset 'made'.*any folder that holds a preset.json"):
        load_preset("made")


def test_presets_may_lie_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("NEXTGPT_CHECKPOINTS", str(tmp_path))
    assert checkpoints_folder() == tmp_path
    monkeypatch.delenv("NEXTGPT_CHECKPOINTS")
    monkeypatch.chdir(tmp_path)
    assert checkpoints_folder() == load_preset("nano").folder.parent


@pytest.fixture
def nano(tmp_path):
    data = json.loads((load_preset("nano").folder / "preset.json").read_text())

    def load(change):
        change(data)
        (tmp_path / "preset.json").write_text(json.dumps(data))
        return load_preset(tmp_path)

    return load


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(encodr=1), "unknown key 'encodr' .did you mean 'encoder'"),
        (lambda d: d["llm"].update(precison="float32"), "did you mean 'precision'"),
        (lambda d: d["llm"].pop("width"), "'width' is missing"),
        (lambda d: d["llm"].update(width="576"), "width must be a whole number"),
        (lambda d: d["llm"].update(width=True), "width must be a whole number"),
        (lambda d: d["input_projection"].update(shared=1), "must be true or false"),
        (lambda d: d["outputs"]["image"].update(condition_shape=[384]), "must be a list of 2"),
        (lambda d: d["outputs"]["image"].update(signals=0), "at least one signal token"),
        (lambda d: d["outputs"].update(picture=d["outputs"].pop("image")), "outputs names 'picture'"),
        (lambda d: d["encoder"]["tokens"].update(imag=1), "did you mean 'image'"),
        (lambda d: d.update(boundary_tokens=["[IMG0]", "</Media>"]), r"\[IMG0\] is added twice"),
        (lambda d: d.update(folder="/tmp"), "cannot be set"),
        (lambda d: d.update(encoder=3), "must be a JSON object"),
    ],
)
def test_what_is_wrong_is_named(nano, change, message):
    with pytest.raises(ConfigError, match=message):
        nano(change)


def test_unknown_preset_and_broken_file(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'nano'"):
        load_preset("nan")
    (tmp_path / "preset.json").write_text("{")
    with pytest.raises(ConfigError, match="not valid JSON"):
        load_preset(tmp_path)
