"""An encoder and a decoder that nobody has written yet: defined here, a table line each, and nothing else is edited. So is a modality."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from app.actions import choices_from
from app.cli import main
from app.conversation import Conversation, Turn
from app.files import FileStore
from app.jobs import Desk
from nextgpt_core.build import build, build_template, build_trainable
from nextgpt_core.checkpoints import load_strict, save_tensors
from nextgpt_core.config import Preset, load_preset
from nextgpt_core.decoders import DECODERS
from nextgpt_core.decoders.base import Decoder, DecoderSettings, Size
from nextgpt_core.encoders import ENCODERS
from nextgpt_core.encoders.base import Encoder
from nextgpt_core.engine import Engine
from nextgpt_core.errors import ConfigError
from nextgpt_core.messages import Media, MediaFailed, MediaReady, Message, TurnSettings
from nextgpt_core.modalities import MODALITIES
from nextgpt_core.placement.plan import GIB, OFFLOADED, plan
from nextgpt_core.published.check import check
from tests.test_build import PRESET, save_language_model

PICTURE = Path(__file__).resolve().parents[1] / "assets" / "examples" / "picture.png"
WIDTH = 4  # of the decoder's condition


class ColourEncoder(nn.Module, Encoder):
    """One vector of 3 for a picture: a linear map of its mean colour."""

    width = 3
    modalities = ("image",)

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(3, 3)

    @classmethod
    def from_folder(cls, path: Path, /) -> "ColourEncoder":
        return load_strict(cls(), path / "colours.pt.safetensors")

    def tokens(self, modality: str) -> int:
        return 1

    def encode(self, modality: str, content: np.ndarray) -> torch.Tensor:
        colour = torch.from_numpy(content.reshape(-1, 3).mean(0) / 255)
        return self.map(colour.to(self.map.weight)[None]).float().cpu()


class StripesDecoder(Decoder):
    """A picture of two stripes whose colours are a linear map of the condition and of noise that is made less step by step."""

    modality = "image"
    condition_shape = (1, WIDTH)
    defaults = DecoderSettings(steps=2, guidance=1.0)

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    @classmethod
    def from_folder(cls, path: Path, /, *, dtype: torch.dtype, tiling: bool) -> "StripesDecoder":
        return cls(load_strict(nn.Linear(WIDTH, 6), path / "stripes.safetensors").to(dtype))

    @classmethod
    def size(cls, folder: Path) -> Size:
        return Size(pixels=(16, 16))

    def generate(self, condition: torch.Tensor, *, settings: DecoderSettings, generator: torch.Generator, on_step: Any = None) -> Any:
        noise = torch.randn(6, generator=generator)
        for step in range(1, settings.steps + 1):
            noise = noise / 2
            if on_step is not None:
                on_step(step, settings.steps, noise)
        colours = self.network(condition.to(self.network.weight))[0].cpu() + noise
        pixels = (colours.sigmoid() * 255).byte().view(2, 1, 3).repeat_interleave(8, 0)
        return pixels.expand(16, 16, 3).numpy().copy()


@pytest.fixture
def preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Preset:
    """A preset that names both; the decoder's weights are not there yet."""
    monkeypatch.setitem(ENCODERS, "colours", ColourEncoder)
    monkeypatch.setitem(DECODERS, "stripes", StripesDecoder)
    return written(tmp_path / "own", {"image": {"condition_shape": [1, WIDTH], "decoder": "stripes", "path": "stripes"}})


def written(folder: Path, outputs: dict[str, Any]) -> Preset:
    folder.mkdir()
    encoder = {"kind": "colours", "path": "colours", "width": 3, "tokens": {"image": 1}}
    common = {"signals": 2, "width": 8, "layers": 1}
    (folder / "preset.json").write_text(json.dumps({**PRESET, "encoder": encoder, "outputs": {m: common | o for m, o in outputs.items()}}))
    save_language_model(folder / "llm")
    torch.manual_seed(1)
    save_tensors(ColourEncoder().state_dict(), folder / "colours" / "colours.pt.safetensors")
    build_trainable(load_preset(folder)).save_trained(folder)
    return load_preset(folder)


def fetched(preset: Preset) -> Preset:
    torch.manual_seed(2)
    save_tensors(nn.Linear(WIDTH, 6).state_dict(), preset.file("stripes") / "stripes.safetensors")
    return preset


def state(preset: Preset, part: str) -> Any:
    return next(one for one in check(preset) if one.part.startswith(part))


def test_check_asks_the_class_for_its_files(preset, monkeypatch, capsys):
    assert state(preset, "image decoder").state == "missing"
    preset.file("stripes").mkdir()
    (preset.file("stripes") / "notes.txt").write_text("any file does not make it ready")
    assert "*.safetensors" in state(preset, "image decoder").advice
    monkeypatch.setattr(StripesDecoder, "needed_files", lambda folder: [("stripes.safetensors",)])
    assert state(preset, "image decoder").advice.startswith("stripes.safetensors: ")
    assert main(["check", str(preset.folder)]) == 1
    fetched(preset)
    assert {one.state for one in check(preset)} == {"ready"} and main(["check", str(preset.folder)]) == 0
    (preset.file("stripes") / "stripes.safetensors").write_bytes(b"short")
    assert state(preset, "image decoder").state == "damaged"
    monkeypatch.delitem(DECODERS, "stripes")
    with pytest.raises(ConfigError, match=r"outputs\.image\.decoder is 'stripes'; known are audioldm"):
        check(preset)


def test_plan_counts_what_is_there_and_says_what_is_not(preset, monkeypatch, capsys):
    assert main(["plan", str(preset.folder)]) == 1
    assert "stripes is not there, so the size" in capsys.readouterr().err
    preset.file("stripes").mkdir()
    assert main(["plan", str(preset.folder)]) == 1
    assert "stripes lacks *.safetensors" in (said := capsys.readouterr().err) and "not there" not in said
    (preset.file("stripes") / "stripes.npz").write_bytes(b"")
    with monkeypatch.context() as other:
        other.setattr(StripesDecoder, "needed_files", lambda folder: [("*.npz",)])
        with pytest.raises(ConfigError, match=r"StripesDecoder\.count_parameters must tell"):
            plan(preset, 8)
    fetched(preset)
    found = plan(preset, 8)
    counted = {row.part.name: row.part for row in found.rows}
    assert counted["encoder"].parameters == 12 and counted["image"].parameters == 6 * WIDTH + 6
    assert counted["image"].weights == 4 * counted["image"].parameters  # float32, as the preset says
    monkeypatch.setattr(StripesDecoder, "activations", lambda size: 1000 * size.pixels[0])
    wide = {row.part.name: row.part for row in plan(preset, 8, sizes={"image": Size(pixels=(32, 32))}).rows}
    assert wide["image"].activations == 1000 * 32 * 2 * 1.25
    assert main(["plan", str(preset.folder), "--vram", "8"]) == 0
    assert "image" in capsys.readouterr().out


def test_parts_that_are_code_alone_need_no_folder(preset, monkeypatch):
    monkeypatch.setattr(StripesDecoder, "needed_files", lambda folder: [])
    assert state(preset, "image decoder").state == "ready"
    assert next(row.part.parameters for row in plan(preset, 8).rows if row.part.name == "image") == 0


def turn(engine: Engine, out: Path, **settings: Any) -> list[Any]:
    wanted = TurnSettings(seed=3, max_new_tokens=6, answer_with=frozenset(engine.model.signals), **settings)
    return list(engine.turn([Message("user", (Media("image", PICTURE), "hi"))], wanted, out_dir=out))


def placed(preset: Preset, monkeypatch: pytest.MonkeyPatch, *, free: float) -> tuple[Engine, list[tuple[str, str]]]:
    """An engine on a GPU for which the first core stands, and the (network, device) of every move of the two parts."""
    moves: list[tuple[str, str]] = []
    move = nn.Module.to

    def recorded(self: nn.Module, *where: Any, **more: Any) -> nn.Module:
        name = "encoder" if isinstance(self, ColourEncoder) else "decoder" if getattr(self, "out_features", 0) == 6 else ""
        if name and isinstance(where[0], torch.device | str):
            moves.append((name, str(where[0])))
        return move(self, *where, **more)

    monkeypatch.setattr(nn.Module, "to", recorded)
    monkeypatch.setattr("nextgpt_core.build.free_bytes", lambda device: int(free))
    model = build(preset, device="cpu:0")
    return Engine(model, build_template(preset, model), context=preset.llm.context), moves


def test_place_moves_them_to_the_gpu(preset, monkeypatch, tmp_path):
    fetched(preset)
    wanted = turn(Engine.load(preset, device="cpu"), tmp_path / "cpu")
    engine, moves = placed(preset, monkeypatch, free=2**40)
    assert moves == [("encoder", "cpu:0"), ("decoder", "cpu:0")]
    made = [event.media.path.read_bytes() for event in (*wanted, *turn(engine, tmp_path)) if isinstance(event, MediaReady)]
    assert len(made) == 2 and made[0] == made[1]
    assert ("decoder", "cpu") not in moves and engine.model.decoders["image"].defaults is StripesDecoder.defaults


def test_place_has_them_visit_a_small_gpu(preset, monkeypatch, tmp_path):
    fetched(preset)
    monkeypatch.setattr(StripesDecoder, "activations", lambda size: 2**30)
    free = plan(preset, 24).peak - 1
    away = {row.part.name for row in plan(preset, free / GIB).rows if row.where == OFFLOADED}
    engine, moves = placed(preset, monkeypatch, free=free)
    assert away == {"encoder"} and ("encoder", "cpu:0") not in moves
    assert [event for event in turn(engine, tmp_path) if isinstance(event, MediaReady)]
    assert [where for name, where in moves if name == "encoder"] == ["cpu:0", "cpu"]


def test_a_part_may_be_a_module_itself():
    part = ColourEncoder()
    assert part.to("meta") is part and part.map.weight.device.type == "meta"
    assert part.freeze() is part and not part.map.weight.requires_grad and not part.training


def test_a_decoder_that_runs_out_of_memory_is_tried_once_more(preset, monkeypatch, tmp_path):
    fetched(preset)
    engine, _ = placed(preset, monkeypatch, free=2**40)
    generate, failures = StripesDecoder.generate, [torch.OutOfMemoryError("CUDA out of memory")] * 3

    def fails(self, *args, **kwargs):
        if failures:
            raise failures.pop()
        return generate(self, *args, **kwargs)

    monkeypatch.setattr(StripesDecoder, "generate", fails)
    reasons = [event.reason for event in turn(engine, tmp_path) if isinstance(event, MediaFailed)]
    assert len(failures) == 1 and "not enough memory for the picture" in reasons[0]
    assert [event for event in turn(engine, tmp_path) if isinstance(event, MediaReady)] and not failures


def test_ask_shows_it_a_picture_and_gets_one(preset, tmp_path, capsys):
    fetched(preset)
    words = ["ask", "draw", "--preset", str(preset.folder), "--file", str(PICTURE), "--answer", "picture", "--steps", "3"]
    assert main([*words, "--max-new-tokens", "8", "--seed", "1", "--json", "--out", str(tmp_path / "out")]) == 0
    (made,) = json.loads(capsys.readouterr().out)["media"]
    with Image.open(made["path"]) as picture:
        assert picture.size == (16, 16)
    assert MODALITIES["image"].read_provenance(Path(made["path"]))["settings"] == {"steps": 3, "guidance": 1.0}


@pytest.mark.parametrize(("quality", "steps"), [("fast", 8), ("balanced", 2)])
def test_the_settings_of_the_page_reach_it(preset, tmp_path, quality, steps):
    fetched(preset)
    store, engine, conversation = FileStore(tmp_path / "kept"), Engine.load(preset, device="cpu"), Conversation()
    choices = choices_from({"answer": "picture", "quality": quality, "guidance": 4, "max_new_tokens": 16, "seed": 9, "lock": True})
    conversation.turns.append(Turn("draw"))
    job = Desk(lambda: engine, store).submit(conversation, choices.turn_settings())
    assert job is not None
    end = time.monotonic() + 300
    while not job.answer.finished and time.monotonic() < end:
        time.sleep(0.01)
    (made,) = [piece.file for piece in job.answer.pieces if piece.file]
    told = MODALITIES["image"].read_provenance(store.path(made))
    assert told["seed"] == 9 and told["settings"] == {"steps": steps, "guidance": 4}


class TableSpec:
    """A modality of numbers, made and not read: what the core asks of one that can be made."""

    name, noun, signal, save_suffix = "table", "table", "TAB", ".csv"

    def save(self, content: list[float], path: Path, *, provenance: dict[str, Any]) -> Media:
        path.write_text("\n".join([f"# {json.dumps(provenance)}", *(f"{number:.3f}" for number in content)]))
        return Media(self.name, path, {"seed": provenance["seed"]})


class TableDecoder(StripesDecoder):
    """The colours as numbers."""

    modality = "table"

    def generate(self, *args: Any, **kwargs: Any) -> list[float]:
        return super().generate(*args, **kwargs)[::8, 0].flatten().tolist()


def test_a_modality_is_made_without_an_edit_in_the_core(tmp_path, monkeypatch):
    """The page and the terminal name the modalities that they ask for: CONTRIBUTING says where."""
    monkeypatch.setitem(MODALITIES, "table", TableSpec())
    monkeypatch.setitem(ENCODERS, "colours", ColourEncoder)
    monkeypatch.setitem(DECODERS, "numbers", TableDecoder)
    preset = fetched(written(tmp_path / "own", {"table": {"condition_shape": [1, WIDTH], "decoder": "numbers", "path": "stripes"}}))
    assert preset.signal_tokens("table") == ("[TAB0]", "[TAB1]") and {one.state for one in check(preset)} == {"ready"}
    assert [row.part.name for row in plan(preset, 8).rows] == ["llm", "projections", "encoder", "table"]
    engine, moves = placed(preset, monkeypatch, free=2**40)
    assert ("decoder", "cpu:0") in moves
    (made,) = [event.media for event in turn(engine, tmp_path / "out") if isinstance(event, MediaReady)]
    assert made.modality == "table" and made.path.suffix == ".csv" and len(made.path.read_text().splitlines()) == 1 + 6
    monkeypatch.setattr(TableDecoder, "modality", "image")
    with pytest.raises(ConfigError, match="the decoder 'numbers' makes image, not table"):
        plan(preset, 8)
