"""What a task can ask and say while it runs. Importable anywhere; outside a campaign every call does nothing.

```python
from workbench import task

def train(epochs, lr):
    for epoch in range(epochs):
        lr = task.parameters().get("lr", lr)       # steered while running
        loss = step(lr)
        task.report(loss=loss)
        task.progress((epoch + 1) / epochs)
        if task.should_stop():                     # somebody asked to end early and keep what there is
            break
    return loss
```

All calls are cheap: they never wait for anybody and never touch the network of the campaign.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

__all__ = [
    "attempt",
    "dask_client",
    "grow",
    "id",
    "index",
    "inside",
    "parameters",
    "progress",
    "report",
    "scratch",
    "should_stop",
]

Metric = float | int | str | bool


class Context(Protocol):
    """What the worker's side provides for the attempt that runs (`executors.agent.context`)."""

    task: str
    number: int
    index: int

    def scratch(self) -> Path: ...

    def report(self, metrics: dict[str, Metric], progress: float | None) -> None: ...

    def parameters(self) -> dict[str, Any]: ...

    def should_stop(self) -> bool: ...

    def dask_client(self) -> Any: ...

    def declarer(self) -> Any: ...

    def grown(self, declarer: Any) -> None: ...


_of_process: Context | None = None
_of_thread: ContextVar[Context | None] = ContextVar("workbench_task", default=None)
_outside: Path | None = None


def enter(context: Context | None, thread: bool = False) -> None:
    """Called by the worker before and (with None) after each attempt."""
    global _of_process
    if thread:
        _of_thread.set(context)
    else:
        _of_process = context


def _context() -> Context | None:
    return _of_thread.get() or _of_process


def inside() -> bool:
    """Whether this code runs as a task of a campaign."""
    return _context() is not None


def id() -> str:
    """The task's id, e.g. ``"sim[3]"``; empty outside a campaign."""
    c = _context()
    return c.task if c is not None else ""


def index() -> int:
    """The task's index in its set; 0 outside a campaign."""
    c = _context()
    return c.index if c is not None else 0


def attempt() -> int:
    """Number of this attempt, from 1; 0 outside a campaign."""
    c = _context()
    return c.number if c is not None else 0


def scratch() -> Path:
    """A directory of this attempt's own, made on first use.

    It is removed when the attempt succeeds and kept when it fails. Outside a campaign: a temporary directory that is
    removed when the process ends.
    """
    c = _context()
    if c is not None:
        return c.scratch()
    global _outside
    if _outside is None or not _outside.is_dir():
        import atexit
        import shutil
        import tempfile

        _outside = Path(tempfile.mkdtemp(prefix="workbench-"))
        atexit.register(shutil.rmtree, _outside, ignore_errors=True)
    return _outside


def report(**metrics: Any) -> None:
    """Report metrics: numbers, short texts or truth values (NumPy and torch scalars too).

    Every value is kept as long as there are few a second; of many, only the last of each name.

    Raises
    ------
    TypeError
        If a value is none of these; inside a campaign and outside, so that it shows early.
    """
    plain = {name: _plain(name, value) for name, value in metrics.items()}
    c = _context()
    if c is not None and plain:
        c.report(plain, None)


def progress(fraction: float) -> None:
    """Report how much is done, from 0 to 1 (values beyond are cut off).

    Raises
    ------
    TypeError
        If `fraction` is not a number.
    """
    value = _plain("progress", fraction)
    if isinstance(value, str) or value != value:
        raise TypeError(f"progress takes a number from 0 to 1, not {fraction!r}")
    c = _context()
    if c is not None:
        c.report({}, min(1.0, max(0.0, float(value))))


def parameters() -> dict[str, Any]:
    """The task's parameters as they are now, steered ones included; empty outside a campaign."""
    c = _context()
    return c.parameters() if c is not None else {}


def should_stop() -> bool:
    """Whether somebody asked this attempt to end early and return what it has."""
    c = _context()
    return c.should_stop() if c is not None else False


def dask_client() -> Any:
    """A `distributed.Client` of the cluster that runs the campaign, for functions declared with ``dask=True``.

    Raises
    ------
    RuntimeError
        Outside a campaign, or in a task declared without ``dask=True``.
    """
    c = _context()
    if c is None:
        raise RuntimeError("task.dask_client() works inside a campaign only, in a function declared with dask=True")
    return c.dask_client()


@contextlib.contextmanager
def grow() -> Iterator[Any]:
    """Declare further tasks, in the same words as `Campaign`: they join the campaign when this attempt has finished.

    ```python
    with task.grow() as g:
        g.map(simulate, seeds, name="sim-2")
    ```
    If the block raises, nothing is added. Outside a campaign the declarations are checked and forgotten.
    """
    c = _context()
    if c is None:
        import tempfile

        with tempfile.TemporaryDirectory(prefix="workbench-") as directory:
            from workbench.executors.agent.context import make_declarer

            yield make_declarer(directory, "")
        return
    declarer = c.declarer()
    yield declarer
    c.grown(declarer)


def _plain(name: str, value: Any) -> Metric:
    if isinstance(value, bool | int | float | str):
        return value[:1000] if isinstance(value, str) else value
    item = getattr(value, "item", None)
    if callable(item):
        try:
            value = item()
        except (TypeError, ValueError, RuntimeError):
            pass
        else:
            if isinstance(value, bool | int | float | str):
                return value
    raise TypeError(f"{name}={value!r} is not a number, text or truth value; report one of these")
