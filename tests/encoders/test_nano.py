import numpy as np
import pytest
import torch

from nextgpt_core.config import load_preset
from nextgpt_core.encoders.nano import TOWERS, NanoEncoder
from nextgpt_core.errors import CheckpointMissing
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


def test_every_tower_must_be_there(tmp_path):
    with pytest.raises(CheckpointMissing, match=r"image\.safetensors"):
        NanoEncoder.from_folder(tmp_path)
