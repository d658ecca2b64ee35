"""The terminal's side of everything: `python3 launch.py COMMAND`. Heavy imports happen inside the commands that need them."""

import argparse
import json
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from app.settings import ANSWERS, MADE, QUALITIES, ROOT, Choices, read_settings
from nextgpt_core.errors import ConfigError, NextGPTError

PROGRAM = "launch.py"
DEFAULT_PRESET = "nano"
PRECISION_HELP = "of the language model: float32, float16, bfloat16, 8bit or 4bit (default: the preset's"
PASSED_ON = {  # command -> the module whose main() takes the rest of the line, and what it does
    "eval": ("recipes.nano.evaluation.scorecard", "print the scorecard of a preset: eval nano [--quick] [--out FOLDER]"),
    "train": ("recipes.nano.recipe", "train a preset from public packages: train nano [STAGE…]"),
    "fetch": ("nextgpt_core.published.fetch", "fetch the published weights of a preset"),
    "check": ("nextgpt_core.published.check", "check that a preset's weights are complete and unharmed"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Errors that a person can do something about are one sentence."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments.insert(0, "chat")
    if arguments[0] == "test":  # everything behind it is pytest's
        return subprocess.call([sys.executable, "-m", "pytest", *workers(arguments[1:]), *arguments[1:]], cwd=ROOT)
    try:
        if arguments[0] in PASSED_ON:
            return int(module(PASSED_ON[arguments[0]][0]).main(arguments[1:]) or 0)
        options = parser().parse_args(arguments)
        logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it misses optional kernels that nothing here asks for
        return int(options.run(options) or 0)
    except NextGPTError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130


def workers(arguments: Sequence[str]) -> list[str]:
    """pytest's options by which two processes share the whole suite. Some of its files, or a browser to be driven, are for one process."""
    some = any((ROOT / one.partition("::")[0]).exists() for one in arguments if not one.startswith("-")) or "browser" in arguments
    return [] if some or find_spec("xdist") is None else ["-n2", "--dist=loadfile"]


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(prog=PROGRAM, description="NExT-GPT: text, pictures, sound and video in and out, in one chat.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--verbose", action="store_true", help="say what is going on")
    model = argparse.ArgumentParser(add_help=False)
    model.add_argument("--preset", default=DEFAULT_PRESET, help="nano, 7b or a folder (default: %(default)s)")
    model.add_argument("--precision", help=f"{PRECISION_HELP}, or a smaller one where that does not fit)")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(
        name: str, run: Callable[[argparse.Namespace], int | None], text: str, *parents: argparse.ArgumentParser
    ) -> argparse.ArgumentParser:
        one = commands.add_parser(name, parents=[common, *parents], help=text, description=text)
        one.set_defaults(run=run)
        return one

    chat = command("chat", run_chat, "open the chat page (this is also what happens without a command)", model)
    chat.add_argument("--host", default="127.0.0.1", help="address to listen on, 0.0.0.0 for all (default: %(default)s)")
    chat.add_argument("--port", type=int, default=7860, help="port to listen on (default: %(default)s)")
    chat.add_argument("--no-browser", action="store_true", help="do not open the page in a browser")
    chat.add_argument("--share", action="store_true", help="also open a public link through Gradio's servers")
    chat.add_argument("--seed", type=int, help="start with this seed, locked")
    chat.add_argument("--auth", action="append", metavar="NAME:PASSWORD", help="ask for a name and password; may be repeated")

    ask = command("ask", run_ask, "one turn in the terminal", model)
    ask.add_argument("text", nargs="?", default="", help="the message")
    ask.add_argument("--file", action="append", type=Path, default=[], help="a picture, sound or video; may be repeated")
    ask.add_argument("--out", type=Path, default=Path("outputs"), help="folder for what is made (default: %(default)s)")
    ask.add_argument("--json", action="store_true", help="print the answer as JSON")
    ask.add_argument("--answer", choices=ANSWERS, default="auto", help="what to answer with (default: the model chooses)")
    ask.add_argument("--forbid", choices=list(MADE), action="append", default=[], help="what must not be made; may be repeated")
    ask.add_argument("--quality", choices=list(QUALITIES), default="balanced")
    ask.add_argument("--seed", type=int)
    ask.add_argument("--temperature", type=float, help="0 always takes the likeliest word (default: the preset's)")
    ask.add_argument("--top-p", type=float, help="words are drawn from this share of the likelihood (default: the preset's)")
    ask.add_argument("--max-new-tokens", type=int, help="length of the text (default: the preset's)")
    ask.add_argument("--guidance", type=float, default=0.0, help="0: the model's own")
    ask.add_argument("--steps", type=int, default=0, help="0: by --quality")
    ask.add_argument("--seconds", type=float, default=0.0, help="length of a sound; 0: the model's own")
    ask.add_argument("--frames", type=int, default=0, help="length of a video; 0: the model's own")

    command("test", lambda options: None, "prepare the test environment and run the tests; what follows goes to pytest")
    for name, (_, text) in PASSED_ON.items():
        command(name, lambda options: None, text)

    plan = command("plan", run_plan, "where the parts of a preset go in a GPU's memory")
    plan.add_argument("preset", nargs="?", default="7b", help="7b, nano or a folder (default: %(default)s)")
    plan.add_argument("--vram", type=float, default=24.0, metavar="GIB", help="the GPU's memory (default: %(default)s)")
    plan.add_argument("--ram", type=float, metavar="GIB", help="free main memory, for what the GPU does not hold (default: enough)")
    plan.add_argument("--precision", help=f"{PRECISION_HELP}, or a smaller one where that does not fit, as at run time)")
    plan.add_argument("--pixels", type=int, help="side of a picture (default: the preset's)")
    plan.add_argument("--frames", type=int, help="length of a video (default: the preset's)")
    plan.add_argument("--seconds", type=float, help="length of a sound (default: the preset's)")
    plan.add_argument("--picture", type=Path, metavar="FILE", help="also draw it as a picture")

    convert = command("convert", run_convert, "turn the published NExT-GPT weights into parts that are checked")
    convert.add_argument("source", type=Path, help="the published pytorch_model.pt")
    convert.add_argument("preset", nargs="?", default="7b", help="whose parts they become (default: %(default)s)")
    convert.add_argument("--out", type=Path, help="folder to write to (default: the preset's own)")
    return top


def run_chat(options: argparse.Namespace) -> int:
    """Open the page at once; the model loads behind it."""
    settings = read_settings()
    auth = credentials(options.auth or [])
    free_port(options.host, options.port)
    sampling = module("nextgpt_core.config").load_preset(options.preset).sampling  # what is wrong with it is said at once
    print("Starting the page…", flush=True)
    from app.chat import make_page, serve
    from app.desktop import open_page

    page = make_page(
        lambda: load_engine(options.preset, options.precision), settings, name=options.preset, seed=options.seed, sampling=sampling
    )
    address = serve(page, settings, host=options.host, port=options.port, share=options.share, auth=auth, wait=False)
    print(f"The chat is at {address} (stop it with Ctrl+C).", flush=True)
    if not options.no_browser:
        open_page(address)
    page.block_thread()
    return 0


def run_ask(options: argparse.Namespace) -> int:
    """One turn; the answer's text to the terminal, media into --out."""
    from app.files import check
    from nextgpt_core.messages import Media, MediaFailed, MediaReady, Message, TextDelta, TurnDone

    settings = read_settings()
    if not options.text.strip() and not options.file:
        raise ConfigError('There is nothing to answer; write a message: launch.py ask "what is this?" --file photo.jpg')
    if len(options.text) > settings.max_text:
        raise ConfigError(f"This message has {len(options.text):,} characters and {settings.max_text:,} are read at most; shorten it.")
    if len(options.file) > settings.max_files:
        raise ConfigError(f"{len(options.file)} files are too many for one message; send at most {settings.max_files}.")
    turn_settings = ask_choices(options).turn_settings()
    media, problems = [], []
    for path in options.file:
        found = check(path)
        if found.problem:
            problems.append(found.problem)
        else:
            media.append(Media(found.modality, path, {"summary": found.summary}))
    for problem in problems:
        print(f"Not used: {problem}", file=sys.stderr)
    if problems and not media and not options.text.strip():
        return 1
    engine = load_engine(options.preset, options.precision)
    options.out.mkdir(parents=True, exist_ok=True)
    message = Message("user", (*media, options.text) if options.text else tuple(media))
    result: dict[str, Any] = {"text": "", "media": [], "failed": [], "left_out": problems}
    for event in engine.turn([message], turn_settings, cancel=threading.Event(), out_dir=options.out):
        if isinstance(event, TextDelta):
            if not options.json:
                print(event.text, end="", flush=True)
        elif isinstance(event, MediaReady):
            made = event.media
            result["media"].append({"modality": made.modality, "path": str(made.path), "seed": made.info.get("seed"), "info": made.info})
            if not options.json:
                print(f"\n[{made.modality}: {made.path}]", flush=True)
        elif isinstance(event, MediaFailed):
            result["failed"].append({"modality": event.modality, "reason": event.reason})
            print(f"\nThe {event.modality} could not be made: {event.reason}", file=sys.stderr)
        elif isinstance(event, TurnDone):
            result |= {"text": event.message.text, "seed": event.seed, "seconds": event.seconds, "finish_reason": event.finish_reason}
            result["spans"] = [{"modality": span.modality, "start": span.start, "length": span.length} for span in event.spans]
    print(json.dumps(result, ensure_ascii=False, indent=2, default=str) if options.json else "")
    return 0


def run_plan(options: argparse.Namespace) -> int:
    """Print where everything goes; status 1 where it does not fit."""
    from nextgpt_core.config import load_preset
    from nextgpt_core.placement import parts, plan, report

    preset = load_preset(options.preset)
    sizes = parts.sizes_of(preset, pixels=options.pixels, frames=options.frames, seconds=options.seconds)
    found = plan.plan(preset, options.vram, options.precision, sizes=sizes, ram=options.ram)
    print(report.table(found))
    if options.picture:
        report.picture(found, options.picture)
    return 0 if found.fits else 1


def run_convert(options: argparse.Namespace) -> int:
    """Write the parts and say where their manifest is."""
    preset = module("nextgpt_core.config").load_preset(options.preset)
    manifest = module("nextgpt_core.published.convert").convert(options.source, preset, folder=options.out)
    print(f"Converted; the parts are listed in {manifest}.")
    return 0


def ask_choices(options: argparse.Namespace) -> Choices:
    """The options of `ask` as the page's choices."""
    return Choices(
        answer=options.answer,
        forbid=tuple(options.forbid),
        temperature=options.temperature,
        top_p=options.top_p,
        max_new_tokens=options.max_new_tokens,
        guidance=options.guidance,
        steps=options.steps or QUALITIES[options.quality] or 0,
        seconds=options.seconds,
        frames=options.frames,
        seed=options.seed,
    )


def load_engine(preset: str, precision: str | None = None) -> Any:
    """Preset name or folder -> engine. Slow: this is where torch is imported and weights are read."""
    return module("nextgpt_core.engine").Engine.load(preset, precision=precision)


def credentials(given: list[str]) -> list[tuple[str, str]] | None:
    """NAME:PASSWORD pairs. Raises ConfigError."""
    pairs = [one.partition(":") for one in given]
    if any(not name or not password for name, _, password in pairs):
        raise ConfigError("--auth wants NAME:PASSWORD, neither of them empty.")
    return [(name, password) for name, _, password in pairs] or None


def free_port(host: str, port: int) -> None:
    """Raises ConfigError where the port cannot be had."""
    if not 0 < port < 65536:
        raise ConfigError(f"--port must be between 1 and 65535, not {port}.")
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return
    except OSError as error:
        raise ConfigError(
            f"Port {port} on {host} cannot be had, something else may use it; choose another one with --port {port + 1}."
        ) from error


def module(name: str) -> Any:
    """A part of the core by name. Raises ConfigError where this copy of the project lacks it."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (error.name == name or name.startswith(error.name)):
            raise ConfigError(f"This copy of the project has no {name}; get a complete one.") from error
        raise


if __name__ == "__main__":
    sys.exit(main())
