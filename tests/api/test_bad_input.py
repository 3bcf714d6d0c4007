"""Declarations that mean nothing end in one sentence, before anything ran."""

from __future__ import annotations

import math
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.api.conftest import simulate, strict
from workbench.api.growth import Growth
from workbench.api.taskset import OPTIONS, TaskSet
from workbench.model.errors import BadValue, DuplicateName, NotSerializable
from workbench.model.specs import (
    Executable,
    LogNormal,
    Mpi,
    Normal,
    Uniform,
)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"cores": 0}, "cores must be a whole number of at least 1"),
        ({"cores": 1.5}, "cores"),
        ({"cores": True}, "cores"),
        ({"gpus": -1}, "gpus"),
        ({"nodes": 2}, "Mpi or Synthetic"),
        ({"memory": "2 gigs"}, "gigs"),
        ({"memory": -1}, "memory"),
        ({"estimate": -1}, "zero or more"),
        ({"estimate": math.nan}, "finite"),
        ({"estimate": math.inf}, "finite"),
        ({"estimate": "long"}, "Constant, Normal"),
        ({"estimate": Normal(1, math.nan)}, "estimate.std"),
        ({"estimate": Uniform(2, 1)}, "smaller number first"),
        ({"estimate": LogNormal(0, 1)}, "log-normal"),
        ({"estimate": [1, 2]}, "2 estimates for 1 tasks"),
        ({"retries": -1}, "retries"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"timeout_s": math.inf}, "timeout_s"),
        ({"priority": "high"}, "priority"),
        ({"tags": ["a"]}, "tags"),
        ({"tags": {"a": object()}}, "tags map text to text"),
        ({"stage": -1}, "stage"),
        ({"parameters": {"f": print}}, "cannot be kept as JSON"),
        ({"parameters": {"x": math.nan}}, "JSON has no nan"),
        ({"parameters": {"x": 2**70}}, "64 bits"),
        ({"parameters": {"not a name": 1}}, "no name that a function can receive"),
        ({"parameters": 3}, "dictionary"),
        ({"parameters": {"lr": 1}, "lr": 2}, "given twice"),
        ({"isolation": "container"}, "child, thread"),
        ({"preload": "no-module!"}, "names of modules"),
        ({"dask": 1}, "True or False"),
        ({"on_failed_input": "ignore"}, "skip, hold"),
        ({"name": "a b"}, "no name for a task set"),
        ({"name": ""}, "no name for a task set"),
        ({"name": "x" * 81}, "no name for a task set"),
        ({"name": 3}, "no name for a task set"),
        ({"after": 3}, "neither a handle nor a name"),
        ({"core": 2}, "unexpected keyword argument 'core'.*cores="),
        ({"labels": "ab"}, "one text for each task"),
    ],
)
def test_a_bad_option_is_named_with_the_way_out(g: Growth, given: dict[str, Any], says: str) -> None:
    with pytest.raises(BadValue, match=says) as caught:
        g.task(strict, 1, **given)
    assert "\n" not in str(caught.value) and g.edits == ()


@pytest.mark.parametrize(
    ("declare", "error", "says"),
    [
        (lambda g: g.task(3), BadValue, "3 is no task"),
        (lambda g: g.task(Executable), BadValue, r"write Executable\(\.\.\.\)"),
        (lambda g: g.task(Executable("echo hi")), BadValue, "no shell"),
        (lambda g: g.task(Executable([])), BadValue, "names no program"),
        (lambda g: g.task(Executable(["a", None])), BadValue, "text, paths and numbers"),
        (lambda g: g.task(Executable(["a"], outputs=["../x"])), BadValue, "scratch directory"),
        (lambda g: g.task(Executable(["a"], outputs="x")), BadValue, "list of file names"),
        (lambda g: g.task(Executable(["a"], env={"A=B": "1"})), BadValue, "environment variable"),
        (lambda g: g.task(Executable(["a"]), 3), BadValue, "receives no Python value"),
        (lambda g: g.task(Executable(["a"]), isolation="thread"), BadValue, "for Python functions"),
        (lambda g: g.task(Mpi(["a"], ranks=0)), BadValue, "ranks"),
        (lambda g: g.task(Mpi(["a"], ranks=8), cores=4), BadValue, "too few for 8 ranks"),
        (lambda g: g.tasks(strict, 1, n=0), BadValue, "n must be"),
        (lambda g: g.map(simulate, []), BadValue, "at least one task"),
        (lambda g: g.map(simulate, "abc"), BadValue, "one item for each task"),
        (lambda g: g.map(simulate, 3), BadValue, "one item for each task"),
        (lambda g: g.task(strict), BadValue, "missing a required argument"),
        (lambda g: g.task(strict, 1, 2, 3), BadValue, "too many positional"),
        (lambda g: g.task(_coroutine), BadValue, "returns its result"),
        (lambda g: g.task(simulate, threading.Lock()), NotSerializable, "argument 0"),
        (lambda g: g.map(simulate, [1, threading.Lock()]), NotSerializable, "cannot be sent"),
        (lambda g: g.tasks(strict, 1, n=2, parameters=[{}]), BadValue, "one dictionary for each"),
        (lambda g: g.add(TaskSet("x", strict, n=2, items=[1])), BadValue, "either n or items"),
    ],
)
def test_a_bad_declaration_is_one_sentence(g: Growth, declare: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        declare(g)
    assert "\n" not in str(caught.value) and g.edits == ()


async def _coroutine() -> int:
    return 1


def test_a_function_that_cannot_be_sent_is_named(g: Growth) -> None:
    lock = threading.Lock()

    def locked() -> bool:
        return lock.locked()

    with pytest.raises(NotSerializable, match="locked"):
        g.task(locked)
    handle = g.task(simulate, name="a")

    def captures() -> Any:
        return handle

    with pytest.raises(NotSerializable, match=r"uses the handle of a\[0\].*pass it as an argument"):
        g.task(captures)


def test_a_name_can_be_used_once(g: Growth) -> None:
    g.task(simulate, name="a")
    with pytest.raises(DuplicateName, match="already a task set 'a'"):
        g.task(simulate, name="a")


def test_a_handle_is_no_value(g: Growth) -> None:
    task, many = g.task(simulate, name="a"), g.tasks(simulate, n=2, name="b")
    misuse: list[Any] = [
        lambda: bool(task),
        lambda: list(task),
        lambda: len(task),
        lambda: task[0],
        lambda: task + 1,
        lambda: 2 * task,
        lambda: task < 3,
        lambda: float(task),
        lambda: np.mean(task),
        lambda: 1 + many,
        lambda: np.sum(many),
    ]
    for wrong in misuse:
        with pytest.raises(BadValue, match=r"is a handle, not a value: ask \.results?\(\)"):
            wrong()
    with pytest.raises(BadValue, match="pass it as an argument"):
        pickle.dumps(task)
    assert many and task == g.handle("a[0]") and task in {g.handle("a[0]")} and task != many and "a[0]" in repr(task)


def test_a_handle_of_another_campaign_is_refused(tmp_path: Path) -> None:
    here, there = Growth(tmp_path / "a", "s[0]"), Growth(tmp_path / "b", "s[0]")
    foreign = there.tasks(simulate, n=2, name="far")
    for wrong in (
        lambda: here.task(simulate, foreign),
        lambda: here.task(simulate, {"deep": [foreign[0]]}),
        lambda: here.map(simulate, foreign),
        lambda: here.map(simulate, [foreign[0]]),
        lambda: here.task(simulate, after=foreign),
        lambda: here.task(simulate, model=foreign[1]),
        lambda: here.hold(foreign),
        lambda: here.task(Executable(["a"]), foreign),
        lambda: here.map(Executable(["a"]), [foreign[0]]),
    ):
        with pytest.raises(BadValue, match="belongs to another campaign"):
            wrong()
    assert here.edits == ()


def test_help_lists_the_options() -> None:
    import inspect

    for method in (Growth.task, Growth.tasks, Growth.map):
        shown = inspect.signature(method).parameters
        assert set(OPTIONS) <= set(shown)
        assert shown["cores"].default is None and shown["tags"].default == {}
