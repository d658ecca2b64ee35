"""Fetching against a stand-in hub: pinned, verified, resumed, refused in sentences; and `check` on what it left."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

from nextgpt_core.config import Preset, load_preset
from nextgpt_core.errors import CheckpointError, CheckpointMismatch, CheckpointMissing, ConfigError, HubUnreachable
from nextgpt_core.model import TRAINED_FILES
from nextgpt_core.published.check import check
from nextgpt_core.published.fetch import fetch, read_sources
from nextgpt_core.published.fetched_files import read_record
from tests.hub import Hub

LARGE = bytes(range(256)) * 8192  # 2 MiB


@pytest.fixture
def hub():
    served = Hub({"someone/parts": {"config.json": b"{}", "unet/weights.bin": LARGE, "unwanted.ckpt": b"x" * 1000}})
    yield served
    served.close()


@pytest.fixture
def preset(tmp_path) -> Preset:
    return with_sources(tmp_path, {"imagebind": a_source()})


def a_source(**changes) -> dict:
    return {"repo": "someone/parts", "revision": "main", "licence": "free", "files": ["config.json", "unet/*.bin"], **changes}


def with_sources(folder, sources: dict) -> Preset:
    (folder / "sources.json").write_text(json.dumps(sources))
    return dataclasses.replace(load_preset("7b"), folder=folder)


def test_fetches_what_is_named_and_nothing_else(hub, preset):
    lines = []
    fetch(preset, endpoint=hub.url, say=lines.append)
    folder = preset.folder / "imagebind"
    assert (folder / "unet" / "weights.bin").read_bytes() == LARGE
    assert not (folder / "unwanted.ckpt").exists()
    assert read_record(folder)["commit"] == hub.commit
    assert "someone/parts@01234567" in lines[0] and "free" in lines[0] and "to fetch" in lines[0]
    assert f"GB will be written to {preset.folder}" in lines[1]


def test_what_is_there_and_whole_is_skipped(hub, preset):
    fetch(preset, endpoint=hub.url)
    hub.gets.clear()
    orders = fetch(preset, endpoint=hub.url)
    assert hub.gets == [] and not orders[0].missing and "present" in orders[0].line()


def test_endpoint_comes_from_the_environment(hub, preset, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    assert len(fetch(preset)) == 1


def test_a_changed_file_is_fetched_again(hub, preset):
    fetch(preset, endpoint=hub.url)
    file = preset.folder / "imagebind" / "config.json"
    file.write_bytes(b"{ }")
    fetch(preset, endpoint=hub.url)
    assert file.read_bytes() == b"{}"


def test_a_connection_that_breaks_is_taken_up_again(hub, preset, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 65536)
    hub.cut = 1_500_000
    fetch(preset, endpoint=hub.url)
    assert (preset.folder / "imagebind" / "unet" / "weights.bin").read_bytes() == LARGE
    assert any(part and part.startswith("bytes=") for name, part in hub.gets if name == "unet/weights.bin")


FETCH = """
import dataclasses, pathlib, sys
import huggingface_hub.constants
from nextgpt_core.config import load_preset
from nextgpt_core.published.fetch import fetch
huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE = 65536
fetch(dataclasses.replace(load_preset("7b"), folder=pathlib.Path(sys.argv[1])), endpoint=sys.argv[2])
"""


@pytest.mark.slow
def test_a_killed_fetch_goes_on_where_it_stopped(hub, preset):
    hub.stall = 1_500_000
    folder = preset.folder / "imagebind"
    partial = folder / "unet" / "weights.bin.partial"
    process = subprocess.Popen([sys.executable, "-c", FETCH, str(preset.folder), hub.url])
    deadline = time.monotonic() + 300  # a busy machine needs long to import torch
    while not (partial.is_file() and partial.stat().st_size > 1_000_000) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait()
    hub.stalled.set()
    begun = partial.stat().st_size
    assert 1_000_000 < begun < len(LARGE) and not (folder / "unet" / "weights.bin").exists()
    hub.gets.clear()
    fetch(preset, endpoint=hub.url)
    assert hub.gets == [("unet/weights.bin", f"bytes={begun}-")]
    assert (folder / "unet" / "weights.bin").read_bytes() == LARGE
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {"config.json", "fetched.json", "unet/weights.bin"}  # and no orphans


def test_what_an_interruption_left_of_another_file_is_not_used(hub, preset):
    partial = preset.folder / "imagebind" / "unet" / "weights.bin.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"x" * 1000)
    with pytest.raises(CheckpointMismatch, match="arrived damaged"):
        fetch(preset, endpoint=hub.url)
    assert not partial.exists()
    partial.write_bytes(b"x" * (len(LARGE) + 1))
    fetch(preset, endpoint=hub.url)
    assert (preset.folder / "imagebind" / "unet" / "weights.bin").read_bytes() == LARGE


def test_a_whole_copy_is_taken_over(hub, preset):
    (preset.folder / "imagebind" / "unet").mkdir(parents=True)
    (preset.folder / "imagebind" / "unet" / "weights.bin").write_bytes(LARGE)
    fetch(preset, endpoint=hub.url)
    assert [name for name, _ in hub.gets] == ["config.json"] and "unet/weights.bin" in read_record(preset.folder / "imagebind")["files"]


def test_without_the_hub_what_is_whole_is_used(hub, preset):
    fetch(preset, endpoint=hub.url)
    lines = []
    nowhere = "http://127.0.0.1:1"
    orders = fetch(preset, endpoint=nowhere, say=lines.append)
    assert not orders[0].missing and "could not be reached" in lines[0] and "present" in lines[1]
    record = json.loads((preset.folder / "imagebind" / "fetched.json").read_text())
    (preset.folder / "imagebind" / "fetched.json").write_text(json.dumps({**record, "complete": False}))  # as an interrupted fetch
    with pytest.raises(HubUnreachable, match="could not be reached"):
        fetch(preset, endpoint=nowhere)
    fetch(preset, endpoint=hub.url)
    (preset.folder / "imagebind" / "config.json").unlink()
    with pytest.raises(HubUnreachable, match="could not be reached"):
        fetch(preset, endpoint=nowhere)


def test_a_pinned_revision_that_is_gone_is_named(hub, preset):
    fetch(preset, endpoint=hub.url)
    hub.commit = "f" * 40  # the branch has moved, and the old commit is no more
    with pytest.raises(CheckpointMissing, match=rf"no revision {Hub.commit} any more.*remove imagebind/fetched\.json"):
        fetch(preset, endpoint=hub.url)


def test_the_same_files_at_another_commit_are_not_fetched_again(hub, preset, tmp_path):
    """As when sources.json names a commit where it named a branch: what is there stays, and is known by that commit."""
    fetch(preset, endpoint=hub.url)
    gets, hub.commit = len(hub.gets), "e" * 40
    pinned = with_sources(tmp_path, {"imagebind": a_source(revision=hub.commit)})
    fetch(pinned, endpoint=hub.url)
    assert len(hub.gets) == gets and json.loads((pinned.folder / "imagebind" / "fetched.json").read_text())["commit"] == hub.commit
    fetch(pinned, endpoint="http://127.0.0.1:1")  # whole by its record, so the hub may be away


def test_a_bar_shows_the_progress_of_each_file(hub, preset, monkeypatch, capfd):
    monkeypatch.setenv("TQDM_POSITION", "-1")  # as on a terminal
    fetch(preset, endpoint=hub.url)
    said = capfd.readouterr().err
    assert "unet/weights.bin: 100%" in said and "2.10M/2.10M" in said


def test_a_damaged_file_is_refused_and_removed(hub, preset):
    hub.damage = True
    with pytest.raises(CheckpointMismatch, match="arrived damaged"):
        fetch(preset, endpoint=hub.url)
    assert not (preset.folder / "imagebind" / "config.json").exists()


def test_only_and_unknown_names(hub, tmp_path):
    preset = with_sources(tmp_path, {"imagebind": a_source(), "other": a_source(repo="someone/none")})
    fetch(preset, only=["imagebind"], endpoint=hub.url)
    with pytest.raises(ConfigError, match="no source called nothing"):
        fetch(preset, only=["nothing"], endpoint=hub.url)


def test_refusals_are_sentences(hub, tmp_path, monkeypatch):
    with pytest.raises(CheckpointMissing, match="is not on http"):
        fetch(with_sources(tmp_path, {"a": a_source(repo="someone/none")}), endpoint=hub.url)
    with pytest.raises(CheckpointMissing, match="no revision"):
        fetch(with_sources(tmp_path, {"a": a_source(revision="f" * 40)}), endpoint=hub.url)
    with pytest.raises(CheckpointMissing, match=r"has no model\.onnx"):
        fetch(with_sources(tmp_path, {"a": a_source(files=["model.onnx"])}), endpoint=hub.url)
    with pytest.raises(CheckpointError, match="could not be reached"):
        fetch(with_sources(tmp_path, {"a": a_source()}), endpoint="http://127.0.0.1:1")
    with pytest.raises(ConfigError, match="cannot be understood"):
        fetch(with_sources(tmp_path, {"a": {"repo": "x"}}), endpoint=hub.url)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(CheckpointError, match="make room"):
        fetch(with_sources(tmp_path, {"a": a_source()}), endpoint=hub.url)


def test_check_says_what_is_missing_damaged_and_ready(hub, preset):
    states = {one.part.split(" (")[0]: one for one in check(preset)}
    assert {one.state for one in states.values()} == {"missing"}
    assert f"launch.py fetch {preset.folder}" in states["encoder"].advice
    assert "launch.py fetch 7b" in check(load_preset("7b"))[0].advice
    fetch(preset, endpoint=hub.url)
    assert check(preset)[0].advice.startswith("imagebind_huge.safetensors or imagebind_huge.pth: run")  # whole, and yet not what is needed
    weights = preset.folder / "imagebind" / "imagebind_huge.pth"
    torch.save({"a": torch.zeros(100)}, weights)
    assert check(preset)[0].state == "ready"
    os.truncate(weights, weights.stat().st_size - 50)  # the end of the zip
    assert check(preset)[0].state == "damaged" and "imagebind_huge.pth is damaged (it ends too early)" in check(preset)[0].advice
    torch.save({"a": torch.zeros(100)}, weights, _use_new_zipfile_serialization=False)  # torch before 1.6
    assert check(preset)[0].state == "ready"
    save_file({"a": torch.zeros(100)}, preset.folder / "imagebind" / "more.safetensors")
    assert check(preset)[0].state == "ready"
    os.truncate(preset.folder / "imagebind" / "more.safetensors", 200)  # there is no record of this one: its header tells
    assert check(preset)[0].state == "damaged" and "more.safetensors is damaged" in check(preset)[0].advice
    (preset.folder / "imagebind" / "config.json").write_bytes(b"[]")
    assert "config.json has changed" in check(preset)[0].advice


def test_check_asks_for_every_shard_and_every_named_part(tmp_path):
    preset = with_sources(tmp_path, {})

    def advice(path: str) -> str:
        return next(one.advice for one in check(preset) if f"({path})" in one.part)

    llm = tmp_path / preset.llm.path
    llm.mkdir()
    for name in ("config.json", "tokenizer.model"):
        (llm / name).write_text("{}")
    save_file({"a": torch.zeros(1)}, llm / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (llm / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert advice(preset.llm.path).startswith("model-00002-of-00002.safetensors: ")
    save_file({"b": torch.zeros(1)}, llm / "model-00002-of-00002.safetensors")
    assert advice(preset.llm.path) == ""

    image = tmp_path / preset.outputs["image"].path
    for part in ("unet", "vae", "text_encoder"):
        (image / part).mkdir(parents=True)
        (image / part / "config.json").write_text("{}")
        save_file({"a": torch.zeros(1)}, image / part / "model.safetensors")
    (image / "scheduler").mkdir()
    (image / "scheduler" / "scheduler_config.json").write_text("{}")
    assert advice(image.name) == ""
    named = {part: ["transformers", "X"] for part in ("tokenizer", "text_encoder", "safety_checker")}
    (image / "model_index.json").write_text(json.dumps({**named, "vocoder": [None, None]}))
    weights, tokenizer = "safety_checker/*.safetensors or safety_checker/*.bin", "tokenizer/tokenizer.json or tokenizer/vocab.json"
    assert advice(image.name).startswith(f"safety_checker/config.json, {weights}, {tokenizer}: ")
    (image / "decoder.json").write_text('{"safety": false}')
    save_file({"unconditional": torch.zeros(1)}, image / "unconditional.safetensors")
    assert advice(image.name) == ""


def test_check_finds_a_truncated_trained_part(tmp_path):
    preset = with_sources(tmp_path, {})
    for name in TRAINED_FILES.values():
        save_file({"a": torch.zeros(100)}, tmp_path / name)
    assert check(preset)[-1].state == "ready"
    os.truncate(tmp_path / TRAINED_FILES["lora"], 20)
    assert check(preset)[-1].state == "damaged" and "lora.safetensors is damaged" in check(preset)[-1].advice


@pytest.fixture
def sum_preset(tmp_path):
    """A stand-in hub with a tiny LLaMA and its difference, and a preset that makes their sum."""

    def saved(folder, seed: int) -> dict[str, bytes]:
        torch.manual_seed(seed)
        sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
        LlamaForCausalLM(LlamaConfig(vocab_size=20, **sizes)).half().save_pretrained(folder)
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    base = {**saved(tmp_path / "a", 0), "tokenizer.model": b"t"}
    served = Hub({"meta/llama": base, "lmsys/delta": saved(tmp_path / "b", 1)})
    files = ["config.json", "model.safetensors"]
    (tmp_path / "preset").mkdir()
    yield (
        served,
        with_sources(
            tmp_path / "preset",
            {
                "llama": a_source(repo="meta/llama", files=[*files, "tokenizer.model"]),
                "delta": a_source(repo="lmsys/delta", files=files, then={"add_to": "llama", "makes": "vicuna-7b-v0"}),
            },
        ),
    )
    served.close()


def test_a_sum_is_on_record_and_spares_what_it_was_made_of(sum_preset):
    hub, preset = sum_preset
    lines = []
    fetch(preset, endpoint=hub.url, say=lines.append)
    assert any("GB more will be made of it" in line for line in lines)
    out = preset.folder / "vicuna-7b-v0"
    assert set(read_record(out)["files"]) == {path.name for path in out.iterdir()} - {"fetched.json"}
    assert next(one for one in check(preset) if "vicuna" in one.part).state == "ready"
    for name in ("llama", "delta"):
        shutil.rmtree(preset.folder / name)
    hub.gets.clear()
    assert fetch(preset, endpoint=hub.url, say=lines.append) == [] and hub.gets == []
    assert lines[-1].startswith("delta, llama: not needed any more")
    weights = out / "model-00001.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "model-00001.safetensors has changed" in next(one for one in check(preset) if "vicuna" in one.part).advice
    weights.unlink()
    fetch(preset, endpoint=hub.url)  # made again
    assert weights.read_bytes() == content


def test_room_is_asked_for_what_is_made_and_not_for_what_is_there(sum_preset, monkeypatch):
    hub, preset = sum_preset
    sizes = {repo: sum(map(len, files.values())) - len(files.get("generation_config.json", b"")) for repo, files in hub.files.items()}
    loaded = sum(sizes.values())
    free = loaded + sizes["meta/llama"] // 2
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": free})())
    with pytest.raises(CheckpointError, match="make room"):
        fetch(preset, endpoint=hub.url)
    assert hub.gets == []  # and not after the last download
    (preset.folder / "delta").mkdir()
    weights = hub.files["lmsys/delta"]["model.safetensors"]
    (preset.folder / "delta" / "model.safetensors.partial").write_bytes(weights[:-10])
    free = 1.03 * (loaded + sizes["meta/llama"] - len(weights) + 10)
    fetch(preset, endpoint=hub.url)


def test_published_sources_cover_the_preset():
    preset = load_preset("7b")
    sources = read_sources(preset)
    made = {source.name for source in sources} | {dict(source.then).get("makes", source.name) for source in sources}
    assert {preset.encoder.path, preset.llm.path, *(output.path for output in preset.outputs.values())} <= made
    assert all(source.licence for source in sources)
    assert all(re.fullmatch("[0-9a-f]{40}", source.revision) for source in sources)  # each at one commit, whatever its branch does
    assert read_sources(load_preset("nano")) == []
