"""`pip install .` installs the core alone; what it needs is read from requirements.txt, the one list. The rest is in pyproject.toml.

The page, the terminal's commands and the recipe stay in the clone, where `launch.py` starts them: their files (weights, examples, what
is made) lie beside them there, and `app` is no name to put among other people's packages.
"""

from pathlib import Path

from setuptools import setup

PAGE = ("fastapi", "gradio", "pydantic", "starlette", "uvicorn")  # what only app/ may import


def listed(name: str) -> list[str]:
    """The requirements of a file, without its comments and without the files that it names."""
    lines = (line.partition("#")[0].strip() for line in Path(name).read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("-")]


setup(
    install_requires=[line for line in listed("requirements.txt") if not line.startswith(PAGE)],
    extras_require={"7b": listed("requirements-7b.txt")},
)
