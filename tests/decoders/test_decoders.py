"""The three decoders at tiny size: equal to the library's pipelines, reproducible, stoppable, strict."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny, DDIMScheduler, PNDMScheduler, StableDiffusionPipeline
from diffusers.pipelines.deprecated.audioldm.pipeline_audioldm import AudioLDMPipeline
from diffusers.pipelines.deprecated.text_to_video_synthesis.pipeline_text_to_video_synth import TextToVideoSDPipeline
from safetensors.torch import load_file, save_file

from benchmarks import architectures
from nextgpt_core.decoders import AudioLDMDecoder, StableDiffusionDecoder, ZeroscopeDecoder
from nextgpt_core.decoders.base import Decoder, DecoderSettings
from nextgpt_core.decoders.diffusion import SCHEDULERS, make_scheduler
from nextgpt_core.decoders.folders import DecoderFolder
from nextgpt_core.decoders.hifigan import HifiGan
from nextgpt_core.decoders.preview import LinearPreview
from nextgpt_core.errors import Cancelled, CheckpointMismatch, CheckpointMissing, ConfigError, GenerationError
from tests.decoders import tiny

SETTINGS = DecoderSettings(steps=4, guidance=3.0, frames=3, seconds=0.01)


def image_decoder(**changes):
    parts = {
        "unet": tiny.image_unet(),
        "vae": tiny.vae(),
        "noise_schedule": tiny.NOISE_SCHEDULE,
        "unconditional": tiny.embeddings(5, seed=9),
        "defaults": SETTINGS,
        "scheduler": "ddim",
        "pixels": 16,
    }
    return StableDiffusionDecoder(**{**parts, **changes})


def video_decoder(**changes):
    parts = {
        "unet": tiny.video_unet(),
        "vae": tiny.vae(),
        "noise_schedule": tiny.NOISE_SCHEDULE,
        "unconditional": tiny.embeddings(5, seed=9),
        "defaults": SETTINGS,
        "scheduler": "ddim",
        "height": 16,
        "width": 32,
        "fps": 8,
    }
    return ZeroscopeDecoder(**{**parts, **changes})


def audio_decoder(**changes):
    parts = {
        "unet": tiny.audio_unet(),
        "vae": tiny.vae(channels=1),
        "vocoder": HifiGan(tiny.hifigan()),
        "noise_schedule": tiny.NOISE_SCHEDULE,
        "unconditional": tiny.embeddings(1, seed=9),
        "defaults": SETTINGS,
        "scheduler": "ddim",
    }
    return AudioLDMDecoder(**{**parts, **changes})


DECODERS = {"image": image_decoder, "video": video_decoder, "audio": audio_decoder}


def numbers(content) -> np.ndarray:
    return content if isinstance(content, np.ndarray) else dataclasses.astuple(content)[0]


def condition(decoder) -> torch.Tensor:
    return tiny.embeddings(decoder.condition_shape[0], seed=1)


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def library_arguments(decoder, guidance: float) -> dict:
    audio = decoder.modality == "audio"
    return {
        "prompt_embeds": condition(decoder) if audio else condition(decoder)[None],
        "negative_prompt_embeds": decoder.unconditional if audio else decoder.unconditional[None],
        "num_inference_steps": SETTINGS.steps,
        "guidance_scale": guidance,
        "generator": seeded(),
    }


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("scheduler", ["ddim", "pndm"])
def test_image_equals_library_pipeline(guidance, scheduler):
    decoder = image_decoder(scheduler=scheduler)
    kind = {"ddim": DDIMScheduler, "pndm": PNDMScheduler}[scheduler]
    pipeline = StableDiffusionPipeline(
        unet=tiny.image_unet(),
        vae=tiny.vae(),
        scheduler=kind.from_config(dict(tiny.NOISE_SCHEDULE)),
        text_encoder=None,
        tokenizer=None,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    wanted = pipeline(**library_arguments(decoder, guidance), height=16, width=16, output_type="np").images[0]
    ours = decoder.generate(condition(decoder), settings=dataclasses.replace(SETTINGS, guidance=guidance), generator=seeded())
    assert ours.shape == (16, 16, 3) and ours.dtype == np.uint8
    np.testing.assert_allclose(ours / 255, wanted, atol=0.5 / 255 + 1e-5)


def test_video_equals_library_pipeline():
    decoder = video_decoder()
    pipeline = TextToVideoSDPipeline(
        unet=tiny.video_unet(),
        vae=tiny.vae(),
        scheduler=DDIMScheduler.from_config(dict(tiny.NOISE_SCHEDULE)),
        text_encoder=None,
        tokenizer=None,
    )
    wanted = pipeline(**library_arguments(decoder, 3.0), height=16, width=32, num_frames=3, output_type="np").frames[0]
    ours = decoder.generate(condition(decoder), settings=SETTINGS, generator=seeded())
    assert ours.frames.shape == (3, 16, 32, 3) and ours.fps == 8
    np.testing.assert_allclose(ours.frames / 255, wanted, atol=0.5 / 255 + 1e-5)


def test_audio_equals_library_pipeline():
    decoder = audio_decoder()
    pipeline = AudioLDMPipeline(
        unet=tiny.audio_unet(),
        vae=tiny.vae(channels=1),
        scheduler=DDIMScheduler.from_config(dict(tiny.NOISE_SCHEDULE)),
        vocoder=tiny.hifigan(),
        text_encoder=tiny.clap(),  # the pipeline reads its dtype
        tokenizer=None,
    )
    wanted = pipeline(**library_arguments(decoder, 3.0), audio_length_in_s=0.01).audios[0]
    ours = decoder.generate(condition(decoder), settings=SETTINGS, generator=seeded())
    assert ours.rate == 16000 and len(ours.samples) == 160
    np.testing.assert_allclose(ours.samples, wanted, atol=1e-6)


@pytest.mark.parametrize("modality", DECODERS)
def test_same_seed_same_bytes_whatever_ran_between(modality):
    decoder = DECODERS[modality]()
    assert isinstance(decoder, Decoder)
    first, other, again = (numbers(decoder.generate(condition(decoder), settings=SETTINGS, generator=seeded(seed))) for seed in (7, 8, 7))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


@pytest.mark.parametrize("scheduler", ["dpm++", "unipc", "ddim", "pndm"])
def test_every_scheduler_runs_and_reports_its_steps(scheduler):
    seen = []
    decoder = image_decoder(scheduler=scheduler)
    decoder.generate(
        condition(decoder), settings=SETTINGS, generator=seeded(), on_step=lambda step, steps, latents: seen.append((step, steps))
    )
    total = seen[0][1]
    assert seen == [(step + 1, total) for step in range(total)]
    assert total == (5 if scheduler == "pndm" else 4)


@pytest.mark.parametrize("modality", DECODERS)
def test_cancel_stops_within_one_step(modality):
    seen = []

    def stop(step, steps, latents):
        seen.append(step)
        raise Cancelled("stopped")

    decoder = DECODERS[modality]()
    with pytest.raises(Cancelled):
        decoder.generate(condition(decoder), settings=SETTINGS, generator=seeded(), on_step=stop)
    assert seen == [1]


@pytest.mark.parametrize(("modality", "shape"), [("image", (8, 8, 3)), ("video", (8, 16, 3)), ("audio", (4, 20, 3))])
def test_previews_are_small_pictures(modality, shape):
    previews = []
    decoder = DECODERS[modality]()

    def keep(step, steps, latents):
        previews.append(decoder.preview(latents))

    decoder.generate(condition(decoder), settings=SETTINGS, generator=seeded(), on_step=keep)
    assert len(previews) == 4
    assert all(preview.shape == shape and preview.dtype == np.uint8 for preview in previews)


def test_linear_preview_finds_a_linear_decoder_exactly():
    mix = torch.randn(3, 4, generator=seeded())

    def decode(latents):
        return torch.einsum("kc,bchw->bkhw", mix, latents).repeat_interleave(8, 2).repeat_interleave(8, 3) - 0.25

    latents = torch.randn(1, 4, 5, 6, generator=seeded())
    wanted = torch.einsum("kc,chw->khw", mix, latents[0]) - 0.25
    torch.testing.assert_close(LinearPreview(decode, 4)(latents), wanted, atol=1e-5, rtol=0)


def test_patch_folds_pixels_into_channels():
    decoder = image_decoder(vae=tiny.vae(channels=12), patch=2, pixels=32)
    made = decoder.generate(condition(decoder), settings=SETTINGS, generator=seeded())
    assert made.shape == (32, 32, 3)


def test_wrong_condition_size_and_failures_are_sentences():
    decoder = image_decoder()
    with pytest.raises(GenerationError, match="expects a condition of"):
        decoder.generate(torch.zeros(2, 2), settings=SETTINGS, generator=seeded())
    with pytest.raises(GenerationError, match="invalid numbers"):
        decoder.generate(torch.full((5, tiny.WIDTH), torch.nan), settings=SETTINGS, generator=seeded())
    with pytest.raises(ConfigError, match="multiples of 2"):
        image_decoder(pixels=15)
    with pytest.raises(ConfigError, match="choose one of"):
        image_decoder(scheduler="euler")


def test_parts_of_different_models_are_refused():
    with pytest.raises(ConfigError, match="U-Net has condition width 32 and its text encoder 40: they belong to different models"):
        image_decoder(unconditional=torch.zeros(5, 40))
    with pytest.raises(ConfigError, match="condition width 32 and its text encoder 40"):
        audio_decoder(unconditional=torch.zeros(1, 40))
    with pytest.raises(ConfigError, match="latent channels 4 and its VAE 8"):
        video_decoder(vae=tiny.vae(latent_channels=8))


def test_the_library_has_nothing_to_complain_of(tmp_path, capfd):
    """Configs that diffusers itself wrote load without its warnings, whichever sampler takes over the schedule."""
    vae = AutoencoderTiny(encoder_block_out_channels=(4, 4), decoder_block_out_channels=(4, 4), num_encoder_blocks=(1, 1),
                          num_decoder_blocks=(1, 1))  # fmt: skip
    vae.save_pretrained(tmp_path / "vae")
    folder = DecoderFolder(tmp_path, defaults={}, dtype=torch.float32)
    assert folder.vae().config.block_out_channels
    for name, config in published_schedules().items():
        for scheduler in SCHEDULERS:
            made = make_scheduler(config, scheduler)
            assert made.config.beta_end == config["beta_end"], (name, scheduler)
    said = capfd.readouterr()
    assert "ignored" not in said.err and "ignored" not in said.out


def published_schedules() -> dict[str, dict]:
    return {
        "tiny": dict(tiny.NOISE_SCHEDULE),
        **{one: architectures.__dict__[one]["scheduler"] for one in ("STABLE_DIFFUSION", "AUDIOLDM")},
    }


def test_safety_checker_holds_a_picture_back():
    decoder = image_decoder(safety=lambda picture: False)
    with pytest.raises(GenerationError, match="safety checker"):
        decoder.generate(condition(decoder), settings=SETTINGS, generator=seeded())


@pytest.mark.parametrize(("modality", "part"), [("image", "vae"), ("video", "vae"), ("audio", "vae"), ("audio", "vocoder")])
def test_a_decoder_that_overflows_after_the_latents_is_an_error(monkeypatch, modality, part):
    """float16 ends at 65504: a VAE or vocoder that goes beyond it would give a black picture or silence."""
    decoder = DECODERS[modality]()
    network = decoder.vae.decoder if part == "vae" else decoder.vocoder.model
    forward = network.forward
    monkeypatch.setattr(network, "forward", lambda *inputs, **options: forward(*inputs, **options) * torch.inf)
    with pytest.raises(GenerationError, match="came out as invalid numbers"):
        decoder.generate(condition(decoder), settings=SETTINGS, generator=seeded())


def write_folder(path, decoder, settings: dict) -> None:
    decoder.unet.save_pretrained(path / "unet")
    decoder.vae.save_pretrained(path / "vae")
    DDIMScheduler.from_config(dict(tiny.NOISE_SCHEDULE)).save_pretrained(path / "scheduler")
    save_file({"unconditional": decoder.unconditional}, path / "unconditional.safetensors")
    if decoder.modality == "audio":
        decoder.vocoder.model.save_pretrained(path / "vocoder")
    (path / "decoder.json").write_text(json.dumps(settings))


FOLDER_SETTINGS = {
    "image": {"pixels": 16, "steps": 4, "guidance": 3.0, "scheduler": "ddim"},
    "video": {"pixels": [16, 32], "frames": 3, "fps": 8, "steps": 4, "guidance": 3.0, "scheduler": "ddim"},
    "audio": {"seconds": 0.01, "steps": 4, "guidance": 3.0, "scheduler": "ddim"},
}


@pytest.mark.parametrize("modality", DECODERS)
def test_folder_round_trip(tmp_path, modality):
    decoder = DECODERS[modality]()
    write_folder(tmp_path, decoder, FOLDER_SETTINGS[modality])
    loaded = type(decoder).from_folder(tmp_path)
    before, after = (numbers(one.generate(condition(decoder), settings=loaded.defaults, generator=seeded())) for one in (decoder, loaded))
    assert before.tobytes() == after.tobytes()


def test_published_folders_make_what_the_original_asks_for(tmp_path):
    """golden/upstream_behaviour.md: guidance 7.5, sounds of 9 s, videos of 24 frames at 8 per second. (Steps: docs/fidelity.md.)"""
    for modality in DECODERS:
        decoder = DECODERS[modality](**({"height": 320, "width": 576} if modality == "video" else {}))
        write_folder(tmp_path / modality, decoder, {})
        (tmp_path / modality / "decoder.json").unlink()
        found = type(decoder).from_folder(tmp_path / modality)
        assert found.defaults.guidance == 7.5
        assert found.defaults.seconds == (9.0 if modality == "audio" else None)
        assert found.defaults.frames == (24 if modality == "video" else None)


def test_folder_with_older_attention_names_and_pickled_weights(tmp_path):
    decoder = image_decoder()
    write_folder(tmp_path, decoder, FOLDER_SETTINGS["image"])
    file = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    older = {}
    for key, value in load_file(file).items():
        for new, old in ((".to_q.", ".query."), (".to_k.", ".key."), (".to_v.", ".value."), (".to_out.0.", ".proj_attn.")):
            key = key.replace(new, old)
        older[key] = value
    assert any(".query." in key for key in older)
    file.unlink()
    torch.save(older, file.with_suffix(".bin"))
    loaded = StableDiffusionDecoder.from_folder(tmp_path)
    assert all(torch.equal(value, decoder.vae.state_dict()[key]) for key, value in loaded.vae.state_dict().items())


def test_folder_is_strict(tmp_path):
    decoder = image_decoder()
    write_folder(tmp_path, decoder, FOLDER_SETTINGS["image"])
    file = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    save_file({key: value for key, value in weights.items() if key != "conv_in.bias"} | {"extra": torch.zeros(1)}, file)
    with pytest.raises(CheckpointMismatch, match=r"missing conv_in\.bias; unexpected extra"):
        StableDiffusionDecoder.from_folder(tmp_path)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(CheckpointMismatch, match="damaged"):
        StableDiffusionDecoder.from_folder(tmp_path)
    file.unlink()
    with pytest.raises(CheckpointMissing, match=r"diffusion_pytorch_model\.safetensors is not there"):
        StableDiffusionDecoder.from_folder(tmp_path)
    (tmp_path / "decoder.json").write_text('{"pixel": 16}')
    with pytest.raises(ConfigError, match="unknown pixel"):
        StableDiffusionDecoder.from_folder(tmp_path)
