from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A campaign's directory."""
    for room in ("logs", "store", "scratch"):
        (tmp_path / "campaign" / room).mkdir(parents=True)
    return tmp_path / "campaign"
