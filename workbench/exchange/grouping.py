"""From tasks to task sets, so that people can read a campaign of 10^5 tasks.

1. Tasks of one kind that ask for the same become one set; each keeps its own estimate, and its id as label.
2. Kinds that would wait for one another in a circle (``cat`` after ``blast`` after ``cat``), or for themselves, are
   split by level. Every edge leads to a higher level, so the set graph has no circle, and ranks and stages mean what
   they say.
3. Dependencies become as few edges as say exactly the same: set to set, i-th to i-th, set to task, task to set, and
   only where nothing else fits, task to task.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from workbench.model.edits import AddSet
from workbench.model.ids import SET_NAME, is_task, set_of, task_id
from workbench.model.resources import Resources
from workbench.model.specs import Constant, Edge, Member, SetSpec, Synthetic

if TYPE_CHECKING:
    from .workflow import Workflow

SOURCE = "source"
"""Tag of a set that says where it is from; its tasks' labels are their ids there."""

FEW_KINDS = 500
"""So many kinds are taken as they are, however few tasks each has."""

_LONGEST = 72  # of a name, so that a number may follow

# What tasks must share to be in one set: kind, cores, GPUs, nodes, level (-1: the kind is not split)
_Key = tuple[str, int, int, int, int]


@dataclass
class _Group:
    """Tasks that become one set: their places in the workflow, ascending."""

    name: str = ""
    tasks: list[int] = field(default_factory=list)


def sets_of(flow: Workflow) -> tuple[AddSet, ...]:
    """The sets of a workflow with the edges that lead to them, each after those that it waits for."""
    groups, of_task = _grouped(flow)
    edges, before = _edges(flow, groups, of_task)
    # Tasks that take equally long may still be followed by different ones; with own estimates they have own ranks.
    differ = {set_of(e.src) for some in edges for e in some if e.kind == "each" or is_task(e.src) or is_task(e.dst)}
    found = []
    for number in _order(groups, before):
        group = groups[number]
        tasks = [flow.tasks[i] for i in group.tasks]
        first = tasks[0]
        mean = sum(t.runtime_s for t in tasks) / len(tasks)
        same = all(t.runtime_s == first.runtime_s for t in tasks)
        alone = not same or (len(tasks) > 1 and group.name in differ)
        members = tuple(Member(label=t.id, estimate=Constant(t.runtime_s) if alone else None) for t in tasks)
        spec = SetSpec(
            name=group.name,
            work=Synthetic(),
            n=len(tasks),
            members=members,
            resources=Resources(cores=first.cores, gpus=first.gpus, nodes=first.nodes),
            estimate=Constant(first.runtime_s if same else mean),
            tags={SOURCE: flow.source},
        )
        found.append(AddSet(spec, tuple(edges[number])))
    return tuple(found)


def set_name(text: str) -> str:
    """`text` as a set may be called; of a long one, the end, which says more than the beginning."""
    name = re.sub(r"[^A-Za-z0-9_.\-]+", "-", text).strip("-.")[-_LONGEST:].lstrip("-.")
    if SET_NAME.fullmatch(name):
        return name
    return f"t-{name}" if name else "task"


def _grouped(flow: Workflow) -> tuple[list[_Group], list[int]]:
    """The groups in order of appearance, and for each task its group."""
    named = {t.kind for t in flow.tasks}
    alike = len(named) <= max(FEW_KINDS, len(flow.tasks) // 4)  # otherwise the names tell tasks apart, not kinds
    kinds: list[_Key] = [(t.kind if alike else "", t.cores, t.gpus, t.nodes, -1) for t in flow.tasks]
    twisted = _twisted(flow, kinds)
    if twisted:
        level = flow.levels
        kinds = [(*k[:4], level[i]) if k in twisted else k for i, k in enumerate(kinds)]
    groups: dict[_Key, _Group] = {}
    for i, key in enumerate(kinds):
        groups.setdefault(key, _Group()).tasks.append(i)
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    for key in sorted(groups, key=lambda k: k[4]):  # the parts of a split kind count up with their levels
        base = name = set_name(key[0])
        while name in taken:
            numbers[base] = numbers.get(base, 1) + 1
            name = f"{base}-{numbers[base]}"
        taken.add(name)
        groups[key].name = name
    places = {key: place for place, key in enumerate(groups)}
    return list(groups.values()), [places[key] for key in kinds]


def _twisted(flow: Workflow, kinds: list[_Key]) -> set[_Key]:
    """Kinds on a circle of kinds, or between two circles: what stays when those without a predecessor or without a
    successor are taken away again and again."""
    after: dict[_Key, set[_Key]] = {k: set() for k in kinds}
    before: dict[_Key, set[_Key]] = {k: set() for k in kinds}
    seen: set[tuple[_Key, int]] = set()
    for i, some in enumerate(flow.parents):
        mine = kinds[i]
        if (mine, id(some)) in seen:
            continue
        seen.add((mine, id(some)))
        for p in some:
            after[kinds[p]].add(mine)
            before[mine].add(kinds[p])
    left = set(after)
    for one, other in ((before, after), (after, before)):
        todo = [k for k in left if one[k].isdisjoint(left)]
        while todo:
            k = todo.pop()
            if k in left:
                left.discard(k)
                todo += [n for n in other[k] if n in left and one[n].isdisjoint(left)]
    return left


def _edges(flow: Workflow, groups: list[_Group], of_task: list[int]) -> tuple[list[list[Edge]], list[set[int]]]:
    """For each group the edges that lead to it, and the groups that they come from."""
    index = [0] * len(flow.tasks)
    for group in groups:
        for j, i in enumerate(group.tasks):
            index[i] = j
    edges: list[list[Edge]] = [[] for _ in groups]
    before: list[set[int]] = [set() for _ in groups]
    for number, group in enumerate(groups):
        # tasks of the group by their parents, which they share; then the parents by their groups
        rows: dict[int, list[int]] = {}
        for i in group.tasks:
            rows.setdefault(id(flow.parents[i]), []).append(i)
        into: dict[int, list[tuple[list[int], list[int]]]] = {}
        for same in rows.values():
            split: dict[int, list[int]] = {}
            for p in flow.parents[same[0]]:
                split.setdefault(of_task[p], []).append(index[p])
            mine = [index[i] for i in same]
            for src, theirs in split.items():
                into.setdefault(src, []).append((theirs, mine))
        before[number] = set(into)
        for src in sorted(into):
            edges[number] += _joined(groups[src], group, into[src])
    return edges, before


def _joined(src: _Group, dst: _Group, rows: list[tuple[list[int], list[int]]]) -> list[Edge]:
    """Edges that say: for each row, every one of its tasks of `dst` waits for every one of its tasks of `src`."""
    m, n = len(src.tasks), len(dst.tasks)
    covered = sum(len(mine) for _, mine in rows)
    if covered == n and all(len(theirs) == m for theirs, _ in rows):
        return [Edge(src.name, dst.name)]
    if covered == n <= m and all(theirs == mine for theirs, mine in rows) and len(rows) == n:
        return [Edge(src.name, dst.name, "each")]
    whole = [row for row in rows if len(row[0]) == m]
    parts = [row for row in rows if len(row[0]) < m]
    found = [Edge(src.name, task_id(dst.name, j)) for _, mine in whole for j in mine]
    followed: dict[int, int] = {}
    if not whole:  # else no task of `src` is waited for by all of `dst` without being counted twice
        for theirs, mine in parts:
            for i in theirs:
                followed[i] = followed.get(i, 0) + len(mine)
    all_wait = {i for i, k in followed.items() if k == n} if n > 1 else set()
    found += [Edge(task_id(src.name, i), dst.name) for i in sorted(all_wait)]
    for theirs, mine in parts:
        found += [Edge(task_id(src.name, i), task_id(dst.name, j)) for i in theirs if i not in all_wait for j in mine]
    return found


def _order(groups: list[_Group], before: list[set[int]]) -> list[int]:
    """Groups so that each comes after those that it waits for, otherwise as they appear."""
    after: list[list[int]] = [[] for _ in groups]
    missing = [len(b) for b in before]
    for number, some in enumerate(before):
        for b in some:
            after[b].append(number)
    todo = [g for g, n in enumerate(missing) if n == 0]
    heapify(todo)
    order = []
    while todo:
        number = heappop(todo)
        order.append(number)
        for g in after[number]:
            missing[g] -= 1
            if missing[g] == 0:
                heappush(todo, g)
    return order
