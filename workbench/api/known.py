"""A declarer that knows its campaign's present state through a session: names, sizes, results, refusals."""

from __future__ import annotations

import difflib
import os
import threading
from abc import abstractmethod
from typing import Any

from workbench.model import errors
from workbench.model.edits import Ack
from workbench.model.errors import UnknownName, WorkbenchError
from workbench.model.ids import is_task, split_task
from workbench.model.specs import Edge, SetSpec
from workbench.model.states import TaskState

from .declare import Declarer
from .handles import Owner, SetHandle
from .results import Results
from .session import Session
from .taskset import TaskSet


class Known(Declarer):
    """What declarations and handles ask, answered from the session (once there is one) and from the open batch."""

    _open_session: Session | None
    _lock: threading.RLock
    _removed = False  # whether something was removed from here, so that handles may stand for nothing any more

    def _declare(self, ts: TaskSet) -> SetHandle:
        # Between choosing a name and taking it, no other thread may choose the same.
        with self._lock:
            return super()._declare(ts)

    @property
    @abstractmethod
    def _results(self) -> Results:
        """The reader of the session."""

    @property
    def key(self) -> str:
        return os.path.realpath(self._open_session.directory) if self._open_session else f"new {id(self)}"

    @property
    def _as_owner(self) -> Owner:
        return self

    def _exists(self, name: str) -> bool:
        return self._open_session is not None and name in self._results.tables().state.sets

    def _existing_spec(self, name: str) -> SetSpec | None:
        s = self._results.tables().state.sets.get(name) if self._open_session is not None else None
        return None if s is None else s.spec

    def _joined(self, edge: Edge) -> bool:
        if self._open_session is None:
            return False
        name = split_task(edge.dst)[0] if is_task(edge.dst) else edge.dst
        s = self._results.tables().state.sets.get(name)
        key = (edge.src, edge.dst, edge.kind)
        return s is not None and any((x.edge.src, x.edge.dst, x.edge.kind) == key for x in s.into)

    def _next_stage(self) -> int:
        pending = [spec.stage for spec in self._local.pending.values() if spec.stage is not None]
        known = [s.stage for s in self._results.tables().state.sets.values()] if self._open_session is not None else []
        return max([*pending, *known], default=-1) + 1

    def _names_hint(self, name: str) -> str:
        names = list(self._results.tables().state.sets)
        near = difflib.get_close_matches(name, names, 1)
        if near:
            return f"did you mean {near[0]!r}?"
        return f"its sets are {', '.join(names[:10])}" if names else "it has no sets yet"

    def _set_indices(self, name: str, declared: int | None) -> range | list[int]:
        pending = self._local.pending.get(name)
        if pending is not None:
            return range(pending.n)
        found = self._results.indices(name)
        if found is None:
            raise UnknownName(f"there is no task set {name!r} (any more): it was removed, or never accepted", name)
        return found

    def _set_has(self, name: str, index: int, declared: int | None) -> bool:
        """Whether a set has this task, by what is known without asking the engine; False: ask."""
        pending = self._local.pending.get(name)
        if pending is not None:
            return index < pending.n
        return not self._removed and self._results.has(name, index, declared or 0)

    def _task_result(self, task: str, timeout_s: float | None) -> Any:
        return self._results.task(task, timeout_s)

    def _set_results(self, name: str, timeout_s: float | None) -> list[Any]:
        return self._results.set(name, timeout_s)

    def _task_state(self, task: str) -> TaskState:
        return self._results.state(task)

    def _set_counts(self, name: str) -> dict[str, int]:
        return self._results.counts(name)

    def _story(self, target: str) -> str:
        return self._results.session.story(target)


def refusal(ack: Ack) -> WorkbenchError:
    """The error that a refused command raises: of the class that its rule names."""
    kind = getattr(errors, ack.rule, errors.EditRefused)
    if issubclass(kind, errors.EditRefused):
        return kind(ack.message, ack.subject)
    return WorkbenchError(ack.message)
