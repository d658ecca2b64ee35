"""What one update of a streaming answer costs the page's server, after 0, 10 and 30 turns with media: python -m benchmarks.page

Render, postprocess, difference to the last update, JSON: what is done to a conversation between a new word and the wire.
"""

import asyncio
import os
import tempfile
import threading
import time
from pathlib import Path

UPDATES = 60


def main() -> None:
    folder = tempfile.mkdtemp()
    os.environ["GRADIO_TEMP_DIR"] = folder
    import gradio as gr
    import orjson
    from gradio.state_holder import SessionState

    from app.conversation import Conversation, Turn
    from app.files import FileStore
    from app.page import Page, Ready
    from app.render import Renderer
    from nextgpt_core.messages import TextDelta, TurnSettings
    from tests.app.fake_engine import FakeEngine

    store = FileStore(Path(folder) / "kept")
    renderer = Renderer(store)
    with Page() as page:
        chat = gr.Chatbot()
        page.load(lambda: {}, None, [chat])
    function, state = page.fns[0], SessionState(page)
    engine, conversation = FakeEngine(word_seconds=0, step_seconds=0), Conversation()

    def wire(run: str) -> bytes:
        data = asyncio.run(page.postprocess_data(function, {chat: Ready(renderer.render(conversation, "en"))}, state))
        return orjson.dumps(page.handle_streaming_diffs(function, data, session_hash="a", run=run, final=False))

    for turns in (0, 10, 30):
        while len(conversation.turns) < turns:
            conversation.turns.append(Turn("a picture and a film"))
            answer = conversation.turns[-1].answer
            for event in engine.turn(
                conversation.messages(store), TurnSettings(), cancel=threading.Event(), out_dir=store.folder(conversation.id)
            ):
                answer.add(event, store)
        conversation.turns.append(Turn("a story"))
        answer = conversation.turns[-1].answer
        answer.status = "running"
        wire(str(turns))
        spent, sent = time.process_time(), 0
        for _ in range(UPDATES):
            answer.add(TextDelta("word "), store)
            sent += len(wire(str(turns)))
        spent = time.process_time() - spent
        print(f"after {turns:2} turns: {spent / UPDATES * 1000:5.1f} ms of processor time and {sent / UPDATES:6.0f} bytes an update")
        conversation.turns.pop()


if __name__ == "__main__":
    main()
