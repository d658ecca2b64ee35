"""The page over the fake engine, as a process: python -m tests.browser.serve_fake --port 7999."""

import argparse
import time
from pathlib import Path

from app.chat import make_page, serve
from app.settings import read_settings
from tests.app.fake_engine import FakeEngine

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--loaded-when", type=Path, help="the model has loaded when this file is there")
    parser.add_argument("--step-seconds", type=float, default=0.03)
    parser.add_argument("--auth", action="store_true")
    options = parser.parse_args()

    def load() -> FakeEngine:
        while options.loaded_when and not options.loaded_when.exists():
            time.sleep(0.05)
        return FakeEngine(word_seconds=0.01, step_seconds=options.step_seconds, steps=10)

    settings = read_settings()
    page = make_page(load, settings, name="fake")
    serve(page, settings, port=options.port, auth=[("ada", "secret")] if options.auth else None)
