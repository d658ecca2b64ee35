import numpy as np
import pytest
import torch

from nextgpt_core.checkpoints import save_tensors
from nextgpt_core.config import load_preset
from nextgpt_core.encoders.nano import TOWERS, NanoEncoder
from nextgpt_core.errors import CheckpointMismatch, CheckpointMissing
from nextgpt_core.modalities import AudioClip, VideoClip

CONTENT = {
    "image": np.full((20, 30, 3), 128, np.uint8),
    "video": VideoClip(frames=np.zeros((3, 16, 16, 3), np.uint8), fps=4),
    "audio": AudioClip(samples=np.zeros(8000, np.float32), rate=8000),
}


def test_towers_give_what_the_preset_says():
    torch.manual_seed(0)
    said = load_preset("nano").encoder
    encoder = NanoEncoder({modality: tower().eval() for modality, tower in TOWERS.items()})
    assert encoder.width == said.width
    assert {modality: encoder.tokens(modality) for modality in encoder.modalities} == dict(said.tokens)
    for modality, content in CONTENT.items():
        vectors = encoder.encode(modality, content)
        assert vectors.shape == (said.tokens[modality], said.width) and vectors.dtype == torch.float32
        assert vectors.isfinite().all()


def test_what_a_tower_sees_follows_it_to_where_it_is():
    """Another precision stands for another device: `to(weight)` is both."""
    torch.manual_seed(0)
    encoder = NanoEncoder({modality: tower().eval() for modality, tower in TOWERS.items()})
    wanted = {modality: encoder.encode(modality, content) for modality, content in CONTENT.items()}
    for tower in encoder.parts().values():
        tower.double()
    for modality, content in CONTENT.items():
        vectors = encoder.encode(modality, content)
        assert vectors.dtype == torch.float32
        torch.testing.assert_close(vectors, wanted[modality], rtol=1e-3, atol=1e-3)


def test_a_missing_or_wrong_tower_is_refused_by_name(tmp_path):
    for modality in ("audio", "video"):
        save_tensors(TOWERS[modality]().state_dict(), tmp_path / f"{modality}.safetensors")
    with pytest.raises(CheckpointMissing, match=r"lacks image\.safetensors; fetch"):
        NanoEncoder.from_folder(tmp_path)
    save_tensors({"wrong": torch.zeros(1)}, tmp_path / "image.safetensors")
    with pytest.raises(CheckpointMismatch):
        NanoEncoder.from_folder(tmp_path)
