"""A plan as a person reads it: a table for the terminal, and a picture."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from nextgpt_core.placement.parts import GIB
from nextgpt_core.placement.plan import CPU, GPU, OFFLOADED, RESERVE, Plan


def table(plan: Plan) -> str:
    """For the terminal: a row per part, and the verdict."""
    lines = [f"{'part':<12} {'parameters':>12} {'weights':>10} {'at work':>10} {'kept':>9}  where", "-" * 70]
    for row in plan.rows:
        part = row.part
        lines.append(
            f"{part.name:<12} {part.parameters / 1e6:>10.1f} M {part.weights / GIB:>6.2f} GiB {part.activations / GIB:>6.2f} GiB "
            f"{part.kept / GIB:>5.2f} GiB  {row.where}"
        )
    lines.append("-" * 70)
    if plan.refusal is not None:
        lines.append(plan.refusal)
    else:
        lines.append(
            f"Fits: at most {plan.peak / GIB:.1f} of {plan.vram / GIB:.0f} GiB are used, while {plan.busiest} is at work "
            f"({plan.precision} language model)."
        )
        if plan.instead_of is not None:
            lines.append(f"Here {plan.instead()}.")
        if plan.ram is not None:
            short = plan.main_memory > plan.ram
            lines.append(
                f"Main memory: {plan.main_memory / GIB:.1f} GiB for what is not resident, {plan.ram / GIB:.1f} GiB are free"
                f"{', which is too little: close other programs.' if short else '.'}"
            )
        if slow := [row.part.name for row in plan.rows if row.where == CPU]:
            lines.append(f"On the CPU, many times slower: {', '.join(slow)}. Smaller media may fit: --pixels, --frames, --seconds.")
    return "\n".join(lines)


def picture(plan: Plan, path: Path) -> None:
    """The same as bars: what stays on the GPU, and what comes on top while each part is at work."""
    colours = {"llm": "#4c6ef5", "projections": "#74c0fc", "encoder": "#12b886", "image": "#f59f00", "video": "#e64980", "audio": "#7950f2"}
    wide, bar, left, top = 900, 34, 130, 60
    image = Image.new("RGB", (wide, top + (bar + 14) * (len(plan.rows) + 1) + 40), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(15)
    scale = (wide - left - 30) / (max(plan.vram, plan.peak) * 1.05)

    def line(index: int, name: str, *blocks: tuple[float, str, str | None], note: str = "") -> None:
        """Blocks of (bytes, colour, outline), one behind the other."""
        y, at = top + index * (bar + 14), float(left)
        for size, colour, outline in blocks:
            draw.rectangle((at, y, at + size * scale, y + bar), fill=colour, outline=outline)
            at += size * scale
        draw.text((10, y + 8), name, fill="black", font=font)
        draw.text((left + 8, y + 8), note, fill="black", font=font)

    title = f"{plan.preset} in {plan.vram / GIB:.0f} GiB, {plan.precision} language model: "
    draw.text((10, 15), title + ("fits" if plan.fits else "does not fit"), fill="black", font=font)
    always = (RESERVE + sum(row.part.kept for row in plan.rows), "#ced4da", None)
    stays = [(row.part.weights, colours.get(row.part.name, "#868e96"), None) for row in plan.rows if row.where == GPU]
    line(0, "resident", always, *stays)
    for index, row in enumerate(plan.rows, start=1):
        colour = colours.get(row.part.name, "#868e96")
        visits = [(row.part.weights, colour, None)] if row.where == OFFLOADED else []
        if row.where == CPU:
            line(index, row.part.name, always, note="on the CPU")
        else:
            resident = (sum(size for size, *_ in stays), "#e9ecef", None)
            line(index, row.part.name, always, resident, *visits, (row.part.activations, "white", colour))
    limit = left + plan.vram * scale
    draw.line((limit, top - 8, limit, image.height - 34), fill="#e03131", width=2)
    note = "grey: reserve, cache and resident parts; full: weights brought in for the moment; outlined: activations; red: the GPU's memory"
    draw.text((10, image.height - 26), note, fill="#495057", font=ImageFont.load_default(13))
    image.save(path)
