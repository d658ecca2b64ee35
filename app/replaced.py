"""The inner parts of Gradio that the page replaces, sets or looks into, and why. All else of it is used as it is documented.

A new version of Gradio may change any of these without a word. So each row carries a digest of the source that it was written against;
tests/app/test_replaced.py compares them, and shows for each that the fault is still there without it: a row whose fault has gone is deleted
with what it stands for. What else could break silently is the wording between browser and server (streams.py), which the same tests read.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Inner:
    """One inner part of Gradio."""

    name: str  # of what is replaced, set or looked into
    here: str  # what does so
    why: str  # what a person would notice without it
    source: str  # what decides how it works, in Gradio
    digest: str  # of that source, in Gradio 6.31.0
    upstream: str = ""  # Gradio's own thread about it, where there is one


INNER = (
    Inner(
        name="gradio.blocks.Blocks.postprocess_data",
        here="app.page.Page.postprocess_data",
        why="an answer grows in jumps, five a second: an update of twelve components takes 16 ms, of which the one that changed takes 0.1",
        source="gradio.blocks.Blocks.postprocess_data",
        digest="5f6a865a3446ba0b",
        upstream="https://github.com/gradio-app/gradio/issues/6357 (its answer, gr.skip(), spares the browser the work and not the server)",
    ),
    Inner(
        name="gradio.blocks.Blocks.handle_streaming_diffs",
        here="app.page.Page.handle_streaming_diffs",
        why="a message box that was sent is not emptied where the browser is late; a shorter conversation is shown wrongly",
        source="gradio.blocks.Blocks.handle_streaming_diffs",
        digest="6023f1a42fe834a4",
        upstream="https://github.com/gradio-app/gradio/pull/7102 (differences), /pull/11147 and /pull/11506 (deleted items)",
    ),
    Inner(
        name="gradio.utils.diff",
        here="app.page.whole_if_wrong",
        why="as above: it reads the differences that this function makes",
        source="gradio.utils.diff",
        digest="06eace6b99ed23a3",
        upstream="https://github.com/gradio-app/gradio/pull/11506",
    ),
    Inner(
        name="gradio.queueing.Queue.sleep_when_free",
        here="app.page.Page.queue",
        why="a server with nothing to do takes 8 % of a core, and a laptop's battery",
        source="gradio.queueing.Queue.start_processing",
        digest="d65be5a5cbed97d7",
    ),
    Inner(
        name="gradio.queueing.Queue.progress_update_sleep_when_free",
        here="app.page.Page.queue",
        why="as above",
        source="gradio.queueing.Queue.start_progress_updates",
        digest="7cbbec1cf932324c",
    ),
    Inner(
        name="gradio.processing_utils.async_ssrf_protected_get",
        here="app.private.no_download",
        why="a stranger has this server fetch any address of the internet, and store what is there",
        source="gradio.processing_utils.async_ssrf_protected_download",
        digest="01dca5b9abc47af9",
        upstream="https://github.com/gradio-app/gradio/pull/13596 (the same of another route, which private.py refuses)",
    ),
    Inner(
        name="gradio.route_utils.GradioMultiPartParser",
        here="app.private.NamelessUploads",
        why="files lie on the server's disk under a person's own names for them, and the page shows these with letters missing",
        source="gradio.route_utils.GradioMultiPartParser.on_part_end",
        digest="820490b94660b983",
        upstream="https://github.com/gradio-app/gradio/issues/10451",
    ),
    Inner(
        name="gradio.state_holder.StateHolder",
        here="app.chat.drop_sessions",
        why="a busy server's memory fills with tabs that were closed long ago, or a tab that is open is forgotten",
        source="gradio.state_holder.StateHolder",
        digest="7a180698da5191bc",
    ),
)
