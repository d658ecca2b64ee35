from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import torch

from nextgpt_core.projections.grouping import GroupProjection
from nextgpt_core.projections.input import MLP, InputProjection
from nextgpt_core.projections.output import OutputProjection
from tests import golden_rules
from tests.golden_rules import GOLDEN, golden_input, golden_json, golden_weight

SCALES = {"s002": 0.02, "s006": 0.06}
LEGACY = {"query_embs": "queries", "fc.": "enter.", "tfm.": "transformer.", "model.": "leave."}
NEWER = {"query_embs": "queries", "in_fc.": "enter.", "tfm.": "transformer.", "out_fc.": "leave."}
MLP_NAMES = {"layer.0.": "layers.0.", "layer.2.": "layers.1."}
TRANSFORMERS = [
    ("output_projection_transformer", "legacy_TextFcLayer_img", LEGACY, (77, 48)),
    ("output_projection_transformer", "legacy_TextFcLayer_vid", LEGACY, (77, 48)),
    ("output_projection_transformer", "legacy_TextFcLayer_aud", LEGACY, (1, 32)),
    ("newer_projectors", "new_TransformersProjector_img", NEWER, (77, 48)),
    ("newer_projectors", "new_TransformersProjector_aud", NEWER, (1, 32)),
]


@pytest.fixture(scope="module", autouse=True)
def drawn_once() -> Iterator[None]:
    """Most of the modules have most of their weights' names and shapes in common, and drawing those takes longer than all the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(golden_rules, "standard_normal", cache(golden_rules.standard_normal))
        yield


def golden_state(keys, names, scale):
    state = {}
    for key, (shape, _) in keys.items():
        old = next((old for old in names if key.startswith(old)), "")
        name = names.get(old, "") + key[len(old) :]
        value = golden_weight(key, shape, scale)
        state[name] = value[0] if name == "queries" else value
    return state


def assert_golden(module, file, name, names, tag):
    described, arrays = golden_json(f"{file}.json")["modules"][name], np.load(GOLDEN / f"{file}.npz")
    module.load_state_dict(golden_state(described["keys"], names, SCALES[tag]))
    module.eval()
    for case, inputs in described["inputs"].items():
        with torch.no_grad():
            found = module(*(golden_input(**tensor) for tensor in inputs))
        assert np.abs(found.numpy() - arrays[f"{name}.{tag}.{case}"]).max() < 1e-5


@pytest.mark.parametrize("tag", SCALES)
@pytest.mark.parametrize(("file", "name", "names", "shape"), TRANSFORMERS)
def test_output_projection_equals_the_original(file, name, names, shape, tag):
    assert_golden(OutputProjection(llm_width=64, condition_shape=shape, width=512, layers=4), file, name, names, tag)


@pytest.mark.parametrize("tag", SCALES)
def test_mlp_equals_the_original(tag):
    assert_golden(MLP(64, 48), "newer_projectors", "new_MLP", MLP_NAMES, tag)


def test_shared_projection_treats_modalities_alike():
    projection = InputProjection(kind="linear", encoder_width=6, llm_width=10, tokens={"image": 1, "audio": 1}, shared=True)
    features = torch.randn(2, 1, 6)
    assert torch.equal(projection("image", features), projection("audio", features))
    assert set(projection.state_dict()) == {"networks.shared.weight", "networks.shared.bias"}


def test_own_projection_per_modality_and_position():
    torch.manual_seed(0)
    projection = InputProjection(kind="tokenwise", encoder_width=6, llm_width=10, tokens={"image": 3, "audio": 2}, shared=False)
    features = torch.randn(1, 1, 6).expand(4, 3, 6)
    out = projection("image", features)
    assert out.shape == (4, 3, 10)
    assert not torch.allclose(out[:, 0], out[:, 1])
    assert projection("audio", features[:, :2]).shape == (4, 2, 10)


def test_a_vector_may_become_several_of_its_own():
    torch.manual_seed(0)
    projection = InputProjection(kind="tokenwise", encoder_width=6, llm_width=10, tokens={"image": 2}, shared=False, spread=3)
    features = torch.randn(1, 2, 6)
    out = projection("image", features)
    assert out.shape == (1, 6, 10) and not torch.allclose(out[:, 0], out[:, 1])
    features[:, 1] += 1.0
    changed = projection("image", features)
    assert torch.equal(changed[:, :3], out[:, :3]) and not torch.allclose(changed[:, 3:], out[:, 3:])


GROUPING = {
    "in_fc.": "enter.",
    "out_fc.": "leave.",
    "layers.": "stages.",
    ".group_token": ".tokens",
    ".attn.qkv.": ".qkv.",
    ".group_projector.": ".carry.",
    ".downsample.": ".gather.",
    ".mlp_inter.": ".mix.",
    ".norm_post_tokens.": ".norm_projected.",
    ".norm_new_x.": ".norm_new.",
    ".mlp_channels.": ".mlp.",
    ".pre_assign_attn.attn.": ".look.",
    ".pre_assign_attn.norm_post.": ".norm_after.",
    ".pre_assign_attn.norm2.": ".norm_looked.",
    ".pre_assign_attn.mlp.": ".look_mlp.",
}


@pytest.mark.parametrize("tag", SCALES)
def test_grouping_equals_the_original(tag):
    described, arrays = golden_json("newer_projectors.json")["modules"]["new_GroupProjector"], np.load(GOLDEN / "newer_projectors.npz")
    state = {}
    for key, (shape, _) in described["keys"].items():
        name = key.replace(".attn.proj.", ".proj.") if ".blocks." in key else key
        for old, new in GROUPING.items():
            name = name.replace(old, new)
        for part in ("q", "k", "v"):
            name = name.replace(f".{part}_proj.", f".{part}.")
        state[name] = golden_weight(key, shape, SCALES[tag])
    module = GroupProjection(64, 48)
    module.load_state_dict(state)
    module.eval()
    for case, inputs in described["inputs"].items():
        with torch.no_grad():
            found = module(*(golden_input(**tensor) for tensor in inputs))
        assert np.abs(found.numpy() - arrays[f"new_GroupProjector.{tag}.{case}"]).max() < 1e-5
