"""The browser bundles that the package build puts into `workbench/ui/static` (see ``hatch_build.py``)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from workbench.model.errors import WorkbenchError

STATIC = Path(__file__).parent / "static"


class BundleMissing(WorkbenchError):
    """The views' browser side was not built."""


@cache
def bundle(name: str, folder: Path = STATIC) -> str:
    """Source of the bundle ``name.js``.

    Raises
    ------
    BundleMissing
        If it was never built.
    """
    try:
        return (folder / f"{name}.js").read_text(encoding="utf-8")
    except OSError as error:
        raise BundleMissing(
            f"the browser part of the views is missing ({folder / name}.js: {error.strerror}); "
            "build it with `pip install -e .` in the project's folder, or install a released wheel"
        ) from error
