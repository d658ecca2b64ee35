"""The packed language model against torch's, from the same files: exact where it computes in float32, near where it rounds its inputs."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nextgpt_core.decoding import Context, Span, decode, greedy
from nextgpt_core.errors import CheckpointMismatch, ConfigError
from nextgpt_core.llm.packed import MANY_ROWS, PackedLanguageModel, load_packed
from nextgpt_core.llm.torch_model import TorchLanguageModel, load_torch
from nextgpt_core.prompt import Prompt
from tests.llm.blocks import LORA, random_adapter, write_tiny
from tests.tiny import ADDED, ByteTokenizer

ROOT = Path(__file__).resolve().parents[2]
IDS = torch.randint(0, ByteTokenizer.size + len(ADDED), (1, 300), generator=torch.Generator().manual_seed(2))


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("llm"))


@pytest.fixture(scope="module")
def exact(folder: Path) -> TorchLanguageModel:
    llm = load_torch(folder, tokenizer=ByteTokenizer(), added_tokens=ADDED, precision="float32", device="cpu")
    llm.merge_adapter(random_adapter(), **LORA, name="lora")
    return llm


@pytest.fixture(scope="module")
def packed(folder: Path, exact: TorchLanguageModel) -> PackedLanguageModel:
    llm = load_packed(folder, tokenizer=ByteTokenizer(), added_tokens=ADDED, device="cpu")
    llm.load_tokens({name: value.detach() for name, value in exact.token_state().items()}, name="tokens")
    llm.merge_adapter(random_adapter(), **LORA, name="lora")
    return llm


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


def test_it_says_of_itself_what_torch_does(exact, packed):
    for name in ("vocabulary", "width", "added", "positions", "merged", "dtype", "device"):
        assert getattr(packed, name) == getattr(exact, name), name
    assert packed.cache_bytes(100) == exact.cache_bytes(100)
    assert torch.equal(packed.embed(IDS), exact.embed(IDS))


def test_many_rows_are_computed_in_float32(exact, packed):
    embedded = exact.embed(IDS[:, :MANY_ROWS])
    assert relative(packed(embedded), exact(embedded)) < 1e-5


def test_few_rows_are_near(exact, packed):
    embedded = exact.embed(IDS[:, : MANY_ROWS - 1])
    assert relative(packed(embedded), exact(embedded)) < 0.05


def test_the_adapter_counts(folder, exact, packed):
    embedded = exact.embed(IDS[:, :MANY_ROWS])
    without = load_packed(folder, tokenizer=ByteTokenizer(), added_tokens=ADDED, device="cpu")
    without.merge_adapter({}, rank=4, alpha=8, targets=(), name="none")
    assert relative(without(embedded), exact(embedded)) > 0.01


def test_scores_over_base_and_added_tokens(exact, packed):
    states = exact(exact.embed(IDS[:, :40]))[0]
    for chosen in (states, states[-1]):
        found, wanted = packed.logits(chosen), exact.logits(chosen)
        assert found.shape == wanted.shape
        assert relative(found, wanted) < 0.01
        assert torch.allclose(found[..., packed.vocabulary :], wanted[..., packed.vocabulary :], atol=1e-4)  # the added rows are not rounded


def test_a_cache_continues_grows_and_shortens(exact, packed):
    embedded = exact.embed(IDS)
    whole = exact(embedded)[0]
    cache = packed.new_cache()
    pieces = (embedded[:, :200], embedded[:, 200:250], embedded[:, 250:300])  # all of them in float32
    assert relative(torch.cat([packed(piece, cache=cache)[0] for piece in pieces]), whole) < 1e-5
    packed.shorten(cache, 210)
    assert relative(packed(embedded[:, 210:260], cache=cache)[0], whole[210:260]) < 1e-5
    packed.shorten(cache, 1000)  # it is not that long
    assert relative(packed(embedded[:, 260:], cache=cache)[0], whole[260:]) < 1e-5


def test_two_caches_do_not_touch(packed):
    embedded = packed.embed(IDS)
    one, other = packed.new_cache(), packed.new_cache()
    packed(embedded[:, :50], cache=one)
    packed(embedded[:, 100:150], cache=other)
    after = packed(embedded[:, 50:90], cache=one)
    assert relative(after, packed(embedded[:, :90])[:, 50:]) < 1e-5


def test_a_span_in_one_pass_equals_token_by_token(packed):
    embedded = packed.embed(IDS[:, :44])
    one, other = packed.new_cache(), packed.new_cache()
    for cache in (one, other):
        packed(embedded[:, :40], cache=cache)
    together = packed(embedded[:, 40:], cache=one)
    each = torch.cat([packed(embedded[:, i : i + 1], cache=other) for i in range(40, 44)], dim=1)
    assert torch.allclose(together, each, atol=1e-4)


def test_rows_of_different_lengths_share_a_pass(packed):
    """Padded on the left, then token by token and several at once, each row says what it says alone."""
    prompts = [packed.embed(IDS[:, a:b])[0] for a, b in ((0, 40), (50, 83), (100, 139))]
    more = packed.embed(IDS[:, 200:206].reshape(3, 2))
    batch, mask = torch.zeros(3, 40, packed.width), torch.zeros(3, 42, dtype=torch.long)
    for i, prompt in enumerate(prompts):
        batch[i, 40 - len(prompt) :], mask[i, 40 - len(prompt) :] = prompt, 1
    cache = packed.new_cache()
    first = packed(batch, mask[:, :40], cache=cache)
    later = packed(more, mask, cache=cache)
    for i, prompt in enumerate(prompts):
        alone = packed.new_cache()
        assert relative(first[i, 40 - len(prompt) :], packed(prompt[None], cache=alone)[0]) < 1e-5
        each = torch.cat([packed(more[i : i + 1, j : j + 1], cache=alone)[0] for j in range(2)])
        assert relative(later[i], each) < 1e-4


def test_the_decoding_loop_runs_on_it(packed):
    signals = {"image": tuple(packed.added[f"[IMG{i}]"] for i in range(4))}
    embedded = packed.embed(IDS[:, :40])[0]
    context = Context(packed)
    state = context.read(Prompt(embedded, tuple(range(40)), (40,)), cancelled=lambda: False)
    found = list(decode(context, state, signals=signals, choose=greedy, max_new_tokens=5, require=("image",)))
    span = next(one for one in found if isinstance(one, Span))
    assert span.states.shape == (4, packed.width) and len(context.keys) == 40 + found[-1].tokens
    fed = packed.embed(torch.tensor([context.keys[40 : 40 + span.start + 4]]))
    again = packed(torch.cat((embedded[None], fed), dim=1))[0, -4:]
    assert relative(span.states, again) < 0.06


def test_the_adapter_is_read_strictly(folder):
    for make in (load_packed, load_torch):
        options = {} if make is load_packed else {"precision": "float32"}
        llm = make(folder, tokenizer=ByteTokenizer(), added_tokens=ADDED, device="cpu", **options)
        lacking = random_adapter()
        del lacking["layers.1.self_attn.k_proj.lora_B.weight"]
        with pytest.raises(CheckpointMismatch, match=r"lora.safetensors: missing layers\.1\.self_attn\.k_proj\.lora_B\.weight"):
            llm.merge_adapter(lacking, **LORA, name="lora.safetensors")
        with pytest.raises(CheckpointMismatch, match="expected"):
            llm.merge_adapter(random_adapter(), **(LORA | {"rank": 8}), name="lora.safetensors")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"attention_bias": True}, "attention_bias True"),
        ({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}}, "rope_type 'linear'"),
        ({"tie_word_embeddings": False}, "not tied"),
    ],
)
def test_what_it_cannot_compute_is_refused(tmp_path, changes, said):
    with pytest.raises(ConfigError, match=said):
        load_packed(write_tiny(tmp_path, **changes), tokenizer=ByteTokenizer(), added_tokens=ADDED, device="cpu")


def test_weights_that_are_not_the_config_s_are_refused(tmp_path):
    with pytest.raises(CheckpointMismatch, match=r"missing layers\.2\."):
        load_packed(write_tiny(tmp_path, num_hidden_layers=3), tokenizer=ByteTokenizer(), added_tokens=ADDED, device="cpu")


def test_only_blocks_on_a_cpu(folder, tmp_path):
    for where, device in ((folder, "cuda"), (tmp_path, "cpu")):
        with pytest.raises(ConfigError, match="--precision"):
            load_packed(where, tokenizer=ByteTokenizer(), added_tokens=ADDED, device=device)


def test_it_needs_neither_transformers_nor_peft(folder):
    code = (
        "import sys, torch; from pathlib import Path; from nextgpt_core.llm.packed import load_packed\n"
        "from nextgpt_core import decoding, prompt\n"
        f"llm = load_packed(Path({str(folder)!r}), tokenizer=None, added_tokens=(), device='cpu')\n"
        "llm.merge_adapter({}, rank=1, alpha=1, targets=(), name='none')\n"
        "context = decoding.Context(llm); context.run(llm.embed(torch.tensor([1, 2])), (1, 2)); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    assert not {"transformers", "peft", "bitsandbytes", "diffusers"} & set(loaded)
