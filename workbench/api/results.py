"""Asking a campaign for what its handles stand for: states, results, stories, and errors that say why there is none."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from workbench.core.copying import copy_state
from workbench.core.explain import broken_input, why
from workbench.core.state import State, Task
from workbench.model.causes import EXPLAINED, Cause
from workbench.model.errors import NoProgress, NotStarted, TaskFailed, UnknownName
from workbench.model.events import AttemptAssigned, AttemptFinished, AttemptReported, AttemptStarted, ForecastMade
from workbench.model.specs import Result
from workbench.model.states import TaskState
from workbench.report.tables import Tables
from workbench.store import Store

from .payloads import unpack
from .session import Session
from .status import occurring

_BROKEN = (TaskState.failed, TaskState.cancelled, TaskState.skipped)
_SLICE_S = 0.25
_UNDER_WAY = (AttemptAssigned, AttemptStarted, AttemptReported, ForecastMade)  # settle nothing


class Results:
    """Reads one session: folds its records when somebody asks, and waits for more when it must.

    Parameters
    ----------
    session : Session
        May be replaced when the campaign stops (`session` attribute); what was folded stays.
    started : callable
        Whether execution has begun.
    """

    def __init__(self, session: Session, started: Callable[[], bool]) -> None:
        self.session = session
        self._started = started
        self._store = Store(session.directory)
        self._tables = Tables()
        self._lock = threading.RLock()

    def tables(self) -> Tables:
        """The tables, folded up to now."""
        with self._lock:
            while self._tables.fold(self.session.events(self._tables.next_seq)):
                pass
            return self._tables

    @property
    def next_seq(self) -> int:
        """Sequence number of the first record that was not folded yet."""
        return self._tables.next_seq

    def snapshot(self) -> State:
        """A copy of the state as it is now, for predictions; the replica is locked only while it is copied."""
        with self._lock:
            return copy_state(self.tables().state)

    @contextlib.contextmanager
    def still(self) -> Iterator[State]:
        """The state as it is now, which stands still inside the block; not to be changed."""
        with self._lock:
            yield self.tables().state

    # ------------------------------------------------------------------ now
    def state(self, task_id: str) -> TaskState:
        """A task's state now."""
        with self._lock:
            return self._task(self.tables().state, task_id).state

    def counts(self, name: str) -> dict[str, int]:
        """Number of a set's tasks in each state that occurs."""
        with self._lock:
            sets = self.tables().state.sets
            if name not in sets:
                raise self._no_set(name)
            return occurring(sets[name].counts)

    def indices(self, name: str) -> range | list[int] | None:
        """Indices of a set's tasks; None if there is no such set."""
        with self._lock:
            s = self.tables().state.sets.get(name)
            if s is None:
                return None
            if s.size == len(s.tasks):
                return range(s.size)
            return [t.index for t in s.live()]

    def has(self, name: str, index: int, declared: int) -> bool:
        """Whether a set has a task, by the records that were folded already.

        A set that they do not know yet has the tasks that it was `declared` with. (Whoever declares a large graph asks
        for a handle to each of its tasks, and must not wait for the records of those that run meanwhile.)
        """
        with self._lock:
            state = self._tables.state
            s = state.sets.get(name)
            if s is None:
                return index < declared
            return index < len(s.tasks) and s.tasks[index] is not None

    # ------------------------------------------------------------------ results
    def task(self, task_id: str, timeout_s: float | None) -> Any:
        """The value of one task; see `TaskHandle.result`."""

        def find(state: State) -> Result | None:
            task = self._task(state, task_id)
            if task.state in _BROKEN:
                raise self._failure(state, task)
            return task.result if task.state is TaskState.done else None

        return unpack(self._store, self._await(find, task_id, lambda state: 1, timeout_s), task_id)

    def set(self, name: str, timeout_s: float | None) -> list[Any]:
        """The values of all tasks of a set in order of index; see `SetHandle.results`."""

        def find(state: State) -> list[tuple[str, Result]] | None:
            s = state.sets.get(name)
            if s is None:
                raise self._no_set(name)
            if s.n_broken:
                raise self._failure(state, next(t for t in s.live() if t.state in _BROKEN))
            if s.n_done < s.size:
                return None
            return [(t.id, t.result) for t in s.live() if t.result is not None]

        def missing(state: State) -> int:
            return state.sets[name].size - state.sets[name].n_done

        return [unpack(self._store, result, task) for task, result in self._await(find, name, missing, timeout_s)]

    def _await(
        self, find: Callable[[State], Any], target: str, missing: Callable[[State], int], timeout_s: float | None
    ) -> Any:
        """What `find` gives once it is not None; between two looks waits for the `missing` results, or other news."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            # Asked before the look: an engine that ends in between has written what the look then sees.
            alive = self.session.alive
            with self._lock:
                state = self.tables().state
                found = find(state)
                if found is not None:
                    return found
                if not self._started():
                    raise NotStarted(
                        f"{target} has no result yet, because the campaign is not started: call start() or run()"
                    )
                if not alive:
                    raise NoProgress(
                        f"{target} has no result and the campaign is stopped: "
                        f"Campaign.resume({self.session.directory!r}) goes on with it"
                    )
                if state.stuck:
                    raise NoProgress(f"{target} cannot come about by itself: {self._why(state, target)}")
                seen, lacking = self._tables.next_seq, missing(state)
            left = _SLICE_S if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{target} has no result after {timeout_s:g} s: {self._told(target)}")
            self._await_news(seen, target, lacking, min(left, _SLICE_S))

    def _await_news(self, seen: int, target: str, lacking: int, at_most_s: float) -> None:
        """Wait until records from `seen` on may have settled what becomes of `target`.

        Records of other tasks are passed over unread: to fold each as it comes would take the time of short tasks
        away from the engine, which runs in this process.
        """
        until = time.monotonic() + at_most_s
        while (left := until - time.monotonic()) > 0 and self.session.wait(seen, left):
            records = self.session.events(seen)
            for record in records:
                event = record.event
                if type(event) is AttemptFinished:
                    lacking -= event.task == target or event.task.rpartition("[")[0] == target
                    if lacking <= 0 or event.growth:
                        return
                elif type(event) not in _UNDER_WAY:
                    return
            if not records:
                return
            seen = records[-1].seq + 1

    # ------------------------------------------------------------------ words
    def _task(self, state: State, task_id: str) -> Task:
        task = state.task(task_id)
        if task is None:
            raise UnknownName(f"there is no task {task_id} (any more): it was removed, or never accepted", task_id)
        return task

    def _no_set(self, name: str) -> UnknownName:
        return UnknownName(f"there is no task set {name} (any more): it was removed, or never accepted", name)

    def _told(self, target: str) -> str:
        with self._lock:
            return self._why(self._tables.state, target)

    def _why(self, state: State, target: str) -> str:
        task = state.task(target)
        if task is None:
            task = next((t for t in state.sets[target].live() if t.state is not TaskState.done), None)
        return why(state, task) if task is not None else "it has no tasks"

    def _failure(self, state: State, task: Task) -> TaskFailed:
        """The error for a task that ended without a result: its own cause, or that of the input that it lacked."""
        culprit = (broken_input(task) if task.state is TaskState.skipped else None) or task
        text = _sentence(culprit)
        if culprit is not task:
            text = f"{task.id} was skipped because {text}"
        cause = culprit.cause or (Cause.Cancelled if culprit.state is TaskState.cancelled else None)
        return TaskFailed(
            f"{text}\n(handle.story() tells all that happened to {culprit.id})",
            task.id,
            "" if cause is None else cause.value,
            self.session.story(culprit.id),
        )


def _sentence(task: Task) -> str:
    if task.state is TaskState.cancelled:
        return f"{task.id} was cancelled"
    if task.state is TaskState.skipped or task.cause is None:
        return f"{task.id} was skipped"
    text = f"{task.id} failed in attempt {task.number}: {task.cause}, {EXPLAINED[task.cause]}"
    return f"{text}\n{task.detail.rstrip()}" if task.detail.strip() else text
