"""Which added token is which row? The published file does not say, but the model does: it continues a span until its last token.

Upstream saves added_tokens.json beside the weights, and `convert` compares it. Where that file is lost, the language model itself is asked
once: trained on complete spans, it follows each signal token by the next one, and the last of a span by something else.
"""

import logging
from collections.abc import Sequence
from itertools import pairwise

import torch

from nextgpt_core.checkpoints import read_manifest, write_facts
from nextgpt_core.config import Preset
from nextgpt_core.errors import CheckpointMismatch
from nextgpt_core.model import NextGPT

log = logging.getLogger(__name__)
TOLD, ASKED, UNKNOWN = "added_tokens.json", "the model's own spans", "unknown"  # what a manifest says of its order
_PROMPT = "### Human: Show me a dog on the grass.\n### Assistant: A dog on the grass."  # the form that the spans were learnt in


def confirm_token_order(preset: Preset, model: NextGPT) -> None:
    """Ask the model once, where the manifest says that its order is unknown. Raises CheckpointMismatch where it is clearly another one.

    What the model says less clearly is a warning: a published file must not be turned away because it is unsure.
    """
    if read_manifest(preset.folder).get("token_order") != UNKNOWN:
        return
    wanted = [len(tokens) for tokens in model.signals.values()]
    found = span_lengths(model)
    if found == wanted:
        write_facts(preset.folder, {"token_order": ASKED})
        return
    if sorted(found) == sorted(wanted):
        raise CheckpointMismatch(
            f"{preset.name}: the file's spans are {_listed(found)} tokens long, in this order, and the preset's "
            f"({', '.join(model.signals)}) {_listed(wanted)}: its tokens were added in another order. "
            "Put its added_tokens.json beside it and convert again."
        )
    log.warning("%s: the order of the added tokens could not be confirmed; if media are made of the wrong kind, this is why", preset.name)


@torch.no_grad()
def span_lengths(model: NextGPT) -> list[int]:
    """How long the spans are that the model would write, from the first signal token's id to the last's."""
    llm = model.llm
    signals = sorted(token for span in model.signals.values() for token in span)
    words = [llm.tokenizer.control("<s>"), *llm.tokenizer.encode(_PROMPT)]
    ids = torch.tensor([[*words, *signals]], device=llm.device)
    states = llm(llm.embed(ids))[0, len(words) :]  # [signals, d]
    follows = llm.logits(states).argmax(-1).tolist()
    ends = [index for index, token in enumerate(signals) if follows[index] != token + 1]
    return [end - before for before, end in pairwise([-1, *ends])]


def _listed(lengths: Sequence[int]) -> str:
    return ", ".join(map(str, lengths))
