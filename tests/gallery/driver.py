"""Runs what a campaign's builder declares, in this process and in order: the science without an engine.

It knows as much of the declaring interface as `workbench.gallery.deepdrivemd` uses. Of the tasks whose inputs are there
the one of highest priority runs, first declared first. What the agent asks of tasks that have not run yet reaches them
through `workbench.task`, as it would in a campaign.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

OPTIONS = {"name", "preload", "stage", "retries", "labels", "priority", "cores"}
TASK = re.compile(r"(.+)\[(\d+)\]")


@dataclasses.dataclass(frozen=True)
class Ref:
    """Stands for the result of one task (a set: `index` None)."""

    name: str
    index: int | None = None


class RefSet(list[Ref]):
    """A set's handle: a list of its tasks' handles."""

    def __init__(self, name: str, n: int) -> None:
        super().__init__(Ref(name, i) for i in range(n))
        self.name = name


@dataclasses.dataclass
class Declared:
    """One task."""

    id: str
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    parameters: dict[str, Any]
    options: dict[str, Any]


class InlineCampaign:
    """Declares and runs in process. `results` maps task ids to results; `order` lists task ids as they ran."""

    def __init__(self) -> None:
        self.declared: dict[str, Declared] = {}
        self.sizes: dict[str, int] = {}
        self.results: dict[str, Any] = {}
        self.order: list[str] = []
        self.steered: dict[str, dict[str, Any]] = {}
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.running = ""

    # ------------------------------------------------------------------ the declaring interface
    def map(self, fn: Callable[..., Any], items: Iterable[Any], *args: Any, **given: Any) -> RefSet:
        values = list(items)
        assert values, "a task set needs a task"
        options = {k: v for k, v in given.items() if k in OPTIONS}
        name = options["name"]
        assert name not in self.sizes, f"{name} is declared twice"
        parameters = {k: v for k, v in given.items() if k not in OPTIONS}
        for i, item in enumerate(values):
            self._check((item, args))
            task = f"{name}[{i}]"
            self.declared[task] = Declared(task, fn, (item, *args), parameters, options)
        self.sizes[name] = len(values)
        return RefSet(name, len(values))

    def task(self, fn: Callable[..., Any], *args: Any, **given: Any) -> Ref:
        self._check(args)
        options = {k: v for k, v in given.items() if k in OPTIONS}
        name = options["name"]
        assert name not in self.sizes, f"{name} is declared twice"
        parameters = {k: v for k, v in given.items() if k not in OPTIONS}
        self.declared[f"{name}[0]"] = Declared(f"{name}[0]", fn, args, parameters, options)
        self.sizes[name] = 1
        return Ref(name, 0)

    def handle(self, target: str) -> Ref | RefSet:
        match = TASK.fullmatch(target)
        if match is None:
            return RefSet(target, self.sizes[target])
        assert target in self.declared, f"no task {target}"
        return Ref(match[1], int(match[2]))

    def steer(self, target: str, **parameters: Any) -> None:
        assert target in self.sizes
        self.steered.setdefault(target, {}).update(parameters)

    # ------------------------------------------------------------------ running
    def run(self, monkeypatch: pytest.MonkeyPatch, at_most: int = 10_000) -> InlineCampaign:
        """Run everything, growth included; fails when that takes more than `at_most` tasks."""
        from workbench import task

        monkeypatch.setattr(task, "grow", self._grow)
        monkeypatch.setattr(task, "report", lambda **metrics: self.reports.append((self.running, metrics)))
        monkeypatch.setattr(task, "parameters", lambda: self.steered.get(self.running.split("[")[0], {}))
        monkeypatch.setattr(task, "index", lambda: int(self.running.split("[")[1][:-1]))
        monkeypatch.setattr(task, "should_stop", lambda: False)
        while (ready := self._next()) is not None:
            assert len(self.order) < at_most, f"still growing after {at_most} tasks: {self.order[-5:]}"
            self.running = ready.id
            args = self._resolve(ready.args)
            self.results[ready.id] = ready.fn(*args, **ready.parameters)
            self.order.append(ready.id)
        missing = [t for t in self.declared if t not in self.results]
        assert not missing, f"never became ready: {missing}"
        return self

    @contextlib.contextmanager
    def _grow(self) -> Iterator[InlineCampaign]:
        yield self

    def _next(self) -> Declared | None:
        ready = [
            one
            for one in self.declared.values()
            if one.id not in self.results and all(r in self.results for r in self._needs(one.args))
        ]
        return max(ready, key=lambda one: one.options.get("priority", 0), default=None)  # of equals the first

    def needs(self, task: str) -> set[str]:
        """Ids of the tasks whose results `task` receives."""
        return set(self._needs(self.declared[task].args))

    def _needs(self, value: Any) -> Iterator[str]:
        if isinstance(value, Ref):
            yield f"{value.name}[{value.index}]"
        elif isinstance(value, dict):
            for v in value.values():
                yield from self._needs(v)
        elif isinstance(value, list | tuple):
            for v in value:
                yield from self._needs(v)

    def _check(self, value: Any) -> None:
        for target in self._needs(value):
            assert target in self.declared, f"{target} is used before it is declared"

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, Ref):
            return self.results[f"{value.name}[{value.index}]"]
        if isinstance(value, dict):
            return {k: self._resolve(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return (
                type(value)(self._resolve(v) for v in value)
                if type(value) is not RefSet
                else [self._resolve(v) for v in value]
            )
        return value
