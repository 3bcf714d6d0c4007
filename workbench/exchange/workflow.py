"""The intermediate value between any source of workflows and a campaign: tasks that are known one by one.

Rules that `Workflow.checked` enforces: there is at least one task, ids differ, parents exist, nothing waits for itself,
and every number means something. A `Workflow` that exists keeps them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from workbench.model.edits import AddSet
from workbench.model.errors import WorkbenchError
from workbench.model.resources import NodeShape, Pool

LIMIT = 1_000_000  # more cores, GPUs or nodes than this is a slip of the finger; pools have the same limit
LONGEST_S = 1e10  # three centuries


class BadWorkflow(WorkbenchError):
    """A file or object that holds no workflow, or one that makes no sense."""


@dataclass(frozen=True, slots=True)
class WorkTask:
    """One task.

    Attributes
    ----------
    id : str
        Unique in the workflow.
    runtime_s : float
        How long it ran, or is expected to run, in seconds.
    kind : str
        What tasks alike share: category, program or stage. Tasks of one kind become one set.
    name : str
        For people; the id where left out.
    cores, gpus : int
        On each of its `nodes`.
    memory : int
        Bytes that it was seen to use; told, but not asked for when the task is declared.
    machines : tuple of str
        Names of those that it ran on.
    """

    id: str
    runtime_s: float
    kind: str = ""
    name: str = ""
    cores: int = 1
    gpus: int = 0
    nodes: int = 1
    memory: int = 0
    machines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that tasks ran on; zeros are not known."""

    name: str
    cores: int = 0
    gpus: int = 0
    memory: int = 0


@dataclass(frozen=True)
class Workflow:
    """Tasks, their dependencies, and the machines that they ran on.

    Attributes
    ----------
    name : str
        For people, one line.
    source : str
        Where it is from: ``"WfFormat 1.5"``, ``"Pipelines-Stages-Tasks"``, ``"networkx"``.
    tasks : tuple of WorkTask
        In the order of the source.
    parents : tuple of tuple of int
        For each task the places in `tasks` of those that it waits for, ascending, each once. Tasks with equal parents
        share one tuple, so that a barrier between 10^4 and 10^4 tasks costs 10^4 numbers.
    machines : tuple of Machine
        Empty where the source tells of none.
    """

    name: str
    source: str
    tasks: tuple[WorkTask, ...]
    parents: tuple[tuple[int, ...], ...]
    machines: tuple[Machine, ...] = ()

    @classmethod
    def checked(
        cls,
        name: Any,
        source: str,
        tasks: Sequence[WorkTask],
        parents: Sequence[Iterable[int]],
        machines: Sequence[Machine] = (),
        where: str = "the workflow",
    ) -> Workflow:
        """A workflow that keeps the rules.

        Parameters
        ----------
        name : object
            What the source calls it; anything but a printable line of text becomes ``"workflow"``.
        parents : sequence of iterables of int
            For each task the places of its parents, in any order.
        where : str
            Which file or object, for sentences.

        Raises
        ------
        BadWorkflow
            If there are no tasks, an id is there twice, or tasks wait for one another in a circle.
        """
        if not tasks:
            raise BadWorkflow(f"{where} holds no tasks; there is nothing to predict or run")
        places: dict[str, int] = {}
        for i, task in enumerate(tasks):
            if places.setdefault(task.id, i) != i:
                raise BadWorkflow(f"{where}: the task id {short(task.id)} is there twice; give each task its own id")
        shared: dict[tuple[int, ...], tuple[int, ...]] = {}
        seen: dict[int, tuple[int, ...]] = {}  # barriers pass the same object for many tasks: order it once
        listed = list(parents)
        ordered: list[tuple[int, ...]] = []
        for some in listed:
            found = seen.get(id(some))
            if found is None:
                found = tuple(sorted(set(some)))
                found = seen[id(some)] = shared.setdefault(found, found)
            ordered.append(found)
        flow = cls(_one_line(name), source, tuple(tasks), tuple(ordered), tuple(machines))
        circle = _circle(flow.parents) if flow._levels is None else []
        if circle:
            told = " > ".join(tasks[i].id[:60] for i in circle[:6]) + (" > ..." if len(circle) > 6 else "")
            raise BadWorkflow(f"{where}: tasks wait for one another in a circle ({told}); take one of these edges out")
        return flow

    # ------------------------------------------------------------------ what it is
    @property
    def n_tasks(self) -> int:
        """Number of tasks."""
        return len(self.tasks)

    @cached_property
    def n_edges(self) -> int:
        """Number of dependencies between single tasks."""
        return sum(map(len, self.parents))

    @cached_property
    def _levels(self) -> list[int] | None:
        return levels(self.parents)

    @property
    def levels(self) -> list[int]:
        """For each task the number of tasks on the longest chain that leads to it, itself left out."""
        found = self._levels
        assert found is not None  # `checked` found no circle
        return found

    @property
    def depth(self) -> int:
        """Number of tasks on the longest chain."""
        return max(self.levels) + 1

    def edges(self) -> set[tuple[str, str]]:
        """All dependencies as pairs of ids, parent first."""
        ids = [t.id for t in self.tasks]
        return {(ids[p], t.id) for t, some in zip(self.tasks, self.parents, strict=True) for p in some}

    # ------------------------------------------------------------------ what it becomes
    @cached_property
    def edits(self) -> tuple[AddSet, ...]:
        """The task sets and edges of a campaign of synthetic tasks, in an order in which they can be declared."""
        from .grouping import sets_of

        return sets_of(self)

    def pools(self) -> tuple[Pool, ...]:
        """Virtual nodes like the machines that the workflow ran on.

        Where no machines with known cores are told of, or none of them could hold some task: four nodes, each of eight
        cores or what the largest task asks for.
        """
        counts: dict[tuple[int, int], int] = {}
        for m in self.machines:
            if m.cores > 0:
                counts[m.cores, m.gpus] = counts.get((m.cores, m.gpus), 0) + 1
        pools = tuple(
            Pool("machines" if i == 1 else f"machines-{i}", n, NodeShape(*shape), "virtual")
            for i, (shape, n) in enumerate(sorted(counts.items(), reverse=True), start=1)
        )
        needs = {e.spec.resources for e in self.edits}
        if pools and all(any(p.can_ever_hold(r) for p in pools) for r in needs):
            return pools
        cores, gpus = max(8, *(r.cores for r in needs)), max(r.gpus for r in needs)
        nodes = max(4, *(r.nodes for r in needs))
        return (Pool("nodes", nodes, NodeShape(cores, gpus), "virtual"),)


# --- numbers and names ----------------------------------------------------------------------------------------------


def seconds(value: Any, who: str) -> float:
    """A runtime.

    Raises
    ------
    BadWorkflow
        Naming the task, if there is none or it is no time.
    """
    if value is None:
        raise BadWorkflow(f"{who} has no runtime; every task needs one, in seconds")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadWorkflow(f"{who} has the runtime {short(value)}, which is no number; give seconds")
    if not 0 <= value <= LONGEST_S:  # also what is not a number
        kind = "is negative" if value < 0 else "no task takes"
        raise BadWorkflow(f"{who} has the runtime {short(value)}, which {kind}; give seconds from 0 to {LONGEST_S:g}")
    return float(value)


def count(value: Any, what: str, who: str, least: int = 0) -> int:
    """A number of cores, GPUs or nodes; fractions of a core count as a whole one.

    Raises
    ------
    BadWorkflow
        Naming the task, if it is no such number.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not least <= value <= LIMIT:
        raise BadWorkflow(f"{who} has {what} {short(value)}; give a number from {least} to {LIMIT}")
    return max(least, math.ceil(value))


def size(value: Any) -> int:
    """Bytes that a source tells of, 0 where that is nothing sensible: they are told, never asked for."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 2**60:
        return 0
    return int(value)


def text(value: Any) -> str:
    """`value` if it is text, else nothing."""
    return value.strip() if isinstance(value, str) else ""


def entry(value: Any, key: str) -> Any:
    """``value[key]`` or ``value.key``, whichever there is; None if neither."""
    return value.get(key) if isinstance(value, Mapping) else getattr(value, key, None)


def short(value: Any) -> str:
    """`value` as a sentence can hold it."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 200:
        return f"{'-' if value < 0 else ''}{value.bit_length()} bits long"
    told = repr(value) if isinstance(value, str | int | float | None) else f"of type {type(value).__name__}"
    return told if len(told) <= 80 else f"{told[:76]}..."


def _one_line(name: Any) -> str:
    found = text(name)[:200]
    return found if found and found.isprintable() else "workflow"


# --- the graph ------------------------------------------------------------------------------------------------------


def levels(parents: Sequence[tuple[int, ...]]) -> list[int] | None:
    """Length of the longest chain that leads to each task; None if there is a circle. O(tasks + distinct edges)."""
    # Tasks that share their parents wait for one thing, a group: so barriers cost the sum of their ends.
    groups: dict[int, int] = {}
    of_task: list[int] = []
    members: list[list[int]] = []
    missing: list[int] = []
    after: list[list[int]] = [[] for _ in parents]
    for i, some in enumerate(parents):
        group = groups.get(id(some))
        if group is None:
            group = groups[id(some)] = len(members)
            members.append([])
            missing.append(len(some))
            for p in some:
                after[p].append(group)
        members[group].append(i)
        of_task.append(group)
    level = [0] * len(parents)
    top = [0] * len(members)
    done = 0
    todo = [g for g, n in enumerate(missing) if n == 0]
    while todo:
        group = todo.pop()
        for i in members[group]:
            level[i] = top[group]
            done += 1
            for g in after[i]:
                top[g] = max(top[g], level[i] + 1)
                missing[g] -= 1
                if missing[g] == 0:
                    todo.append(g)
    return level if done == len(parents) else None


def _circle(parents: Sequence[tuple[int, ...]]) -> list[int]:
    """Tasks on some circle, each the parent of the next, the first again at the end; there is one."""
    left = [len(p) for p in parents]
    after: list[list[int]] = [[] for _ in parents]
    for i, some in enumerate(parents):
        for p in some:
            after[p].append(i)
    todo = [i for i, n in enumerate(left) if n == 0]
    while todo:
        for i in after[todo.pop()]:
            left[i] -= 1
            if left[i] == 0:
                todo.append(i)
    at = next(i for i, n in enumerate(left) if n)
    path: list[int] = []
    place: dict[int, int] = {}
    while at not in place:
        place[at] = len(path)
        path.append(at)
        at = next(p for p in parents[at] if left[p])  # whoever still waits has a parent that does
    circle = [*path[place[at] :], at]
    circle.reverse()
    return circle
