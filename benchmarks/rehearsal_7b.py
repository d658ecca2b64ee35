"""The 7b preset at full width and depth, with random weights, on this machine's CPU: one real turn through every part.

    python -m benchmarks.rehearsal_7b [--small] [--out docs/rehearsal_7b.md]

Nothing of the published weights is needed. The parts are made when the turn reaches them and freed afterwards; the language model is
in 8 bits. A picture, a sound and a video go in; text, a picture, a video and a sound come out, at reduced size and with few steps.
`--small` keeps every structure but shrinks it, as a check of the script.
"""

import argparse
import ctypes
import gc
import json
import math
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, UNet2DConditionModel, UNet3DConditionModel
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from torch import Tensor, nn
from transformers import CLIPConfig, LlamaConfig, LlamaModel, SpeechT5HifiGan, SpeechT5HifiGanConfig

from nextgpt_core.build import assemble_around, build_template
from nextgpt_core.config import Preset, load_preset
from nextgpt_core.decoders import AudioLDMDecoder, StableDiffusionDecoder, ZeroscopeDecoder
from nextgpt_core.decoders.base import DecoderSettings
from nextgpt_core.decoders.hifigan import HifiGan
from nextgpt_core.decoders.safety import SafetyChecker
from nextgpt_core.encoders.imagebind import HUGE, HUGE_OUT, ImageBind, ImageBindEncoder
from nextgpt_core.engine import Engine
from nextgpt_core.llm.int8 import Int8Linear, quantize_linears
from nextgpt_core.llm.torch_model import TorchLanguageModel
from nextgpt_core.llm.tokenizer import SentencePieceTokenizer
from nextgpt_core.messages import Media, MediaFailed, MediaReady, Message, SignalSpan, TextDelta, TurnDone, TurnSettings
from nextgpt_core.modalities import MODALITIES
from nextgpt_core.modalities.audio import AudioClip
from nextgpt_core.modalities.video import VideoClip
from nextgpt_core.published import architectures

TOKENIZER = Path(__file__).parents[1] / "tests" / "golden" / "tiny_tokenizer.model"
PICTURE, VIDEO, FRAMES, SECONDS = 128, (64, 64), 4, 0.5  # what is made, at reduced size


class Ledger:
    """One row per part: parameters, bytes, seconds to make and to run, seconds of CPU for both (other programs do not count in them),
    the process's peak memory meanwhile, and output shapes."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.peak = 0
        self._part_peak = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while True:
            now = int(Path("/proc/self/statm").read_text().split()[1]) * page
            self._part_peak, self.peak = max(self._part_peak, now), max(self.peak, now)
            time.sleep(0.02)

    @contextmanager
    def part(self, name: str) -> Iterator[dict[str, Any]]:
        row: dict[str, Any] = {"part": name}
        self._part_peak = 0
        started, busy = time.perf_counter(), time.process_time()
        yield row
        row["cpu"] = round(time.process_time() - busy, 1)
        row["seconds"] = round(time.perf_counter() - started - row.get("making", 0.0), 1)
        row["peak_gb"] = round(self._part_peak / 1e9, 2)
        self.rows.append(row)
        print(json.dumps(row), flush=True)

    def table(self) -> str:
        head = "| part | parameters | weights | made in | ran in | CPU | process peak | output |\n|---|---:|---:|---:|---:|---:|---:|---|"
        lines = [
            f"| {row['part']} | {row['parameters'] / 1e6:,.1f} M | {row['bytes'] / 1e9:.2f} GB | {row.get('making', 0):.1f} s "
            f"| {row['seconds']:.1f} s | {row['cpu']:.0f} s | {row['peak_gb']:.2f} GB | {row['output']} |"
            for row in self.rows
        ]
        return "\n".join([head, *lines])


class Visiting:
    """Stands for an encoder or a decoder in the model: made when it is used, freed afterwards."""

    def __init__(self, ledger: Ledger, name: str, make: Callable[[], Any], before: Callable[[], None], **facts: Any) -> None:
        self._ledger, self._name, self._make, self._before = ledger, name, make, before
        self.__dict__.update(facts)

    def use(self, work: Callable[[Any], Any], label: str) -> Any:
        with self._ledger.part(label) as row:
            started = time.perf_counter()
            self._before()
            part = self._make()
            row["making"] = round(time.perf_counter() - started, 1)
            modules = part.parts().values() if hasattr(part, "parts") else [part.model]
            count_into(row, *modules)
            result = work(part)
            row["output"] = shape_of(result)
        del part
        give_back()
        return result

    def tokens(self, modality: str) -> int:
        return 1

    def encode(self, modality: str, content: Any) -> Tensor:
        return self.use(lambda encoder: encoder.encode(modality, content), f"encode {modality} (ImageBind)")

    def generate(self, condition: Tensor, **rest: Any) -> Any:
        return self.use(lambda decoder: decoder.generate(condition, **rest), self._name)

    def preview(self, latents: Tensor) -> np.ndarray:
        return np.zeros((8, 8, 3), np.uint8)


class WideTokenizer(SentencePieceTokenizer):
    """The tests' small tokenizer in a vocabulary of Vicuna's size: what a random model says beyond it shows as a dot."""

    def token_bytes(self, token_id: int) -> bytes:
        return super().token_bytes(token_id) if token_id < self._processor.get_piece_size() else b"."


def give_back() -> None:
    """Free what nobody holds any more, and hand it to the system: glibc keeps freed blocks below 32 MB for itself otherwise."""
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def random_part(build: Callable[[], Any]) -> Any:
    """A module with numbers that keep activations near unit size, without the cost of torch's own initialisation."""
    with init_empty_weights(include_buffers=False):
        module = build()
    fill(module)
    return module.eval().requires_grad_(False)


def fill(module: nn.Module) -> None:
    """Give every empty parameter its numbers: matrices the same few million random ones over and over, norms ones, biases zeros."""
    noise = torch.rand(4_194_301, generator=torch.Generator().manual_seed(0)) * 2 - 1  # a prime: no two rows are alike
    for owner in module.modules():
        for name, value in list(owner.named_parameters(recurse=False)):
            if not value.is_meta:
                continue
            made = torch.empty(value.shape)
            if value.ndim > 1:
                bound = 1 / math.sqrt(value[0].numel())
                for part in made.view(-1).split(len(noise)):
                    torch.mul(noise[: len(part)], bound, out=part)
            else:
                made.fill_(1.0 if name == "weight" else 0.0)
            setattr(owner, name, nn.Parameter(made, requires_grad=False))


def count_into(row: dict[str, Any], *modules: nn.Module) -> None:
    row["parameters"] = row["bytes"] = 0
    for module in modules:
        for layer in module.modules():
            values = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
            row["bytes"] += sum(value.nbytes for value in values)
            row["parameters"] += sum(value.numel() for value in layer.parameters(recurse=False))
            row["parameters"] += layer.weight.numel() if isinstance(layer, Int8Linear) else 0


def shape_of(content: Any) -> str:
    for name in ("frames", "samples"):
        content = getattr(content, name, content)
    return f"{str(content.dtype).removeprefix('torch.')} {list(content.shape)}"


def language_model(preset: Preset, config: LlamaConfig) -> TorchLanguageModel:
    """Random layers, quantized one after the other: the float weights of only one exist at a time."""
    with init_empty_weights(include_buffers=False):
        network = LlamaModel(config)
    for layer in network.layers:
        fill(layer)
        quantize_linears(layer)
    fill(network)
    table = torch.empty(preset.llm.vocabulary, config.hidden_size).uniform_(-0.02, 0.02)
    return TorchLanguageModel(network.eval(), tokenizer=WideTokenizer(TOKENIZER), added_tokens=preset.added_tokens, output_table=table)


def decoders(ledger: Ledger, before: Callable[[], None], steps: int, small: bool) -> dict[str, Visiting]:
    def config(found: dict[str, Any]) -> dict[str, Any]:
        if not small:
            return found
        thin = [32, 64] + [64] * (len(found["block_out_channels"]) - 2)
        cross = {"cross_attention_dim": thin} if isinstance(found.get("cross_attention_dim"), list) else {}
        heads = {"attention_head_dim": 8} if "attention_head_dim" in found else {}
        return {**found, "block_out_channels": thin, **cross, **heads}

    def common(parts: dict[str, Any], length: int, width: int, **settings: Any) -> dict[str, Any]:
        return {
            "vae": random_part(lambda: AutoencoderKL.from_config(config(parts["vae"]))),
            "noise_schedule": parts["scheduler"],
            "unconditional": torch.randn(length, width),
            "defaults": DecoderSettings(steps=steps, guidance=7.5, **settings),
        }

    def image() -> StableDiffusionDecoder:
        parts = architectures.STABLE_DIFFUSION
        sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4} if small else {}
        checker = CLIPConfig(**{**parts["safety_checker"], "vision_config": {**parts["safety_checker"]["vision_config"], **sizes}})
        safety = SafetyChecker(random_part(lambda: StableDiffusionSafetyChecker(checker)))
        safety.model.concept_embeds_weights.fill_(2.0)  # random concepts must not hold the picture back
        safety.model.special_care_embeds_weights.fill_(2.0)
        unet = random_part(lambda: UNet2DConditionModel.from_config(config(parts["unet"])))
        return StableDiffusionDecoder(unet=unet, pixels=PICTURE, safety=safety, **common(parts, 77, 768))

    def video() -> ZeroscopeDecoder:
        parts = architectures.ZEROSCOPE
        unet = random_part(lambda: UNet3DConditionModel.from_config(config(parts["unet"])))
        return ZeroscopeDecoder(unet=unet, height=VIDEO[0], width=VIDEO[1], fps=8, **common(parts, 77, 1024, frames=FRAMES))

    def audio() -> AudioLDMDecoder:
        parts = architectures.AUDIOLDM
        vocoder = {**parts["vocoder"], "upsample_initial_channel": 64 if small else 1024}
        unet = random_part(lambda: UNet2DConditionModel.from_config(config(parts["unet"])))
        hifigan = HifiGan(random_part(lambda: SpeechT5HifiGan(SpeechT5HifiGanConfig(**vocoder))))
        return AudioLDMDecoder(unet=unet, vocoder=hifigan, **common(parts, 1, 512, seconds=SECONDS))

    def visiting(modality: str, name: str, make: Callable[[], Any], **sizes: Any) -> Visiting:
        defaults = DecoderSettings(steps=steps, guidance=7.5, **sizes)
        return Visiting(ledger, name, make, before, modality=modality, defaults=defaults)

    return {
        "image": visiting("image", "make a picture (Stable Diffusion 1.5)", image),
        "video": visiting("video", "make a video (Zeroscope v2)", video, frames=FRAMES),
        "audio": visiting("audio", "make a sound (AudioLDM-l-full)", audio, seconds=SECONDS),
    }


def write_inputs(folder: Path) -> list[Media]:
    random = np.random.RandomState(0)
    contents = {
        "image": random.randint(0, 255, (240, 320, 3)).astype(np.uint8),
        "audio": AudioClip(random.standard_normal(64000).astype(np.float32) / 10, 16000),
        "video": VideoClip(random.randint(0, 255, (16, 96, 128, 3)).astype(np.uint8), 8.0),
    }
    return [MODALITIES[name].save(one, folder / f"{name}{MODALITIES[name].save_suffix}", provenance={}) for name, one in contents.items()]


def processor() -> str:
    """The name of the CPU."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "a CPU")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="every structure, but narrow and shallow")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=8, help="of text at most")
    parser.add_argument("--out", type=Path, help="also write the table as Markdown")
    options = parser.parse_args()
    torch.manual_seed(0)
    load_before = os.getloadavg()[0]
    ledger = Ledger()
    preset = load_preset("7b")
    llama = dict(architectures.VICUNA_7B)
    towers = {name: HUGE[name] for name in ("vision", "audio")}
    if options.small:
        llama.update(num_hidden_layers=2, intermediate_size=512)
        towers = {name: type(tower)(**{**vars(tower), "blocks": 2}) for name, tower in towers.items()}

    with ledger.part("language model (Vicuna-7B, 8 bits) and projections") as row:
        started = time.perf_counter()
        llm = language_model(preset, LlamaConfig(**llama))
        model = assemble_around(preset, llm).eval().requires_grad_(False)
        row["making"] = round(time.perf_counter() - started, 1)
        count_into(row, model)
        probe = llm(llm.embed(torch.arange(16)[None]))
        row["output"] = f"states {list(probe.shape)}"

    def imagebind() -> ImageBindEncoder:
        return ImageBindEncoder(random_part(lambda: ImageBind(towers, out=HUGE_OUT)))

    def leave() -> None:
        llm.network.to("meta")  # the text is written: its weights make room for the decoders
        give_back()

    facts = {"width": HUGE_OUT, "modalities": ("image", "video", "audio")}
    model.encoder = Visiting(ledger, "ImageBind", imagebind, lambda: None, **facts)
    for modality, decoder in decoders(ledger, leave, options.steps, options.small).items():
        model.decoders[modality] = decoder  # type: ignore[assignment]
    engine = Engine(model, build_template(preset, model), context=512)

    with tempfile.TemporaryDirectory() as folder:
        message = Message("user", ("What do these have in common?", *write_inputs(Path(folder))))
        wished = frozenset({"text", "image", "video", "audio"})
        settings = TurnSettings(seed=0, temperature=0.4, top_p=1.0, max_new_tokens=options.tokens, answer_with=wished)
        started = time.perf_counter()
        made, written = [], ""
        for event in engine.turn([message], settings, out_dir=Path(folder)):
            if isinstance(event, TextDelta):
                written += event.text
            elif isinstance(event, SignalSpan | MediaReady | MediaFailed | TurnDone):
                made.append(event)
                print(type(event).__name__, str(event)[:200], flush=True)
    done = next(event for event in made if isinstance(event, TurnDone))
    files = [event.media.modality for event in made if isinstance(event, MediaReady)]
    text = (
        f"The turn took {time.perf_counter() - started:.0f} s: {done.prompt_tokens} positions read in {done.seconds['read']:.1f} s, "
        f"{done.generated_tokens} tokens written in {done.seconds['write']:.1f} s, files made: {', '.join(files)}. "
        f"Peak memory of the process: {ledger.peak / 1e9:.2f} GB."
    )
    print(ledger.table(), text, sep="\n\n")
    if options.out:
        title = f"# Rehearsal of the 7b preset{' (--small)' if options.small else ''}"
        how = (
            f"`python -m benchmarks.rehearsal_7b` on {date.today()}: random weights, {options.steps} diffusion steps; {processor()}, "
            f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}; load average {load_before:.1f} at the "
            f"start and {os.getloadavg()[0]:.1f} at the end, this program included."
        )
        options.out.write_text(f"{title}\n\n{how}\n\n{ledger.table()}\n\n{text}\n", encoding="utf-8")
    if sorted(files) != ["audio", "image", "video"] or ledger.peak > 20e9:
        raise SystemExit("The rehearsal failed.")


if __name__ == "__main__":
    main()
