"""Stages 2 and 3 of the original code on its tiny model: golden/tiny_training.json."""

import pytest
import torch
from torch import Tensor

from nextgpt_core.train.data import Batch, Group
from nextgpt_core.train.loop import batch_losses
from nextgpt_core.train.losses import alignment_loss, caption_loss, next_token_loss, parts_of
from tests import golden_model as golden
from tests.golden_rules import golden_input, golden_json, golden_weight

MODALITIES = {"TextToImage": "image", "TextToVideo": "video", "TextToAudio": "audio"}


def without_adapter(name: str, shape: list[int], scale: float) -> Tensor:
    """Stage 2 has no adapter yet, and so other names of the tables (weights follow from names)."""
    return torch.zeros(shape) if ".lora_" in name else golden_weight(name.replace("base_model.model.", ""), shape, scale)


def golden_batch(model: golden.NextGPT, case: dict, modality: str | None) -> Batch:
    """The original's rows: BOS, "### Human: ", then the sample's own tokens."""
    opening = [1, *model.llm.tokenizer.encode("### Human: ")]
    ids = torch.tensor([[*opening, *row] for row in case["input_ids"]])
    targets = torch.tensor(case["wrapped_targets"])
    assert ids.shape == targets.shape
    spans = {}
    if modality is not None:
        shape = golden.OUTPUTS[modality][2]
        wanted = [0.5 * golden_input(entry["seed"], entry["shape"]).reshape(shape) for entry in case["inputs"]["caption_embs"]]
        if modality == "audio":
            wanted = [torch.nn.functional.normalize(value, dim=-1) for value in wanted]
        rows, positions = (ids == model.signals[modality][0]).nonzero(as_tuple=True)
        spans[modality] = Group(rows, positions, torch.stack(wanted))
    return Batch(ids, targets, {}, spans)


@pytest.mark.parametrize(("stage", "name"), [*((stage, name) for stage in "23" for name in MODALITIES), ("3", "TextToText")])
def test_losses_equal_the_originals(stage: str, name: str, monkeypatch: pytest.MonkeyPatch):
    case = golden_json("tiny_training.json")["stages"][stage]["cases"][name]
    if stage == "2":
        monkeypatch.setattr(golden, "golden_weight", without_adapter)
    model = golden.golden_model()
    batch = golden_batch(model, case, MODALITIES.get(name))
    embedded = model.llm.embed(batch.ids)
    assert embedded.sum().item() == pytest.approx(case["inputs_embeds_sum"], abs=1e-3)
    losses = batch_losses(model, batch, model.llm(embedded))
    assert losses["next_token"].item() == pytest.approx(case["lm_loss"], abs=1e-4)
    if name != "TextToText":
        assert losses["alignment"].item() == pytest.approx(case["mse_loss"], abs=1e-4)
        weight = 2.0 if (stage, name) == ("3", "TextToVideo") else 1.0
        assert (losses["next_token"] + weight * losses["alignment"]).item() == pytest.approx(case["loss"], abs=2e-4)


def test_gradient_of_the_output_projection_equals_the_originals(monkeypatch: pytest.MonkeyPatch):
    case = golden_json("tiny_training.json")["stages"]["2"]["cases"]["TextToImage"]
    monkeypatch.setattr(golden, "golden_weight", without_adapter)
    model = golden.golden_model()
    batch = golden_batch(model, case, "image")
    sum(batch_losses(model, batch, model.llm(model.llm.embed(batch.ids))).values()).backward()
    projection = model.output_projections["image"]  # every golden model's: no other test asks for gradients
    assert float(projection.enter.weight.grad.norm()) == pytest.approx(case["grad_norms"]["gen_text_hidden_fcs.0.fc.weight"], rel=1e-3)
    assert float(projection.queries.grad.norm()) == pytest.approx(case["grad_norms"]["gen_text_hidden_fcs.0.query_embs"], rel=1e-3)


def test_alignment_is_a_mean_of_distances():
    projected, wanted = torch.zeros(1, 2, 2), torch.tensor([[[3.0, 4.0], [0.0, 1.0]]])
    assert float(alignment_loss(projected, wanted)) == pytest.approx(3.0)


def test_next_token_is_cross_entropy():
    assert float(next_token_loss(torch.zeros(3, 8), torch.tensor([0, 1, 7]))) == pytest.approx(torch.tensor(8.0).log())


def test_each_state_of_a_span_foretells_its_own_part_of_the_caption():
    words = (1, 2, 3)
    logits = torch.full((1, 3, 5), -9.0)
    for state, word in enumerate(words):
        logits[0, state, word] = 9.0
    assert caption_loss(logits, [words]).item() == pytest.approx(0.0, abs=1e-3)
    assert caption_loss(logits, [(3, 2, 1)]).item() > 10  # the same words, in another order
    assert caption_loss(logits[:, :1].expand(-1, 3, -1), [(1,)]).item() == pytest.approx(0.0, abs=1e-3)  # one word: every state's


def test_parts_are_even_in_order_and_never_empty():
    assert parts_of("abcdef", 3) == ["ab", "cd", "ef"]
    assert parts_of("abcd", 3) == ["ab", "bc", "cd"]
    assert parts_of("ab", 3) == ["a", "ab", "b"]
    assert parts_of("a", 3) == ["a", "a", "a"]
