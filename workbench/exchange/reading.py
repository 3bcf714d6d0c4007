"""Which importer takes what: a path, a parsed document, or an object of another library."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from .graphs import Networkx, NodeLink
from .pst import PipelinesStagesTasks
from .wfformat import WfFormat
from .workflow import BadWorkflow, Workflow

SUFFIX = ".json"


class Importer(Protocol):
    """A source of workflows.

    Attributes
    ----------
    name : str
        For people.
    """

    @property
    def name(self) -> str: ...

    def takes(self, value: Any) -> bool:
        """Whether `value` (a parsed JSON document, or any object) is meant for this importer; quick, never raises."""
        ...

    def read(self, value: Any, where: str) -> Workflow:
        """The workflow that `value` is; `where` names it in sentences.

        Raises
        ------
        BadWorkflow
            In one sentence, for the first thing that makes no sense.
        """
        ...


IMPORTERS: list[Importer] = [WfFormat(), PipelinesStagesTasks(), NodeLink(), Networkx()]
"""Asked in this order; a further one can be appended."""


def read(source: Any) -> Workflow:
    """A workflow from anywhere.

    Parameters
    ----------
    source : path, dict, networkx.DiGraph, pipelines, or Workflow
        A JSON file (WfFormat 1.4 to 1.6, Pipelines-Stages-Tasks, networkx's node-link), the same already parsed, a
        directed graph, or one or several pipelines of EnTK's shape.

    Raises
    ------
    BadWorkflow
        Saying which file or object, where in it, and what to do.
    """
    if isinstance(source, Workflow):
        return source
    if isinstance(source, str | os.PathLike):
        path = Path(source).expanduser()
        where = str(source)
        flow = _guarded(lambda: _import(_document(path, where), where), where)
        if flow.name == "workflow":
            return Workflow.checked(path.stem, flow.source, flow.tasks, flow.parents, flow.machines, where)
        return flow
    return _guarded(lambda: _import(source, f"the {type(source).__name__}"), "the workflow")


def recognised(path: Path) -> bool:
    """Whether a file looks like a workflow rather than a program: by its name, or by how it begins."""
    if path.suffix == SUFFIX:
        return True
    if path.suffix == ".py":
        return False
    try:
        with path.open("rb") as file:
            return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")
    except OSError:
        return False


def _import(value: Any, where: str) -> Workflow:
    for importer in IMPORTERS:
        if importer.takes(value):
            return importer.read(value, where)
    names = ", ".join(i.name for i in IMPORTERS)
    raise BadWorkflow(f"{where} holds no workflow that is known here; what can be read: {names}")


def _document(path: Path, where: str) -> Any:
    try:
        data = path.read_bytes()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise BadWorkflow(f"{where} cannot be read: {why}; check the path") from None
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise BadWorkflow(f"{where} is empty; get the file again")
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        why = str(error).removeprefix("JSON is malformed: ").partition(" - at ")[0]
        raise BadWorkflow(f"{where} is no complete JSON document ({why[:1].lower()}{why[1:]}); get it again") from None


def _guarded(run: Callable[[], Workflow], where: str) -> Workflow:
    # What is read stays; the collector of cycles would look through all of it again and again.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return run()
    except RecursionError:
        raise BadWorkflow(f"{where} is nested too deeply to be a workflow; get the file again") from None
    finally:
        if collecting:
            gc.enable()
