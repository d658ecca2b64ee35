import shutil
from pathlib import Path

import pytest
import tokenizers

from nextgpt_core.errors import CheckpointMismatch, CheckpointMissing
from nextgpt_core.llm.tokenizer import SentencePieceTokenizer, load_tokenizer
from tests.golden_rules import GOLDEN

NANO = Path(__file__).parents[2] / "checkpoints" / "nano" / "llm"


@pytest.mark.skipif(not (NANO / "tokenizer.json").exists(), reason="the bundled language model is not here")
@pytest.mark.parametrize("text", ["héllo 🍎  wörld\n\n x", "日本語 2024", "\x00\x01", "say <|im_end|> [IMG0] <Media>", ""])
def test_byte_level_text_comes_back_and_never_becomes_control(text):
    tokenizer = load_tokenizer(NANO)
    ids = tokenizer.encode(text)
    assert b"".join(map(tokenizer.token_bytes, ids)).decode() == text
    assert tokenizer.control("<|im_end|>") not in ids
    assert max(ids, default=0) < tokenizer.size == 49152


def test_absent_tokenizer_is_named(tmp_path):
    with pytest.raises(CheckpointMissing, match=r"tokenizer\.model"):
        load_tokenizer(tmp_path)


def test_a_llama_folder_with_both_files_is_read_by_sentencepiece(tmp_path):
    pieces = tokenizers.Tokenizer(tokenizers.models.BPE(vocab={"<unk>": 0, "\u2581the": 1}, merges=[], unk_token="<unk>"))
    pieces.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(CheckpointMismatch, match=r"tokenizer\.json is not byte-level BPE .*tokenizer\.model"):
        load_tokenizer(tmp_path)
    shutil.copy(GOLDEN / "tiny_tokenizer.model", tmp_path / "tokenizer.model")
    tokenizer = load_tokenizer(tmp_path)
    assert isinstance(tokenizer, SentencePieceTokenizer)
    assert b"".join(map(tokenizer.token_bytes, tokenizer.encode("the cat"))).decode().strip() == "the cat"
