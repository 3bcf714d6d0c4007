"""`workbench export`: a campaign in the format of another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench import __version__
from workbench.exchange import wfout
from workbench.journal import read
from workbench.model.errors import BadValue, storage_error

FORMATS = ("wfformat",)


def export(directory: Path, form: str, output: Path | None) -> dict[str, Any]:
    """Write what has run in `directory`; give the file's path and what is in it.

    Raises
    ------
    BadValue
        If there is no such format.
    CannotExport
        If the campaign has not ended, or has no such form.
    StorageFull, StorageFailed
        If the file cannot be written.
    """
    if form not in FORMATS:
        raise BadValue(f"there is no format {form!r}; there is: {', '.join(FORMATS)}", "format")
    document = wfout.document(read(directory), __version__)
    path = (output or directory / "wfformat.json").expanduser()
    try:
        path.write_bytes(wfout.encoded(document))
    except OSError as error:
        raise storage_error(error, "write the export", path) from error
    tasks = document["workflow"]["specification"]["tasks"]
    return {
        "export": str(path.resolve()),
        "format": form,
        "version": wfout.VERSION,
        "tasks": len(tasks),
        "edges": sum(len(t["parents"]) for t in tasks),
        "makespan": document["workflow"]["execution"]["makespanInSeconds"],
    }
