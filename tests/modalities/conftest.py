"""What several of these tests read."""

from pathlib import Path

import pytest

from tests.modalities.hostile import animated_webp


@pytest.fixture(scope="session")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video that takes seconds to load."""
    return animated_webp(tmp_path_factory.mktemp("slow") / "slow.webp", size=(3000, 3000), durations=[100] * 30)
