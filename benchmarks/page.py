"""What one update of a streaming answer costs the page's server, after 0, 10, 30 and 100 turns with media: python -m benchmarks.page

Render, search for files, addresses, difference to the last update, JSON: what is done to a conversation between a new word and the wire.
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
    from gradio.processing_utils import add_root_url
    from gradio.state_holder import SessionState

    from app.conversation import Conversation, Turn
    from app.files import FileStore
    from app.page import Page
    from app.render import Renderer
    from nextgpt_core.messages import TextDelta, TurnSettings
    from tests.app.fake_engine import FakeEngine

    store = FileStore(Path(folder) / "kept")
    renderer = Renderer(store)
    with Page() as page:
        chat = gr.Chatbot()
        page.load(lambda: {}, None, [chat], postprocess=False)  # as app/chat.py has it
    function, state = page.fns[0], SessionState(page)
    engine, conversation = FakeEngine(word_seconds=0, step_seconds=0), Conversation()

    loop = asyncio.Runner()

    def wire(run: str) -> bytes:
        data = loop.run(page.postprocess_data(function, {chat: renderer.render(conversation, "en")}, state))
        data = add_root_url(data, "http://127.0.0.1:7860", None)
        return orjson.dumps(page.handle_streaming_diffs(function, data, session_hash="a", run=run, final=False))

    for turns in (0, 10, 30, 100):
        while len(conversation.turns) < turns:
            conversation.turns.append(Turn("a picture and a video"))
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
        print(f"after {turns:3} turns: {spent / UPDATES * 1000:5.1f} ms of processor time and {sent / UPDATES:6.0f} bytes an update")
        conversation.turns.pop()
    loop.close()


if __name__ == "__main__":
    main()
