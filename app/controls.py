"""The settings' controls of the page, each with a help text, and the examples to start with."""

from typing import Any

import gradio as gr

from app.settings import MADE, PAGE_MOST, ROOT
from nextgpt_core.config import SamplingConfig

MEDIA = ROOT / "assets" / "examples"

# The names of all settings, in the order in which events hand their values over.
SETTINGS = (
    "answer",
    "quality",
    "forbid",
    "temperature",
    "top_p",
    "max_new_tokens",
    "guidance",
    "steps",
    "seconds",
    "frames",
    "seed",
    "lock",
)

# Six ways to begin: (what is sent, a file in assets/examples or nothing). The bundled model was taught in English.
EXAMPLES: tuple[tuple[str, str], ...] = (
    ("Draw a red apple on a blue background.", ""),
    ("What is in this picture?", "picture.png"),
    ("Let me hear a violin.", ""),
    ("What do I hear? Show me a picture of it.", "sound.wav"),
    ("Make a video of a rocket moving up.", ""),
    ("What happens in this video?", "video.mp4"),
)
SHOWN: tuple[tuple[str, str, str], ...] = (  # what stands on the buttons, and their icons
    ("Draw a red apple on a blue background", "画一个蓝色背景上的红苹果", "apple"),
    ("What is in this picture?", "这张图片里是什么?", "picture"),
    ("Let me hear a violin", "让我听听小提琴", "violin"),
    ("What do I hear? Show me a picture of it", "我听到了什么?画出来", "ear"),
    ("Make a video of a rocket moving up", "做一段火箭上升的视频", "rocket"),
    ("What happens in this video?", "这段视频里发生了什么?", "video"),
)


def examples(language: str) -> list[dict[str, Any]]:
    """What the empty chat offers."""
    return [
        {"text": english, "display_text": chinese if language == "zh" else english, "icon": str(MEDIA / f"icon-{icon}.png")}
        for english, chinese, icon in SHOWN
    ]


def example_message(index: int) -> dict[str, Any]:
    """What an example sends."""
    words, file = EXAMPLES[index]
    return {"text": words, "files": [str(MEDIA / file)] if file else []}


def controls(t: gr.I18n, seed: int | None, sampling: SamplingConfig) -> dict[str, Any]:
    """The controls of the settings' panel, by name: what many change first, the rest folded. Sliders begin at the preset's `sampling`."""
    parts: dict[str, Any] = {}
    parts["forbid"] = gr.CheckboxGroup(list(MADE), label=t("forbid"), info=t("forbid_info"), elem_id="nx-forbid")
    with gr.Row():
        parts["seed"] = gr.Number(seed, label=t("seed"), info=t("seed_info"), precision=0, minimum=0, elem_id="nx-seed")
    parts["lock"] = gr.Checkbox(seed is not None, label=t("lock"), info=t("lock_info"), elem_id="nx-lock")
    with gr.Accordion(t("advanced"), open=False, elem_id="nx-advanced"):

        def slider(name: str, low: float, value: float, step: float) -> None:
            high = PAGE_MOST.get(name, 1)
            parts[name] = gr.Slider(low, high, value, step=step, label=t(name), info=t(f"{name}_info"), elem_id=f"nx-{name}")

        slider("temperature", 0, sampling.temperature, 0.05)
        slider("top_p", 0.05, sampling.top_p, 0.05)
        slider("max_new_tokens", 16, sampling.max_new_tokens, 2)
        slider("guidance", 0, 0, 0.5)
        slider("steps", 0, 0, 1)
        slider("seconds", 0, 0, 0.5)
        slider("frames", 0, 0, 1)
    return parts
