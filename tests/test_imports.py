"""What may import what: the core stands by itself, and importing it loads nothing."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nextgpt_core

ROOT = Path(__file__).resolve().parents[1]


def modules(room: str) -> list[str]:
    paths = (ROOT / room).rglob("*.py")
    return sorted(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths)


def exists(module: str) -> bool:
    path = ROOT / module.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def imports(module: str, *, lazy: bool = True) -> Iterator[str]:
    """The project's modules that a module imports; with `lazy` also inside of functions."""
    path = ROOT / (module.replace(".", "/") + ".py")
    tree = ast.parse((path if path.is_file() else path.with_suffix("") / "__init__.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree) if lazy else tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:  # of a package a module, or of a module a name
                yield submodule if exists(submodule := f"{node.module}.{name.name}") else node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def loaded_by(code: str) -> set[str]:
    # bitsandbytes must not be needed; where it is installed, peft would load it
    command = [sys.executable, "-c", f"import sys; sys.modules['bitsandbytes'] = None; {code}; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.split())


SERVERS = {"gradio", "starlette", "fastapi", "uvicorn", "ray"}
ABOVE = {"nextgpt_core": {"recipes", "app", "tests", *SERVERS}, "recipes": {"app", "tests"}, "app": {"tests"}}


@pytest.mark.parametrize("room", ABOVE)
def test_imports_point_down(room: str):
    found = {module: sorted({name for name in imports(module) if name.partition(".")[0] in ABOVE[room]}) for module in modules(room)}
    if room == "app":
        assert all(module == "app.cli" for module, names in found.items() for name in imports(module) if name.startswith("recipes")), found
    assert {module: names for module, names in found.items() if names} == {}


def test_the_engine_is_above_the_parts_and_training_is_beside_it():
    parts = [module for module in modules("nextgpt_core") if module.split(".")[1:2] and module.split(".")[1] in PARTS]
    wrong = {module: name for module in parts for name in imports(module) if name in ("nextgpt_core.engine", "nextgpt_core.train")}
    assert wrong == {}
    assert not any(name.startswith("nextgpt_core.engine") for module in modules("nextgpt_core/train") for name in imports(module))


PARTS = {"llm", "projections", "encoders", "decoders", "modalities"}


@pytest.mark.parametrize("room", ["nextgpt_core", "app", "recipes"])
def test_there_is_no_circle(room: str):
    """Imports inside of functions count too: a circle that only holds because one of its arrows is late is still one."""
    known = set(modules(room))
    arrows = {module: {name for name in imports(module) if name in known and name != module} for module in known - {room}}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for name in arrows.get(module, ()):
                visit(name, (*path, module))
            done.add(module)

    for module in sorted(arrows):
        visit(module, ())


@pytest.mark.slow
def test_the_core_loads_neither_page_nor_server_nor_recipe():
    names = ("engine", "build", "config", "train.stages", "train.loop", "train.dialogues")
    loaded = loaded_by("; ".join(f"import nextgpt_core.{name}" for name in names))
    assert not {"gradio", "fastapi", "ray", "app", "recipes"} & {name.partition(".")[0] for name in loaded}


def test_importing_the_package_loads_nothing_and_its_names_are_there():
    assert not {"torch", "numpy", "PIL"} & loaded_by("import nextgpt_core; dir(nextgpt_core)")
    assert all(getattr(nextgpt_core, name) is not None for name in nextgpt_core.__all__)
    assert nextgpt_core.Message.__module__ == "nextgpt_core.messages"
    with pytest.raises(AttributeError, match="no attribute 'Enigne'"):
        _ = nextgpt_core.Enigne


def test_no_room_of_the_core_is_more_than_a_quarter_of_it():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "nextgpt_core").rglob("*.py")}
    rooms: dict[Path, int] = {}
    for path, count in lines.items():
        rooms[path.parent] = rooms.get(path.parent, 0) + count
    total = sum(lines.values())
    assert {str(room): count for room, count in rooms.items() if count > 0.25 * total} == {}
