"""Handles: what a declaration returns, what a later one takes as an argument, and where results are asked for.

A handle is a name and the campaign (or growth) that it belongs to; it holds no result and no state of its own. As an
argument it stands for its result: the codec asks `__workbench_ref__` and writes a reference in its place.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, NoReturn, Protocol, overload

from workbench.model.errors import BadValue
from workbench.model.ids import task_id
from workbench.model.states import TaskState

Ref = tuple[str, ...]


class Owner(Protocol):
    """What a handle asks of the campaign or growth that it belongs to."""

    @property
    def key(self) -> str:
        """Tells campaigns apart: equal for two objects that speak of the same campaign."""

    def _task_result(self, task: str, timeout_s: float | None) -> Any: ...

    def _set_results(self, name: str, timeout_s: float | None) -> list[Any]: ...

    def _task_state(self, task: str) -> TaskState: ...

    def _set_counts(self, name: str) -> dict[str, int]: ...

    def _set_indices(self, name: str, declared: int | None) -> range | list[int]: ...
    def _set_has(self, name: str, index: int, declared: int | None) -> bool: ...

    def _story(self, target: str) -> str: ...


class _Declaring(threading.local):
    owner: Owner | None = None


_declaring = _Declaring()


class declaring:
    """Context in which arguments are encoded for `owner`: a handle of another campaign then gives no reference."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner

    def __enter__(self) -> None:
        self.before, _declaring.owner = _declaring.owner, self.owner

    def __exit__(self, *error: object) -> None:
        _declaring.owner = self.before


def check_owner(handle: Handle, owner: Owner) -> None:
    """Refuse a handle that belongs to another campaign.

    Raises
    ------
    BadValue
        Naming the handle and the way to bring its result over.
    """
    if handle._owner is not owner and handle._owner.key != owner.key:
        raise BadValue(
            f"{handle.target} belongs to another campaign: fetch its value with .result() (or .results()) there and "
            "pass that, or declare the task here",
            handle.target,
        )


class Handle:
    """What task and set handles share: they may be passed and asked, but are no values."""

    __slots__ = ("__weakref__", "_owner")
    _fetch = "result()"

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    @property
    def target(self) -> str:
        """How edits and `story` call it: a set's name or a task's id."""
        raise NotImplementedError

    def _ref(self) -> Ref:
        raise NotImplementedError

    def __workbench_ref__(self) -> Ref:
        """The reference that stands for this handle's result in encoded arguments."""
        if _declaring.owner is not None:
            check_owner(self, _declaring.owner)
        return self._ref()

    def story(self) -> str:
        """What happened to it, in sentences, oldest first."""
        return self._owner._story(self.target)

    def __hash__(self) -> int:
        return hash((self._owner.key, self.target))

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and (self._owner.key, self.target) == (other._owner.key, other.target)

    def __reduce__(self) -> NoReturn:
        raise BadValue(
            f"the handle {self.target} cannot be stored or captured by a function: pass it as an argument of the task, "
            "which then receives its result",
            self.target,
        )

    def _misused(self, *_: object, **__: object) -> NoReturn:
        raise BadValue(
            f"{self.target} is a handle, not a value: ask .{self._fetch} for the value, or pass the handle as an "
            "argument of a task, which then receives it",
            self.target,
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _misused
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __matmul__ = __rmatmul__ = _misused
    __lt__ = __le__ = __gt__ = __ge__ = __neg__ = __pos__ = __abs__ = _misused
    __int__ = __float__ = __complex__ = __index__ = __array__ = _misused


class TaskHandle(Handle):
    """One task of a campaign.

    Attributes
    ----------
    id : str
        ``"sim[3]"``.
    name : str
        Its set's name.
    index : int
        Its place in the set.
    """

    __slots__ = ("index", "name")

    def __init__(self, owner: Owner, name: str, index: int) -> None:
        super().__init__(owner)
        self.name, self.index = name, index

    @property
    def id(self) -> str:
        """``name[index]``."""
        return task_id(self.name, self.index)

    @property
    def target(self) -> str:
        return self.id

    @property
    def state(self) -> TaskState:
        """The task's state now."""
        return self._owner._task_state(self.id)

    def result(self, timeout_s: float | None = None) -> Any:
        """The task's result; waits for it.

        Raises
        ------
        TaskFailed
            When the task ended without one: carries the cause and the story.
        NotStarted, NoProgress
            When nothing runs that could bring it.
        TimeoutError
            After `timeout_s` seconds.
        """
        return self._owner._task_result(self.id, timeout_s)

    def _ref(self) -> Ref:
        return ("task", self.id)

    __bool__ = __iter__ = __len__ = __getitem__ = __contains__ = Handle._misused  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<task {self.id}>"


class SetHandle(Handle):
    """A task set of a campaign: has a length, can be indexed and iterated (each gives task handles)."""

    __slots__ = ("_n", "name")
    _fetch = "results()"

    def __init__(self, owner: Owner, name: str, n: int | None) -> None:
        super().__init__(owner)
        self.name, self._n = name, n

    @property
    def target(self) -> str:
        return self.name

    def _indices(self) -> range | list[int]:
        return self._owner._set_indices(self.name, self._n)

    def __len__(self) -> int:
        return len(self._indices())

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[TaskHandle]:
        return (TaskHandle(self._owner, self.name, index) for index in self._indices())

    @overload
    def __getitem__(self, which: int) -> TaskHandle: ...
    @overload
    def __getitem__(self, which: slice) -> list[TaskHandle]: ...
    def __getitem__(self, which: int | slice) -> TaskHandle | list[TaskHandle]:
        if not isinstance(which, slice) and which >= 0 and self._owner._set_has(self.name, which, self._n):
            return TaskHandle(self._owner, self.name, which)
        indices = self._indices()
        if isinstance(which, slice):
            return [TaskHandle(self._owner, self.name, index) for index in indices[which]]
        if which < 0:
            which += len(indices) if not indices else indices[-1] + 1
        if which not in indices:
            raise IndexError(f"{self.name} has {len(indices)} tasks and no task {which}")
        return TaskHandle(self._owner, self.name, which)

    @property
    def counts(self) -> dict[str, int]:
        """Number of tasks in each state that occurs."""
        return self._owner._set_counts(self.name)

    def results(self, timeout_s: float | None = None) -> list[Any]:
        """Results of all tasks in order of index; waits for them. Raises what `TaskHandle.result` raises."""
        return self._owner._set_results(self.name, timeout_s)

    def _ref(self) -> Ref:
        return ("set", self.name)

    def __repr__(self) -> str:
        return f"<task set {self.name}>"


class Each:
    """Stands for the i-th result of a set in the arguments of the i-th task of another."""

    __slots__ = ("handle",)

    def __init__(self, handle: SetHandle) -> None:
        self.handle = handle

    def __workbench_ref__(self) -> Ref:
        self.handle.__workbench_ref__()  # checks the owner
        return ("each", self.handle.name)


class Item:
    """Stands for a task's own item in the arguments that its set shares."""

    __slots__ = ()

    def __workbench_ref__(self) -> Ref:
        return ("item",)
