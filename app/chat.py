"""The chat page: layout and wiring. What the events do is in actions.py, how answers look in render.py."""

import json
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

# Set before Gradio is imported: no analytics, no look-ups of newer versions, no hub.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# Gradio asks matplotlib, where it is installed, for its backend at every event.
os.environ.setdefault("MPLBACKEND", "agg")
# Gradio would make tables of all events after each one, for a view that this page does not have; so it does after so many.
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000")

import gradio as gr
from gradio.state_holder import StateHolder
from starlette.middleware import Middleware

from app.actions import Actions, Update, choices_from
from app.controls import SETTINGS, controls, example_message, examples
from app.files import FileStore
from app.first import FirstScript
from app.i18n import language_of, say, translations
from app.jobs import Desk, TurnMaker
from app.library import Library
from app.loading import Loader
from app.page import Page
from app.private import Private, generate_upload_names, refuse_downloads
from app.render import Renderer
from app.settings import ANSWERS, MADE, QUALITIES, Choices, Settings
from app.streams import KeptStreams
from app.tab import Tab
from app.translate import translated
from nextgpt_core.config import SamplingConfig
from nextgpt_core.modalities import ahead, warm

logger = logging.getLogger(__name__)

STYLE = Path(__file__).with_name("page.css")
SCRIPT = Path(__file__).with_name("page.js")
CLOSED_SECONDS = 3600.0  # how long a tab is remembered whose connection ended: it may come back
MAX_SESSIONS = 1000  # tabs that are remembered at most; one more, and the one that was not used for longest is asked to reload


def make_page(
    load: Callable[[], TurnMaker], settings: Settings, *, name: str, seed: int | None = None, sampling: SamplingConfig | None = None
) -> Page:
    """The page over an engine that `load` brings, in the background. `name` is the preset's; its `sampling` is where sliders begin."""
    data = settings.data_path
    os.environ["GRADIO_TEMP_DIR"] = str(data)  # uploads lie beside the results, and what lies here is served without a copy
    store = FileStore(data / "kept", keep_hours=settings.keep_hours, max_bytes=settings.max_store_gb * 2**30)
    warm()  # the first file need not wait for the process that reads it
    loader = Loader(load, name=name).start()
    desk = Desk(loader.engine, store, max_waiting=settings.max_waiting, reader=ahead)
    library = Library(store, max_conversations=settings.max_conversations)
    with Page(title="NExT-GPT Chat", fill_height=True, fill_width=True, analytics_enabled=False) as page:
        actions = Actions(settings, store, library, desk, loader, Renderer(store))
        parts = lay_out(settings, seed, sampling or SamplingConfig())
        wire(page, actions, parts)
    page.store = store
    start_sweeping(store, data, library, page)
    return page.queue(default_concurrency_limit=64)


def lay_out(settings: Settings, seed: int | None, sampling: SamplingConfig) -> dict[str, Any]:
    """All components, by name."""
    t = gr.I18n()
    parts: dict[str, Any] = {
        "tab": gr.State(Tab()),
        "saved": gr.BrowserState(None, storage_key="nextgpt-conversations", secret="nextgpt-conversations"),
        "timer": gr.Timer(1.0),
        "place": gr.Textbox(visible="hidden", label="place"),
        "touched": gr.Textbox(visible="hidden", label="touched"),
        "held": gr.Textbox(visible="hidden", label="held"),
        "mark": gr.Textbox(visible="hidden", label="mark"),
    }
    with gr.Sidebar(open=True, width=290, elem_id="nx-left"):
        gr.HTML('<p class="nx-brand">NExT-GPT <span>Chat</span></p>')
        parts["new"] = gr.Button(t("new"), variant="primary", elem_id="nx-new")
        parts["listing"] = gr.Radio([], label=t("conversations"), elem_id="nx-list")
        with gr.Row(elem_id="nx-files"):
            parts["export"] = gr.Button(t("export"), size="sm", elem_id="nx-export")
            parts["import"] = gr.UploadButton(str(t("import")), size="sm", file_types=[".zip"], elem_id="nx-import")
        parts["delete"] = gr.Button(t("delete"), size="sm", variant="stop", elem_id="nx-delete")
        parts["keeps"] = gr.Markdown(say("keeps", hours=f"{settings.keep_hours:g}"), elem_id="nx-keeps")
        parts["download"] = gr.DownloadButton("zip", visible="hidden", elem_id="nx-download")
    with gr.Sidebar(open=False, width=330, position="right", elem_id="nx-right"):
        gr.Markdown(t("settings"), elem_classes="nx-title")
        with gr.Column():
            parts |= controls(t, seed, sampling)
    with gr.Column(elem_id="nx-main"):
        parts["status"] = gr.HTML("", elem_id="nx-status")
        parts["chat"] = gr.Chatbot(
            label=t("conversation"),
            show_label=False,
            container=False,
            elem_id="nx-chat",
            height=None,
            scale=1,
            layout="bubble",
            buttons=["copy"],
            editable="user",
            allow_tags=False,
            placeholder=f"<h1>{say('hello')}</h1><p>{say('hello_more')}</p>",
            examples=list(examples("en")),
            feedback_options=None,
        )
        parts["chosen"] = gr.HTML("", elem_id="nx-chosen")
        with gr.Row(elem_id="nx-quick"):
            parts["answer"] = gr.Radio(list(ANSWERS), value="auto", label=t("answer"), elem_id="nx-answer", container=False)
            parts["quality"] = gr.Radio(list(QUALITIES), value="balanced", label=t("quality"), elem_id="nx-quality", container=False)
            with gr.Accordion(t("camera"), open=False, elem_id="nx-camera") as parts["camera"]:
                parts["webcam"] = gr.Image(
                    sources=["webcam"],
                    type="filepath",
                    format="png",
                    image_mode=None,  # the photo as it came, not a second file beside it
                    label=t("camera"),
                    show_label=False,
                    buttons=[],
                    height=260,
                )
        parts["box"] = gr.MultimodalTextbox(
            label=t("message"),
            show_label=False,
            placeholder=str(t("message_hint")),
            sources=["upload", "microphone"],
            file_count="multiple",
            lines=1,
            max_lines=8,
            max_plain_text_length=settings.max_text,
            autofocus=True,
            stop_btn=False,
            elem_id="nx-box",
        )
        parts["action"] = gr.Textbox(visible="hidden", elem_id="nx-action", label="action")
    return parts


def wire(page: gr.Blocks, actions: Actions, parts: dict[str, Any]) -> None:
    """Which event calls which action."""
    names = ("chat", "mark", "box", "touched", "listing", "place", "saved", "chosen", "seed", "lock", "steps", "guidance")
    outputs = [parts[name] for name in names]
    setting = [parts[name] for name in SETTINGS]
    tab, box, touched, chat = parts["tab"], parts["box"], parts["touched"], parts["chat"]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    ready: dict[str, Any] = {**quiet, "postprocess": False}  # events whose values `named` has made ready for the browser

    def named(update: Update) -> dict[Any, Any]:
        """Gradio's form of an update, and its values in the form in which the browser gets them: messages are so already (render.py), and
        left to Gradio each would be checked and copied at every word of an answer."""
        values = dict(update)
        if "saved" in update:  # one string, since Gradio looks for files in every part of a value
            values["saved"] = json.dumps(update["saved"], ensure_ascii=False)
        if "value" in update.get("box", {}):
            values["box"] = {**update["box"], "value": box.postprocess(update["box"]["value"]).model_dump()}
        return {parts[name]: value for name, value in values.items()} or gr.skip()

    async def shown(tab: Tab, first: Update) -> AsyncIterator[dict[Any, Any]]:
        """What an action changed, and then an answer in the making until it is done: one event from the beginning to the end, since between
        two of them Gradio may end the tab's stream (streams.py)."""
        yield named(first)
        async for update in actions.follow(tab):
            yield named(update)

    async def opened(tab: Tab, saved: Any, place: str, request: gr.Request) -> AsyncIterator[dict[Any, Any]]:
        async for update in shown(tab, actions.open(tab, read_saved(saved), place, request)):
            yield update

    async def sent(tab: Tab, message: Any, *values: Any) -> AsyncIterator[dict[Any, Any]]:
        async for update in shown(tab, await actions.send(tab, message, chosen(values))):
            yield update

    async def example(tab: Tab, event: gr.SelectData, *values: Any) -> AsyncIterator[dict[Any, Any]]:
        async for update in shown(tab, await actions.send(tab, example_message(int(event.index)), chosen(values))):
            yield update

    async def retried(tab: Tab, event: gr.RetryData, *values: Any) -> AsyncIterator[dict[Any, Any]]:
        async for update in shown(tab, actions.retry(tab, message_turn(event.index), chosen(values))):
            yield update

    async def edited(tab: Tab, event: gr.EditData, *values: Any) -> AsyncIterator[dict[Any, Any]]:
        words = event.value if isinstance(event.value, str) else str((event.value or {}).get("text", ""))
        async for update in shown(tab, actions.edit(tab, message_turn(event.index), words, chosen(values))):
            yield update

    async def undone(tab: Tab, event: gr.UndoData) -> dict[Any, Any]:
        return named(actions.undo(tab, message_turn(event.index)))

    async def acted(tab: Tab, action: str, message: Any, *values: Any) -> AsyncIterator[dict[Any, Any]]:
        """A button inside the chat: "another:TURN:MEDIUM", "use:TURN:MEDIUM", "version:TURN:NUMBER" or "edit:TURN"."""
        verb, _, reference = action.partition("#")[0].partition(":")
        if verb == "another":
            first = actions.another(tab, reference, chosen(values))
        elif verb == "edit":
            first = actions.edit_in_box(tab, int(reference))
        else:
            first = actions.use(tab, reference, message) if verb == "use" else actions.version(tab, reference)
        async for update in shown(tab, first):
            yield update

    async def switched(tab: Tab, conversation_id: str) -> AsyncIterator[dict[Any, Any]]:
        async for update in shown(tab, actions.switch(tab, conversation_id)):
            yield update

    async def arrived(tab: Tab, mark: str) -> None:
        actions.shown(tab, mark)

    def chose(tab: Tab, message: Any, touched: str) -> dict[Any, Any]:
        return named(actions.chose(tab, message, touched))

    def shot(tab: Tab, message: Any, photo: str | None) -> dict[Any, Any]:
        return named(actions.shot(tab, message, photo))

    def status(request: gr.Request) -> tuple[Any, Any]:
        state, name, problem = actions.status()
        language = language_of(request)
        sentence = escape(say(state, language, name=name, problem=translated(problem, language)))
        return f'<p class="nx-status {state}" role="status">{sentence}</p>', gr.Timer(active=state == "loading")

    def furnish(request: gr.Request) -> dict[Any, Any]:
        """What Gradio does not translate itself: choices, examples, the greeting."""
        language = language_of(request)
        hours = f"{actions.settings.keep_hours:g}"
        return {
            parts["answer"]: gr.update(choices=[(say(one, language), one) for one in ANSWERS]),
            parts["quality"]: gr.update(choices=[(say(one, language), one) for one in QUALITIES]),
            parts["forbid"]: gr.update(choices=[(say(one, language), one) for one in MADE]),
            parts["keeps"]: say("keeps", language, hours=hours),
            chat: gr.update(
                placeholder=f"<h1>{say('hello', language)}</h1><p>{say('hello_more', language)}</p>", examples=examples(language)
            ),
        }

    page.load(furnish, None, [parts["answer"], parts["quality"], parts["forbid"], parts["keeps"], chat], **quiet)
    page.load(opened, [tab, parts["saved"], parts["place"]], outputs, js="(tab, saved) => [tab, saved, nextgpt.place()]", **ready)
    page.load(None, None, [box, touched], js="() => [nextgpt.draft(), String(Math.random())]", **quiet)
    parts["place"].change(None, [parts["place"]], None, js="(place) => nextgpt.keepPlace(place)", **quiet)
    gr.on([page.load, parts["timer"].tick], status, None, [parts["status"], parts["timer"]], **quiet)
    box.submit(sent, [tab, box, *setting], outputs, trigger_mode="multiple", **ready)
    chat.example_select(example, [tab, *setting], outputs, **ready)
    chat.retry(retried, [tab, *setting], outputs, **ready)
    chat.edit(edited, [tab, *setting], outputs, **ready)
    parts["action"].submit(acted, [tab, parts["action"], box, *setting], outputs, trigger_mode="multiple", **ready)
    parts["listing"].input(switched, [tab, parts["listing"]], outputs, trigger_mode="multiple", preprocess=False, **ready)
    box.stop(actions.stop, [tab], None, queue=False, **quiet)
    parts["mark"].change(arrived, [tab, parts["mark"]], None, queue=False, **quiet)
    chat.undo(undone, [tab], outputs, **ready)
    recalled = [parts[name] for name in ("chosen", "seed", "lock", "steps", "guidance")]
    # Each key changes the box, and stays in the browser; only other files are told to the server.
    gr.on([box.change, touched.change], None, [box, touched], [parts["held"]], js="nextgpt.held", **quiet)
    parts["held"].change(chose, [tab, box, touched], recalled, trigger_mode="always_last", **ready)
    parts["webcam"].change(shot, [tab, box, parts["webcam"]], [box, touched, parts["webcam"], parts["camera"]], **ready)
    parts["new"].click(lambda tab: named(actions.new(tab)), [tab], outputs, **ready)
    parts["delete"].click(lambda tab: named(actions.delete(tab)), [tab], outputs, **ready)
    parts["import"].upload(lambda tab, path: named(actions.bring(tab, path)), [tab, parts["import"]], outputs, **ready)
    parts["export"].click(actions.export, [tab], [parts["download"]], **quiet).success(
        None, None, None, js="() => setTimeout(() => document.querySelector('#nx-download')?.click(), 100)"
    )


def read_saved(saved: Any) -> Any:
    """What the browser kept: JSON, or what an earlier version of this page left there."""
    try:
        return json.loads(saved) if isinstance(saved, str) else saved
    except (ValueError, RecursionError):
        return None


def chosen(values: tuple[Any, ...]) -> Choices:
    """The settings' values, in the order of SETTINGS, as choices."""
    return choices_from(dict(zip(SETTINGS, values, strict=True)))


def message_turn(index: Any) -> int:
    """The turn that a message of the Chatbot belongs to: there are two messages per turn."""
    return int(index[0] if isinstance(index, list | tuple) else index) // 2


def start_sweeping(store: FileStore, data: Path, library: Library, page: gr.Blocks) -> None:
    """Delete what is older than the set time, uploads and forgotten tabs too, now and every few minutes."""

    def sweep() -> None:
        while True:
            try:
                store.sweep(within=data)
                library.forget_old(store.keep_seconds)
                drop_sessions(page, store.keep_seconds)
            except Exception:  # the next pass must come; the reason is in the log
                logger.exception("old files could not be swept")
            time.sleep(min(600.0, store.keep_seconds / 10))

    threading.Thread(target=sweep, name="sweeping", daemon=True).start()


def drop_sessions(page: gr.Blocks, keep_seconds: float) -> None:
    """Forget tabs that were closed, or not used for the set time. Gradio would keep each until there are thousands; its own end of a State
    counts from the opening, also for a tab in use whose connection was away for a moment."""
    holder: StateHolder | None = getattr(page, "state_holder", None)  # there is none before the page is served
    if holder is None:
        return
    for session, used in list(holder.time_last_used.items()):
        tab, idle = holder.session_data.get(session), (datetime.now() - used).total_seconds()
        if idle > (CLOSED_SECONDS if tab is None or tab.is_closed else max(keep_seconds, CLOSED_SECONDS)):
            with holder.lock:
                holder.session_data.pop(session, None)
                holder.time_last_used.pop(session, None)


def serve(
    page: Page,
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = 7860,
    share: bool = False,
    auth: list[tuple[str, str]] | None = None,
    wait: bool = True,
) -> str:
    """Serve the page; returns its address (at once where `wait` is False)."""
    refuse_downloads()
    generate_upload_names()
    private = Middleware(Private, store=page.store, max_bytes=settings.max_request_mb * 2**20)
    _, local, shared = page.launch(
        server_name=host,
        server_port=port,
        share=share,
        auth=auth,
        max_file_size=settings.max_upload_mb * 2**20,
        i18n=translations(),
        theme=theme(),
        css_paths=STYLE,
        head=f"<script>{SCRIPT.read_text()}</script>",
        footer_links=[],
        ssr_mode=False,
        quiet=True,
        show_error=True,
        prevent_thread_lock=True,
        enable_monitoring=False,
        state_session_capacity=MAX_SESSIONS,
        run_history=False,  # Gradio would keep a second copy of what was sent, here or at Hugging Face
        app_kwargs={"middleware": [Middleware(FirstScript), private, Middleware(KeptStreams)]},
    )
    if wait:
        page.block_thread()
    return shared or local


def theme() -> gr.themes.Base:
    """Calm, with the system's own fonts: nothing is fetched from elsewhere."""
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]
    soft = gr.themes.Soft(
        primary_hue="teal", secondary_hue="teal", neutral_hue="slate", font=fonts, font_mono=["ui-monospace", "monospace"]
    )
    return soft.set(
        block_title_background_fill="transparent",
        block_title_text_color="*body_text_color",
        block_title_padding="0",
        checkbox_border_color="*neutral_400",
        input_border_color="*neutral_300",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
    )
