"""`TaskSet`: everything that can be said about a task set, as one value. Its fields are the options of declarations."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, TypeVar

from workbench.model import specs

from .handles import SetHandle, TaskHandle

Target = str | TaskHandle | SetHandle
Targets = Target | Iterable[Target]
Work = Callable[..., Any] | specs.Executable | specs.Mpi | specs.Synthetic


@dataclass
class TaskSet:
    """A task set to declare with `Campaign.add`: `n` tasks of one kind, one per item, or a single task.

    Parameters
    ----------
    name : str or None
        Unique in the campaign; None takes the function's name and makes it unique.
    fn : callable, Executable, Mpi or Synthetic
        What each task does.
    n : int, optional
        Number of tasks that all call ``fn(*args, **parameters)``.
    items : iterable or SetHandle, optional
        One task per item: ``fn(item, *args, **parameters)``. Of a set handle, the i-th task gets the i-th result. For
        an executable an item is a dictionary of parameters, or a value for ``{item}``. Neither `n` nor `items`
        declares a single task.
    args : sequence
        Arguments for every task; handles in them, however deep in lists, tuples and dictionaries, are dependencies.
    cores, gpus, nodes : int
        Of each task; cores and GPUs per node. An MPI task that states no cores gets those of its ranks.
    memory : int or str
        Bytes per node, or text such as ``"2 GiB"``; None is not stated.
    estimate : float or Constant, Normal, Uniform, LogNormal
        Execution time TX in seconds; a list gives one for each task; None learns it from finished tasks.
    retries : int
        Further attempts after one that failed for a reason of its own.
    timeout_s : float, optional
        Longest time of one attempt, seconds.
    priority : int
        Higher first.
    tags : dict
        Text for people and tools.
    stage : int, optional
        Stage of sequential mode; see `Campaign.stage`.
    after : handle, name, or several of them
        Dependencies without data; None or ``()`` for none, as in the first turn of a loop.
    parameters : dict
        JSON values that `fn` receives as keyword arguments and that can be edited and steered; a list gives one
        dictionary for each task.
    labels : sequence of str, optional
        A label for each task.
    isolation : str
        ``"child"`` (a process of its own) or ``"thread"`` (in the worker, for micro-tasks).
    preload : sequence of str
        Modules to import before the children of this set are forked.
    dask : bool
        The function calls `workbench.task.dask_client()`.
    on_failed_input : str
        ``"skip"`` or ``"hold"`` these tasks when an input failed for good.
    keywords : dict
        Keyword arguments of `fn` that need not be JSON. Those that are become parameters.
    """

    name: str | None
    fn: Work
    n: int | None = None
    items: Iterable[Any] | SetHandle | None = None
    args: Sequence[Any] = ()
    cores: int | None = None
    gpus: int = 0
    memory: int | str | None = None
    nodes: int = 1
    estimate: float | specs.Estimate | Sequence[float | specs.Estimate | None] | None = None
    retries: int = 0
    timeout_s: float | None = None
    priority: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)
    stage: int | None = None
    after: Targets | None = ()
    parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] = field(default_factory=dict)
    labels: Sequence[str] | None = None
    isolation: str = "child"
    preload: str | Sequence[str] = ()
    dask: bool = False
    on_failed_input: str = "skip"
    keywords: Mapping[str, Any] = field(default_factory=dict)


NOT_OPTIONS = frozenset({"fn", "n", "items", "args", "keywords"})
OPTIONS: tuple[str, ...] = tuple(f.name for f in fields(TaskSet) if f.name not in NOT_OPTIONS)


def split_options(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of a task set, and the keyword arguments that are the function's own."""
    options = {key: given[key] for key in given if key in OPTIONS}
    return options, {key: given[key] for key in given if key not in OPTIONS}


F = TypeVar("F", bound=Callable[..., Any])


def with_options(function: F) -> F:
    """Give a method that takes ``**options`` a signature that lists them, for help and completion in a notebook."""
    signature = inspect.signature(function)
    kept = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    taken = {p.name for p in kept}
    extra = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=_default(f), annotation=f.type)
        for f in fields(TaskSet)
        if f.name in OPTIONS and f.name not in taken
    ]
    rest = inspect.Parameter("parameters_of_fn", inspect.Parameter.VAR_KEYWORD, annotation=Any)
    function.__signature__ = signature.replace(parameters=[*kept, *extra, rest])  # type: ignore[attr-defined]
    return function


def _default(f: Field[Any]) -> Any:
    if f.default_factory is not MISSING:
        return f.default_factory()
    return None if f.default is MISSING else f.default
