"""The foldable panel of an answer: the system's picture with what was active lit, the signal spans, a bar per stage."""

from html import escape

from app.conversation import Answer, Turn
from app.i18n import TEXTS, noun, say
from nextgpt_core.modalities import MODALITIES as SPECS

MODALITIES = ("image", "audio", "video")
ROWS = {"image": 34, "audio": 84, "video": 134}
BOX, LINE = 36, 16  # heights of a box and of a line of words; widths are below


def routing_panel(turn: Turn, language: str) -> str:
    """HTML of the panel, folded."""
    answer = turn.answer
    facts = say("tokens", language, prompt=answer.prompt_tokens, generated=answer.generated_tokens)
    return (
        f'<details class="nx-routing"><summary>{say("routing", language)}</summary>'
        f"{system_picture(turn, language)}"
        f'<p class="nx-facts">{facts}</p>{_spans(answer, language)}{_times(answer, language)}</details>'
    )


def system_picture(turn: Turn, language: str) -> str:
    """The paper's figure as SVG: encoders, input projection, language model, output projections, decoders."""
    heard = {file.modality for file in turn.files}
    fired = {span["modality"] for span in turn.answer.spans}
    parts: list[str] = []

    def box(x: int, y: int, width: int, label: str, lit: bool, height: int = BOX) -> None:
        kind, middle = "on" if lit else "off", x + width / 2
        words = label.split(" ") if height > BOX else [label]  # the tall box has room for a line per word
        top = y + height / 2 + 4 - LINE / 2 * (len(words) - 1)
        lines = "".join(f'<text x="{middle}" y="{top + LINE * line}">{escape(word)}</text>' for line, word in enumerate(words))
        parts.append(f'<g class="{kind}"><rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>{lines}</g>')

    def line(x1: int, x2: int, y: float, lit: bool) -> None:
        parts.append(f'<path class="{"on" if lit else "off"}" d="M{x1} {y} H{x2}"/>')

    for modality in MODALITIES:
        y = ROWS[modality] + BOX / 2
        line(70, 90, y, modality in heard)
        line(176, 206, y, modality in heard)
        line(292, 322, y, modality in heard)
        line(422, 452, y, modality in fired)
        line(548, 578, y, modality in fired)
        line(664, 684, y, modality in fired)
    line(70, 322, 202, bool(turn.text))
    line(422, 684, 202, bool(turn.answer.text))
    for modality in MODALITIES:
        name, y = noun(modality, language), ROWS[modality]
        box(6, y, 64, name, modality in heard)
        box(90, y, 86, say("encoder", language), modality in heard)
        box(206, y, 86, "→ LLM", modality in heard)
        box(452, y, 96, f"[{SPECS[modality].signal}] →", modality in fired)
        box(578, y, 86, say("decoder", language), modality in fired)
        box(684, y, 64, name, modality in fired)
    box(6, 184, 64, say("text", language), bool(turn.text))
    box(684, 184, 64, say("text", language), bool(turn.answer.text))
    box(322, 34, 100, say("llm", language), True, height=186)
    heads = [(133, "encoders"), (249, "input_projection"), (500, "output_projection"), (621, "decoders")]
    titles = "".join(f'<text class="head" x="{x}" y="20">{escape(say(key, language))}</text>' for x, key in heads)
    label = escape(say("routing", language))
    drawn = f'<svg class="nx-system" viewBox="0 0 754 226" role="img" aria-label="{label}">{titles}{"".join(parts)}</svg>'
    return f'<div class="nx-system-frame" tabindex="0">{drawn}</div>'  # on a phone it is moved sideways, also by keys


def stage(name: str, language: str) -> str:
    """A stage of the engine as a person reads it; what the page does not know keeps its name."""
    if name in SPECS:
        return noun(name, language)
    return say(f"stage_{name}", language) if f"stage_{name}" in TEXTS else name


def _spans(answer: Answer, language: str) -> str:
    if not answer.spans:
        return f'<p class="nx-facts">{say("no_spans", language)}</p>'
    items = "".join(
        "<li>"
        + escape(say("span", language, noun=noun(span["modality"], language), start=span["start"], end=span["start"] + span["length"] - 1))
        + "</li>"
        for span in answer.spans
    )
    return f"<h4>{say('spans', language)}</h4><ul>{items}</ul>"


def _times(answer: Answer, language: str) -> str:
    stages = {name: seconds for name, seconds in answer.seconds.items() if name != "total" and seconds > 0}
    if not stages:
        return ""
    longest = max(stages.values())
    rows = "".join(
        f'<div class="nx-time"><span>{escape(stage(name, language))}</span><i style="width:{max(1.0, 100 * seconds / longest):.1f}%"></i>'
        f"<b>{seconds:.2f} s</b></div>"
        for name, seconds in stages.items()
    )
    return f'<h4>{say("times", language)}</h4><div class="nx-times">{rows}</div>'
