"""Text <-> token ids of the base language model. Added tokens (boundaries, signals) are not in here, so no text can ever spell one."""

from pathlib import Path
from typing import Protocol

import sentencepiece
import tokenizers

from nextgpt_core.errors import CheckpointMismatch, CheckpointMissing

BYTE_LEVEL_FILE = "tokenizer.json"
SENTENCEPIECE_FILE = "tokenizer.model"


class Tokenizer(Protocol):
    """What prompt assembly and decoding need of a tokenizer."""

    size: int  # rows of the base vocabulary

    def encode(self, text: str) -> list[int]:
        """Plain text -> ids. Control tokens spelled out in the text stay text."""
        ...

    def control(self, token: str) -> int:
        """The id of a control token such as "<s>" or "<|im_end|>"."""
        ...

    def token_bytes(self, token_id: int) -> bytes:
        """What a token adds to the text, in UTF-8 (it may end inside a character); b"" for control tokens."""
        ...


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a language model's folder: tokenizer.model (sentencepiece) or else tokenizer.json (byte-level BPE).

    Folders of Llama 1 and 2 often hold both, and their tokenizer.json says the same as the other in another form than byte-level BPE.
    Raises CheckpointMissing or CheckpointMismatch.
    """
    if (folder / SENTENCEPIECE_FILE).is_file():
        return SentencePieceTokenizer(folder / SENTENCEPIECE_FILE)
    if (folder / BYTE_LEVEL_FILE).is_file():
        return ByteLevelTokenizer(folder / BYTE_LEVEL_FILE)
    raise CheckpointMissing(f"{folder} holds neither {BYTE_LEVEL_FILE} nor {SENTENCEPIECE_FILE}.")


class ByteLevelTokenizer:
    """GPT-2 style byte-level BPE from a `tokenizers` file (SmolLM2)."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        self._tokenizer.encode_special_tokens = True  # "<|im_end|>" in a message is text
        self._control = {token.content: i for i, token in self._tokenizer.get_added_tokens_decoder().items()}
        self._control_ids = frozenset(self._control.values())
        self._bytes_of_character = {character: byte for byte, character in enumerate(_byte_characters())}
        self.size = self._tokenizer.get_vocab_size()
        tokens = {token for token, i in self._tokenizer.get_vocab().items() if i not in self._control_ids}
        if strange := sorted(token for token in tokens if not self._bytes_of_character.keys() >= set(token)):
            raise CheckpointMismatch(f"{path} is not byte-level BPE (it has {strange[0]!r}); put {SENTENCEPIECE_FILE} beside it.")

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def control(self, token: str) -> int:
        return self._control[token]

    def token_bytes(self, token_id: int) -> bytes:
        if token_id in self._control_ids:
            return b""
        return bytes(self._bytes_of_character[character] for character in self._tokenizer.id_to_token(token_id) or "")


class SentencePieceTokenizer:
    """LLaMA's sentencepiece model (Vicuna)."""

    def __init__(self, path: Path) -> None:
        self._processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
        self.size = self._processor.get_piece_size()

    def encode(self, text: str) -> list[int]:
        return self._processor.encode(text)

    def control(self, token: str) -> int:
        return self._processor.piece_to_id(token)

    def token_bytes(self, token_id: int) -> bytes:
        if self._processor.is_control(token_id) or self._processor.is_unknown(token_id):
            return b""
        piece = self._processor.id_to_piece(token_id)
        if self._processor.is_byte(token_id):
            return bytes([int(piece[3:5], 16)])  # "<0x0A>"
        return piece.replace("\u2581", " ").encode()


def _byte_characters() -> list[str]:
    """GPT-2's table: the printable character that stands for each of the 256 bytes."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]
