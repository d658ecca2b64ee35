"""Run-time placement with real tiny decoders; where parts are is recorded instead of moved (there is no GPU here)."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from nextgpt_core.encoders.imagebind import HUGE, ImageBind, ImageBindEncoder, Tower
from nextgpt_core.encoders.nano import TOWERS, NanoEncoder
from nextgpt_core.errors import Cancelled, GenerationError, OutOfMemory, is_out_of_memory
from nextgpt_core.placement.parts import Part
from nextgpt_core.placement.place import place
from nextgpt_core.placement.plan import CPU, GPU, OFFLOADED, Plan, Row
from tests.decoders.test_decoders import SETTINGS, audio_decoder, condition, image_decoder, seeded


@pytest.fixture
def moves(monkeypatch) -> list[tuple[str, str]]:
    """(part, device) of every move."""
    seen: list[tuple[str, str]] = []

    def recorder(name):
        return lambda device, *rest: seen.append((name, str(device)))

    monkeypatch.setattr(ImageBind, "to", lambda self, device, *rest: seen.append(("encoder", str(device))))
    monkeypatch.setattr("nextgpt_core.decoders.latent.LatentDecoder.to", lambda self, device: recorder(self.modality)(device))
    return seen


class Llm(nn.Module):
    def __init__(self, seen) -> None:
        super().__init__()
        self.seen = seen

    def to(self, device):
        self.seen.append(("llm", str(device)))


def model(moves, decoder):
    tower = {"vision": Tower(width=8, blocks=1, heads=2, patches=256, kernel=14)}
    assert HUGE["vision"].patches == tower["vision"].patches
    return SimpleNamespace(
        llm=Llm(moves),
        input_projection=nn.Identity(),
        output_projections=nn.Identity(),
        encoder=ImageBindEncoder(ImageBind(tower, out=4).eval()),
        decoders={decoder.modality: decoder},
    )


def a_plan(**where) -> Plan:
    rows = tuple(Row(Part(name=name, parameters=1, weights=1, activations=1), place) for name, place in where.items())
    return Plan(preset="7b", vram=1, precision="4bit", rows=rows, peak=1, busiest="llm", refusal=where.get("refusal"))


def test_offloaded_decoder_visits_and_the_language_model_steps_aside(moves):
    decoder = image_decoder()
    wanted = decoder.generate(condition(decoder), settings=SETTINGS, generator=seeded())
    placed = place(model(moves, decoder), a_plan(llm=OFFLOADED, encoder=GPU, image=OFFLOADED), "cpu:0").decoders["image"]
    moves.clear()
    made = placed.generate(condition(decoder), settings=SETTINGS, generator=seeded())
    assert np.array_equal(made, wanted)
    assert moves == [("llm", "cpu"), ("image", "cpu:0"), ("image", "cpu"), ("llm", "cpu:0")]


def test_resident_decoder_stays(moves):
    decoder = image_decoder()
    placed = place(model(moves, decoder), a_plan(llm=GPU, encoder=GPU, image=GPU), "cpu:0").decoders["image"]
    placed.generate(condition(decoder), settings=SETTINGS, generator=seeded())
    assert ("image", "cpu") not in moves and ("llm", "cpu") not in moves


def test_the_encoder_of_nano_moves_too_and_stays_in_32_bits(moves):
    decoder = image_decoder()
    found = model(moves, decoder)
    found.encoder = NanoEncoder({modality: tower().eval() for modality, tower in TOWERS.items()})
    wanted = found.encoder.encode("image", np.zeros((9, 9, 3), np.uint8))
    towers = found.encoder.parts()
    placed = place(found, a_plan(llm=GPU, encoder=GPU, image=GPU), "meta").encoder
    assert {value.device.type for tower in towers.values() for value in tower.state_dict().values()} == {"meta"}
    assert {value.dtype for tower in towers.values() for value in tower.parameters()} == {torch.float32}
    assert placed.width == 384 and placed.tokens("video") == 3 and wanted.shape == (2, 384)


def test_decoder_on_the_cpu_is_left_alone(moves):
    decoder = audio_decoder()
    assert place(model(moves, decoder), a_plan(llm=GPU, encoder=CPU, audio=CPU), "cpu:0").decoders["audio"] is decoder
    assert not [part for part, _ in moves if part in ("audio", "encoder")]


def test_a_sixteen_bit_decoder_on_the_cpu_computes_in_thirty_two(moves):
    decoder = image_decoder()
    decoder.unet.half()
    decoder.vae.half()
    found = place(model(moves, decoder), a_plan(llm=GPU, encoder=CPU, image=CPU), "cpu:0").decoders["image"]
    assert {part.dtype for part in found.parts().values()} == {torch.float32}


FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    MemoryError(),
    torch.AcceleratorError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    OSError(12, "Cannot allocate memory"),
]


@pytest.mark.parametrize("error", FULL, ids=lambda error: str(error)[:30])
def test_every_form_of_out_of_memory_is_known_and_tried_again(moves, monkeypatch, error):
    assert is_out_of_memory(error)
    decoder = image_decoder()
    placed = place(model(moves, decoder), a_plan(llm=GPU, encoder=GPU, image=GPU), "cpu:0").decoders["image"]
    finish, errors = decoder.finish, [error]

    def fails_first(*args):
        if errors:
            raise errors.pop()
        return finish(*args)

    monkeypatch.setattr(decoder, "finish", fails_first)
    assert placed.generate(condition(decoder), settings=SETTINGS, generator=seeded()).shape == (16, 16, 3)


def test_another_error_is_not_tried_again(moves, monkeypatch):
    decoder = image_decoder()
    placed = place(model(moves, decoder), a_plan(llm=GPU, encoder=GPU, image=GPU), "cpu:0").decoders["image"]
    calls = []

    def fails(*args):
        calls.append(1)
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(decoder, "finish", fails)
    with pytest.raises(GenerationError, match="illegal"):
        placed.generate(condition(decoder), settings=SETTINGS, generator=seeded())
    assert len(calls) == 1


def test_out_of_memory_is_tried_once_more_from_the_same_noise(moves, monkeypatch):
    decoder = image_decoder()
    wanted = decoder.generate(condition(decoder), settings=SETTINGS, generator=seeded())
    placed = place(model(moves, decoder), a_plan(llm=GPU, encoder=GPU, image=GPU), "cpu:0").decoders["image"]
    moves.clear()
    calls, batches = [], []
    finish, predict = decoder.finish, decoder.predict

    def fails_first(*args):
        calls.append((decoder.vae.use_tiling, decoder.vae.use_slicing, decoder.vae.tile_latent_min_size))
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return finish(*args)

    def watched(latents, *rest):
        batches.append(len(latents))
        return predict(latents, *rest)

    monkeypatch.setattr(decoder, "finish", fails_first)
    monkeypatch.setattr(decoder, "predict", watched)
    whole = decoder.vae.tile_latent_min_size
    assert np.array_equal(placed.generate(condition(decoder), settings=SETTINGS, generator=seeded()), wanted)
    assert ("llm", "cpu") in moves and moves[-1] == ("llm", "cpu:0")  # it stepped aside for the second try and came back
    assert calls == [(False, False, whole), (True, True, whole // 2)]
    assert batches == [2] * SETTINGS.steps + [1] * (2 * SETTINGS.steps)
    assert np.array_equal(placed.generate(condition(decoder), settings=SETTINGS, generator=seeded()), wanted)
    assert calls[-1] == (False, False, whole) and batches[-1] == 2  # the next file is made as ever


def test_out_of_memory_twice_is_reported_and_the_next_turn_works(moves, monkeypatch):
    decoder = image_decoder()
    placed = place(model(moves, decoder), a_plan(llm=GPU, encoder=GPU, image=OFFLOADED), "cpu:0").decoders["image"]

    def fails(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(decoder, "finish", fails)
        with pytest.raises(OutOfMemory, match="not enough memory for the picture"):
            placed.generate(condition(decoder), settings=SETTINGS, generator=seeded())
    assert [device for part, device in moves if part == "llm"][-1] == "cpu:0"
    assert [device for part, device in moves if part == "image"][-1] == "cpu"
    assert placed.generate(condition(decoder), settings=SETTINGS, generator=seeded()).shape == (16, 16, 3)


FAILURE = torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("to", ["cpu", "cpu:0"])  # on the way out, and on the way back
def test_a_language_model_that_is_half_moved_comes_back(moves, monkeypatch, to):
    decoder = image_decoder()
    found = place(model(moves, decoder), a_plan(llm=OFFLOADED, encoder=GPU, image=OFFLOADED), "cpu:0")
    move, broken = Llm.to, [1, 1]

    def breaks(self, device):
        move(self, device)
        if str(device) == to and broken:
            broken.pop()
            raise FAILURE

    monkeypatch.setattr(Llm, "to", breaks)
    moves.clear()
    if to == "cpu":  # both tries fail: the file is reported, and the way back is taken each time
        with pytest.raises(OutOfMemory):
            found.decoders["image"].generate(condition(decoder), settings=SETTINGS, generator=seeded())
        assert [device for part, device in moves if part == "llm"] == ["cpu", "cpu:0"] * 2
    else:  # the file is not lost, and the next use brings the model back
        assert found.decoders["image"].generate(condition(decoder), settings=SETTINGS, generator=seeded()).shape == (16, 16, 3)
        with pytest.raises(OutOfMemory, match="bring the language model back"):
            found.before_reading()
        found.before_reading()
        assert [device for part, device in moves if part == "llm"] == ["cpu", "cpu:0", "cpu:0", "cpu:0"]


def placed_encoder(moves, places):
    decoder = image_decoder()
    return place(model(moves, decoder), a_plan(llm=GPU, image=GPU, **places), "cpu:0")


@pytest.mark.parametrize("full", FULL, ids=lambda error: str(error)[:30])
def test_encoder_out_of_memory_is_tried_once_more(moves, monkeypatch, full):
    found = placed_encoder(moves, {"encoder": OFFLOADED})
    calls = []

    def fails_first(self, modality, content):
        calls.append(modality)
        if len(calls) == 1:
            raise full
        return torch.ones(1, 4)

    monkeypatch.setattr(ImageBindEncoder, "encode", fails_first)
    moves.clear()
    assert found.encoder.encode("image", None).shape == (1, 4)
    assert moves == [
        ("encoder", "cpu:0"),
        ("encoder", "cpu"),
        ("llm", "cpu"),
        ("image", "cpu"),
        ("encoder", "cpu:0"),
        ("encoder", "cpu"),
        ("image", "cpu:0"),
        ("llm", "cpu:0"),
    ]


def test_encoder_out_of_memory_twice_is_a_sentence_and_the_next_turn_works(moves, monkeypatch):
    found = placed_encoder(moves, {"encoder": GPU})

    def fails(self, modality, content):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(ImageBindEncoder, "encode", fails)
        with pytest.raises(OutOfMemory, match="not enough memory to look at the video"):
            found.encoder.encode("video", None)
    assert moves[-1] == ("llm", "cpu:0") and ("encoder", "cpu") not in moves
    monkeypatch.setattr(ImageBindEncoder, "encode", lambda self, modality, content: torch.ones(1, 4))
    assert found.encoder.encode("video", None).shape == (1, 4)


def test_a_resident_encoder_makes_room_for_a_second_try(moves, monkeypatch):
    decoder = image_decoder()
    found = place(model(moves, decoder), a_plan(llm=GPU, encoder=GPU, image=GPU), "cpu:0")

    def fails(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(decoder, "finish", fails)
    moves.clear()
    with pytest.raises(OutOfMemory):
        found.decoders["image"].generate(condition(decoder), settings=SETTINGS, generator=seeded())
    assert [device for part, device in moves if part == "encoder"] == ["cpu", "cpu:0"]


def test_cancel_is_not_tried_again(moves):
    decoder = image_decoder()
    placed = place(model(moves, decoder), a_plan(llm=GPU, encoder=GPU, image=OFFLOADED), "cpu:0").decoders["image"]

    def stop(step, steps, latents):
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        placed.generate(condition(decoder), settings=SETTINGS, generator=seeded(), on_step=stop)
    assert moves[-1] == ("image", "cpu")


def test_a_plan_that_does_not_fit_is_refused(moves):
    decoder = image_decoder()
    refused = Plan(preset="7b", vram=1, precision="4bit", rows=(), peak=2, busiest="llm", refusal="Does not fit.")
    with pytest.raises(OutOfMemory, match="Does not fit"):
        place(model(moves, decoder), refused, "cpu:0")
