"""A published file without added_tokens.json: the model itself is asked which token is which."""

import dataclasses
import json

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from nextgpt_core.build import assemble_around
from nextgpt_core.checkpoints import read_manifest, write_manifest
from nextgpt_core.config import load_preset
from nextgpt_core.errors import CheckpointMismatch
from nextgpt_core.llm.torch_model import TorchLanguageModel
from nextgpt_core.model import NextGPT
from nextgpt_core.published.token_order import ASKED, TOLD, UNKNOWN, confirm_token_order, span_lengths
from tests.tiny import ByteTokenizer

WIDTH = 48


def trained_in(order: list[int], preset) -> NextGPT:
    """A real Llama whose states are its embeddings, and whose head follows each signal token of spans of these lengths by the next."""
    config = LlamaConfig(vocab_size=ByteTokenizer.size, hidden_size=WIDTH, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2)
    network = LlamaModel(config).eval()
    for name, value in network.named_parameters():
        if "o_proj" in name or "down_proj" in name:
            torch.nn.init.zeros_(value)
    head = torch.zeros(ByteTokenizer.size, WIDTH)
    llm = TorchLanguageModel(network, tokenizer=ByteTokenizer(), added_tokens=preset.added_tokens, output_table=head)
    rows = torch.eye(len(preset.added_tokens), WIDTH)
    last = [sum(order[: index + 1]) + 1 for index in range(len(order))]  # behind the two boundary tokens
    with torch.no_grad():
        llm.added_input.copy_(rows)
        llm.added_output.zero_()
        for index in range(2, len(rows) - 1):
            if index not in last:
                llm.added_output[index + 1] = rows[index]
        llm.output_table[ord("\n")] = 0.1  # type: ignore[index]  # what comes where nothing else does
    return assemble_around(preset, llm)


@pytest.fixture
def preset(tmp_path):
    real = load_preset("7b")
    outputs = {name: dataclasses.replace(one, width=8, layers=1, condition_shape=(3, 6)) for name, one in real.outputs.items()}
    llm = dataclasses.replace(real.llm, width=WIDTH, vocabulary=ByteTokenizer.size)
    write_manifest(tmp_path, [], {"token_order": UNKNOWN})
    return dataclasses.replace(real, folder=tmp_path, llm=llm, outputs=outputs)


def test_spans_are_as_long_as_the_model_was_taught(preset):
    assert span_lengths(trained_in([4, 24, 8], preset)) == [4, 24, 8]
    assert span_lengths(trained_in([24, 8, 4], preset)) == [24, 8, 4]


def test_the_published_order_is_confirmed_once(preset):
    confirm_token_order(preset, trained_in([4, 24, 8], preset))
    assert read_manifest(preset.folder)["token_order"] == ASKED
    confirm_token_order(preset, trained_in([24, 4, 8], preset))  # not asked again


def test_another_order_is_refused_by_name(preset):
    with pytest.raises(CheckpointMismatch, match=r"spans are 24, 4, 8 tokens long.*\(image, video, audio\) 4, 24, 8"):
        confirm_token_order(preset, trained_in([24, 4, 8], preset))
    assert read_manifest(preset.folder)["token_order"] == UNKNOWN


def test_an_unsure_model_is_a_warning(preset, caplog):
    confirm_token_order(preset, trained_in([9, 9, 18], preset))
    assert "could not be confirmed" in caplog.text


def test_what_the_tokenizer_told_is_believed(preset):
    (preset.folder / "manifest.json").write_text(json.dumps({"parts": {}, "token_order": TOLD}))
    confirm_token_order(preset, trained_in([24, 4, 8], preset))
