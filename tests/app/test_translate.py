"""The core's sentences reach a Chinese reader in Chinese: those of bad files as the core really says them, the others by their source."""

import ast
import re
import wave
from pathlib import Path

import numpy as np
from PIL import Image

import nextgpt_core
from app.files import check
from app.translate import CHINESE, translated

CORE = Path(nextgpt_core.__file__).parent
CHINESE_SIGN = re.compile(r"[\u4e00-\u9fff]")


def silent(path: Path, seconds: float) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(np.zeros(int(16_000 * seconds), np.int16).tobytes())
    return path


def test_what_is_said_of_bad_files_is_translated(tmp_path: Path) -> None:
    strip, program, empty, cut = (tmp_path / name for name in ("strip.png", "program.png", "empty.png", "cut.png"))
    Image.new("RGB", (4000, 2)).save(strip)
    program.write_bytes(b"MZ" * 300)
    empty.touch()
    Image.effect_noise((64, 64), 90).save(cut)
    cut.write_bytes(cut.read_bytes()[:900])
    for path in (strip, program, empty, cut, tmp_path / "gone.png", silent(tmp_path / "none.wav", 0)):
        problem = check(path).problem
        assert problem and CHINESE_SIGN.search(translated(problem, "zh")), problem
        assert path.name in translated(problem, "zh")
        assert translated(problem, "en") == problem
    assert translated(check(silent(tmp_path / "silent.wav", 1)).note, "zh") == "这段声音是静音。"


def test_every_refusal_in_the_core_has_a_translation() -> None:
    found = []
    for source in (CORE / "modalities").glob("*.py"):
        for text in re.findall(r'(?:UnsupportedMedia|MediaTooLarge)\(\s*f?"((?:[^"\\]|\\.)*)"', source.read_text(encoding="utf-8")):
            sentence = re.sub(r"\{[^{}]*(\{[^{}]*\}[^{}]*)*\}", "7", text).replace("has 7 and at most 7", "has 7 MB and at most 7 MB")
            sentence = sentence.replace("claims 7", "claims 7 Hz and 7 channels")
            assert translated(sentence, "zh") != sentence, sentence
            found.append(sentence)
    assert len(found) > 15


SPOKEN = {"MessageError", "GenerationError", "OutOfMemory", "MediaFailed", "UnsupportedMedia", "MediaTooLarge"}


def sentences(source: Path) -> list[str]:
    """What a source file says to a person who waits for an answer: the literal sentences of these errors, their places filled."""
    found = []
    for call in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if not isinstance(call, ast.Call) or getattr(call.func, "id", "") not in SPOKEN:
            continue
        for value in call.args:
            if isinstance(value, ast.JoinedStr):
                words = [str(part.value) if isinstance(part, ast.Constant) else filled(part) for part in value.values]
                found.append("".join(words))
            elif isinstance(value, ast.Constant) and isinstance(value.value, str):
                found.append(value.value)
    return found


def filled(place: ast.AST) -> str:
    return "picture" if "noun" in ast.unparse(place) else "7"


def test_whatever_the_core_says_during_a_turn_has_a_translation() -> None:
    sources = [path for path in CORE.rglob("*.py") if not {"train", "modalities"} & set(path.relative_to(CORE).parts)]
    found = [sentence for source in sources for sentence in sentences(source)]
    assert len(found) >= 12
    assert [sentence for sentence in found if not CHINESE_SIGN.search(translated(sentence, "zh"))] == []


def test_groups_and_places_of_the_patterns_agree() -> None:
    for pattern, chinese in CHINESE:
        assert set(re.findall(r"\{(\w+)\}", chinese)) <= set(re.compile(pattern).groupindex), pattern
        assert CHINESE_SIGN.search(chinese)
