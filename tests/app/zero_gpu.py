"""A stand-in for ZeroGPU's scheduler, and a program that runs turns in slots of the real `spaces` package. No GPU: what would initialise
CUDA in a slot is left out; that a slot is a forked process, and what crosses its border, is real."""

import json
import sys
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlparse

from tests.server import Handler, Server


class Scheduler(Server):
    """Grants every slot, or none where `quota` is spent. `calls` lists what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, list[str]]]] = []
        self.quota = True
        scheduler = self

        class Asked(Handler):
            def do_POST(self) -> None:
                url = urlparse(self.path)
                scheduler.calls.append((url.path, parse_qs(url.query)))
                granted = {"idle": False, "nvidiaIndex": 0, "nvidiaUUID": "GPU-0", "allowToken": "token"}
                refused = {"left": 10, "wait": 3600}
                body = json.dumps(granted if scheduler.quota else refused).encode()
                self.send_response(200 if scheduler.quota or url.path != "/schedule" else 429)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        super().__init__(Asked)


def main(out: Path, *messages: str) -> None:
    """Launch a page as app_space does, with the tests' engine; one turn per message. Prints what came of each as JSON."""
    import torch

    sys.modules["bitsandbytes"] = None  # type: ignore[assignment]  # where it is installed, it would look for that CUDA's libraries
    torch.version.cuda, torch._C._cuda_init, torch.cuda._is_in_bad_fork = "12.8", None, bool  # as in a build with CUDA
    import gradio as gr
    import spaces.zero

    import app_space
    from nextgpt_core.errors import NextGPTError
    from nextgpt_core.messages import Message, TextDelta, TurnSettings
    from tests.app.fake_engine import FakeEngine

    for name in ("unpatch", "init", "move"):
        setattr(spaces.zero.torch, name, lambda *args, **kwargs: None)
    spaces.zero.gradio._orig_launch = lambda *args, **kwargs: None
    on_gpu = torch.zeros(2).to("cuda").device.type  # stood in for, in this thread
    engine = app_space.SlotEngine(FakeEngine(word_seconds=0, step_seconds=0.01))
    gr.Blocks.launch(gr.Blocks())
    results = []
    for text in messages:
        cancel = threading.Event()
        said: list[str] = []
        try:
            for event in engine.turn([Message("user", (text,))], TurnSettings(seed=1), cancel=cancel, out_dir=out):
                said.append(type(event).__name__)
                if "endless" in text and isinstance(event, TextDelta):
                    cancel.set()
        except NextGPTError as error:
            said.append(f"{type(error).__name__}: {error}")
        results.append(said)
    print(json.dumps({"zero_gpu": app_space.ZERO_GPU, "on_gpu": on_gpu, "turns": results}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
