"""The trained bridges between the frozen parts. A new kind of input projection is one class and one line in input.py's table."""

from nextgpt_core.config import Preset, require_known
from nextgpt_core.projections.input import INPUT_KINDS, InputProjection
from nextgpt_core.projections.output import OutputProjection


def make_projections(preset: Preset, *, llm_width: int) -> tuple[InputProjection, dict[str, OutputProjection]]:
    """A preset's projections, not trained yet: that of the encoder's vectors, and by modality those of the signal tokens' states."""
    require_known(preset.input_projection.kind, INPUT_KINDS, where=f"{preset.name}: input_projection.kind")
    into = InputProjection(
        kind=preset.input_projection.kind,
        encoder_width=preset.encoder.width,
        llm_width=llm_width,
        tokens=preset.encoder.tokens,
        shared=preset.input_projection.shared,
        spread=preset.input_projection.spread,
    )
    out = {
        modality: OutputProjection(llm_width=llm_width, condition_shape=output.condition_shape, width=output.width, layers=output.layers)
        for modality, output in preset.outputs.items()
    }
    return into, out
