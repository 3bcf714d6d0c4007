"""The structure of the task graph: sets, edges, stages, upward ranks.

Edges join sets or single tasks; the *set graph* underneath has an edge wherever any of them joins two sets. It may
have cycles although the tasks have none (``a[0] -> b[0] -> a[1]``); sets on such a cycle form one *component*, are
in one stage and do not bar each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappush
from typing import TYPE_CHECKING

from workbench.model.ids import is_task, split_task
from workbench.model.specs import Edge, Member, SetSpec

if TYPE_CHECKING:
    from .state import Link, SetState, State


def ends(state: State, edge: Edge) -> tuple[SetState, int, SetState, int]:
    """Resolve both ends of an edge: (set, index or -1) twice."""
    (a, i), (b, j) = _end(edge.src), _end(edge.dst)
    return state.sets[a], i, state.sets[b], j


def _end(name: str) -> tuple[str, int]:
    return split_task(name) if is_task(name) else (name, -1)


def join(state: State, edge: Edge) -> Link:
    """Insert an edge; its meaning is counted by `flow.attach` afterwards."""
    from .state import Link

    src, si, dst, di = ends(state, edge)
    link = Link(edge, src, si, dst, di)
    if link.each:
        src.out_each.append(link)
    elif si >= 0:
        src.out_task.setdefault(si, []).append(link)
    else:
        src.out.append(link)
    if di >= 0:
        dst.into_task.setdefault(di, []).append(link)
    else:
        dst.into_whole.append(link)
    if src is not dst:
        src.succs[dst.name] = src.succs.get(dst.name, 0) + 1
        dst.preds[src.name] = dst.preds.get(src.name, 0) + 1
    state.graph_version += 1
    state.after = None
    return link


def cut(state: State, link: Link) -> None:
    """Remove an edge; its meaning was taken away by `flow.detach` before."""
    src, dst = link.src, link.dst
    if link.each:
        src.out_each.remove(link)
    elif link.si >= 0:
        src.out_task[link.si].remove(link)
        if not src.out_task[link.si]:
            del src.out_task[link.si]
    else:
        src.out.remove(link)
    if link.di >= 0:
        dst.into_task[link.di].remove(link)
        if not dst.into_task[link.di]:
            del dst.into_task[link.di]
    else:
        dst.into_whole.remove(link)
    if src is not dst:
        _less(src.succs, dst.name)
        _less(dst.preds, src.name)
    state.graph_version += 1
    state.after = None


def _less(counter: dict[str, int], name: str) -> None:
    counter[name] -= 1
    if not counter[name]:
        del counter[name]


def find(state: State, edge: Edge) -> Link | None:
    """The link of exactly this edge, or None."""
    _, _, dst, di = ends(state, edge)
    return next((x for x in dst.links_to(di) if x.edge == edge), None)


def stage_of(spec: SetSpec, before: Iterable[int]) -> int:
    """Stage of ``sequential`` mode: declared, else one more than the latest before it (the set's rank).

    Never before a stage that it depends on, whatever is declared: nothing could open such a barrier. (An edit far up
    the graph may move what was declared in good order.)
    """
    latest = max(before, default=-1)
    return latest + 1 if spec.stage is None else max(spec.stage, latest)


def count_stage(state: State, stage: int, change: int) -> bool:
    """Count an open set of `stage` in (1) or out (-1); whether the stage itself opened or ended."""
    before = state.stage_open.get(stage, 0)
    if before + change:
        state.stage_open[stage] = before + change
    else:
        del state.stage_open[stage]
    if not before:
        heappush(state.stage_heap, stage)
    return not before or not before + change


def place_new(state: State, s: SetState) -> None:
    """Give a set that nothing depends on yet its component, stage and blockers, without touching the others."""
    state.orders += 1
    s.component = state.orders
    s.stage = stage_of(s.spec, (state.sets[p].stage for p in s.preds))
    s.blockers = sum(state.sets[p].n_open > 0 for p in s.preds)
    state.by_stage.setdefault(s.stage, {})[s.name] = None
    if s.n_open > 0:
        count_stage(state, s.stage, 1)


def restructure(state: State) -> None:
    """Compute components, stages and blockers of all sets afresh. O(sets + edges)."""
    order = components(state)
    state.by_stage = {}
    state.stage_open = {}
    state.stage_heap = []
    for group in order:
        number = state.sets[group[0]].component = state.orders = state.orders + 1
        for name in group:
            state.sets[name].component = number
        members = set(group)
        before = [state.sets[p].stage for name in group for p in state.sets[name].preds if p not in members]
        stage = max(stage_of(state.sets[name].spec, before) for name in group)  # one for all: they wait for each other
        for name in group:
            s = state.sets[name]
            s.stage = stage
            s.blockers = sum(p not in members and state.sets[p].n_open > 0 for p in s.preds)
    for s in state.sets.values():
        state.by_stage.setdefault(s.stage, {})[s.name] = None
        if s.n_open > 0:
            count_stage(state, s.stage, 1)


def components(state: State) -> list[list[str]]:
    """Strongly connected components of the set graph, earliest first (Tarjan's algorithm without recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    on: set[str] = set()
    stack: list[str] = []
    found: list[list[str]] = []
    for root in state.sets:
        if root in index:
            continue
        index[root] = low[root] = len(index)
        stack.append(root)
        on.add(root)
        todo = [(root, iter(state.sets[root].succs))]
        while todo:
            name, rest = todo[-1]
            step = next(rest, None)
            if step is None:
                todo.pop()
                if todo:
                    low[todo[-1][0]] = min(low[todo[-1][0]], low[name])
                if low[name] == index[name]:
                    group = []
                    while True:
                        top = stack.pop()
                        on.discard(top)
                        group.append(top)
                        if top == name:
                            break
                    found.append(sorted(group, key=index.__getitem__))
            elif step not in index:
                index[step] = low[step] = len(index)
                stack.append(step)
                on.add(step)
                todo.append((step, iter(state.sets[step].succs)))
            elif step in on:
                low[name] = min(low[name], index[step])
    found.reverse()
    return found


def tx_of(s: SetState, member: Member | None = None) -> float:
    """Expected TX of a set (or of one of its tasks), seconds; 1.0 where nothing is known, so that ranks count hops."""
    if member is not None and member.estimate is not None:
        return member.estimate.mean
    mean = s.mean_s
    return 1.0 if mean is None else mean


def upward_ranks(state: State) -> dict[str, float]:
    """Upward rank of each set: its TX plus the largest rank after it (Topcuoglu et al., HEFT), seconds."""
    if state.upward_version != state.graph_version:
        ranks: dict[str, float] = {}
        for group in reversed(components(state)):
            rank_group(state, group, ranks)
        state.upward = ranks
        state.upward_version = state.graph_version
    return state.upward


def rank_group(state: State, group: list[str], ranks: dict[str, float]) -> None:
    """Put the upward ranks of the sets of one component into `ranks`, which has those of all sets after them."""
    members = set(group)
    after = max((ranks[n] for name in group for n in state.sets[name].succs if n not in members), default=0.0)
    inside = sum(tx_of(state.sets[name]) for name in group) if len(group) > 1 else 0.0
    for name in group:
        ranks[name] = after + (inside or tx_of(state.sets[name]))


def paths_after(state: State) -> dict[str, float | list[float]]:
    """Longest estimated path after each task, seconds: one number for a set, or one for each index of it.

    Sets have one rank, but tasks of one set may be followed by very different ones. Where every task that can follow
    has an estimate, this tells them apart; sets for which that is not so, and those on a circle of sets or with edges
    among their own tasks, are left out. It rests on estimates alone, so that it changes with the graph and not with
    every task that ends. O(tasks + edges), and only asked for tasks that have estimates of their own.
    """
    if state.after is None:
        after: dict[str, float | list[float]] = {}
        most: dict[str, float] = {}  # over the tasks of a set: estimate and path after it
        tx: dict[str, list[float]] = {}
        for group in reversed(components(state)):
            s = state.sets[group[0]]
            links = list(s.links())
            if len(group) > 1 or any(x.dst is s or x.dst.name not in most for x in links):
                continue
            own = [_estimated(s, t.member) if t is not None else 0.0 for t in s.tasks]
            if any(x is None for x in own):
                continue
            tx[s.name] = times = [x or 0.0 for x in own]

            def ahead(x: Link, index: int) -> float:
                if index < 0:
                    return most[x.dst.name]
                follow = after[x.dst.name]
                path = follow[index] if isinstance(follow, list) else follow
                return tx[x.dst.name][index] + path

            common = max((ahead(x, x.di) for x in s.out), default=0.0)
            if s.out_each or s.out_task:
                each = [common] * len(times)
                for x in s.out_each:
                    for i in range(min(len(each), len(x.dst.tasks))):
                        each[i] = max(each[i], ahead(x, i))
                for i, some in s.out_task.items():
                    each[i] = max(each[i], max(ahead(x, x.di) for x in some))
                after[s.name] = each
                most[s.name] = max((a + b for a, b in zip(times, each, strict=True)), default=common)
            else:
                after[s.name] = common
                most[s.name] = max(times, default=0.0) + common
        state.after = after
    return state.after


def _estimated(s: SetState, member: Member | None) -> float | None:
    """Estimated TX of a task, whatever was learned since; None where there is no estimate."""
    estimate = s.spec.estimate if member is None or member.estimate is None else member.estimate
    return None if estimate is None else estimate.mean


def depth(state: State) -> int:
    """Number of ranks of the set graph."""
    level: dict[str, int] = {}
    for group in components(state):
        members = set(group)
        top = max((level[p] for name in group for p in state.sets[name].preds if p not in members), default=0) + 1
        for name in group:
            level[name] = top
    return max(level.values(), default=0)
