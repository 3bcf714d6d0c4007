"""Measured data that the project does not include: `$WORKBENCH_DATA`, else `shared/data` beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("WORKBENCH_DATA") or Path(__file__).parents[2] / "shared" / "data")

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the measured data are not here; set WORKBENCH_DATA to them")


def require(name: str) -> Path:
    """The file or folder `name` of the data; skips the test where it is absent."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not in {DATA}; set WORKBENCH_DATA to the folder that has it")
    return path
