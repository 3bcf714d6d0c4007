"""The analytic model of Pascuzzi, Kilic, Turilli and Jha: how asynchronous a campaign can be, and what that can save.

Source: "Asynchronous Execution of Heterogeneous Tasks in ML-driven HPC Workflows", sections 5 to 7. All of it is about
the graph of task sets, each with one TX:

* *DOA_dep*: independent branches minus one; sinks minus one reproduces every example of the paper. *DOA_adaptive*:
  the width of the graph (largest set of mutually independent task sets) minus one, as tasks of branches that converge
  can overlap, too. *DOA_res*: over ranks, the most branches whose full sets of that rank fit side by side, minus one.
* Eq. 1 ``WLA = min(DOA_dep, DOA_res)``
* Eq. 2 ``t_seq = sum over stages of the longest TX``
* Eq. 3 ``t_async = sum of the sequential sets + longest branch``, with the time of a branch after Eq. 4. Sequential are
  the sets that several branches share and those that need all of a resource which an independent set needs as well.
* Eq. 5 ``I = 1 - t_async / t_seq``
* Eq. 6, of n iterations of one chain: ``n t_seq - (n-1) t_1 - (n-2) t_2 - ...`` for the maskable sets behind the head.

All times leave the constant C (overheads of the middleware) out. DOA and WLA are labels: no makespan follows from them.
The model is for explaining; what will happen is what `predict.simulate` says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from workbench.model.errors import BadValue

from .bounds import head_tail
from .fitting import RESOURCES, Allocation
from .masking import masks, timeline
from .setgraph import SetGraph, unique
from .terms import Branch, Iterations, Model, SetRow, Stage, Times, improvement

__all__ = ["Branch", "Iterations", "Model", "SetRow", "Stage", "Times", "analyse", "contested", "improvement"]


def analyse(rows: Iterable[SetRow], allocation: Allocation, lower_bound_s: float | None = None) -> Model:
    """The model of a campaign on an allocation.

    Parameters
    ----------
    rows : iterable of SetRow
        In order of declaration.
    allocation : Allocation
        Where.
    lower_bound_s : float, optional
        Known from the campaign's tasks; otherwise it is computed from its sets.

    Raises
    ------
    BadValue, DuplicateName, UnknownName, WouldCycle, NeverFits
        With one sentence.
    """
    sets = tuple(rows)
    if not sets:
        raise BadValue("the campaign has no task set, so there is nothing to explain: declare one first", "sets")
    unique(r.name for r in sets)
    for row in sets:
        if row.tx_s is not None and not (math.isfinite(row.tx_s) and row.tx_s >= 0):
            raise BadValue(f"{row.name}: TX is {row.tx_s!r}; give seconds, finite and not negative", row.name)
        for n, r in row.demand:
            if n:
                allocation.check(repr(row.name), r)
    graph = SetGraph({r.name: r.after for r in sets})
    names = graph.names
    rank, side = _doa_res(graph, sets, allocation)
    unknown = tuple(r.name for r in sets if r.tx_s is None)
    widest = graph.widest()
    return Model(
        rows=sets,
        allocation=allocation,
        doa_dep=len(graph.sinks) - 1,
        doa_adaptive=len(widest) - 1,
        doa_res=max(0, len(side) - 1),
        sinks=tuple(names[i] for i in graph.sinks),
        widest=tuple(names[i] for i in widest),
        side_by_side=tuple(tuple(names[i] for i in branch) for branch in side),
        rank=rank,
        times=None if unknown else _times(graph, sets, allocation, lower_bound_s),
        unknown=unknown,
    )


def _doa_res(graph: SetGraph, sets: Sequence[SetRow], allocation: Allocation) -> tuple[int, list[list[int]]]:
    """The rank in which most branches fit side by side, and those branches."""
    best: tuple[int, list[list[int]]] = (0, [])
    for rank in range(max(graph.rank) + 1):
        branches = graph.branches_at(rank)
        if len(branches) > len(best[1]):
            fitting = allocation.most([tuple(d for i in branch for d in sets[i].demand) for branch in branches])
            if len(fitting) > len(best[1]):
                best = rank, [branches[k] for k in fitting]
    return best


def _times(graph: SetGraph, sets: Sequence[SetRow], allocation: Allocation, bound_s: float | None) -> Times:
    tx = [r.tx_s or 0.0 for r in sets]
    name = graph.names
    heads, tails = _heads(graph, tx), _tails(graph, tx)
    held = contested(graph, sets, allocation)
    branches = [_branch(graph, tx, heads, sink) for sink in graph.sinks]
    # Of branches that take equally long, the one of fewer sets hides the others; then the last, as in the paper.
    ways = {sink: way for sink, (way, _) in zip(graph.sinks, branches, strict=True)}
    last = max(ways, key=lambda sink: (heads[sink] + tx[sink], -len(ways[sink]), sink))
    branch = branches[graph.sinks.index(last)][1]
    way = ways[last]
    own = way[len(branch.shared) :]
    outside = [i for i in graph.order if i in held and i not in set(way)]
    repeated = [i for i in own[1:] if i in held]
    once = math.fsum([branch.total_s, *(tx[i] for i in outside)])
    windows = timeline(graph, tx, [heads[i] + tx[i] + tails[i] for i in range(len(tx))], tails, held)
    counted = [*way, *outside]
    critical = max(heads[i] + tx[i] + tails[i] for i in range(len(tx)))
    stages = _stages(graph, sets, tx)
    return Times(
        stages=stages,
        t_seq_s=math.fsum(s.tx_s for s in stages),
        branches=tuple(b for _, b in branches),
        branch=branch,
        sequential=tuple(name[i] for i in outside),
        repeated=tuple(name[i] for i in repeated),
        t_async_s=once,
        t_async_repeated_s=once + sum(tx[i] for i in repeated),
        iterations=_iterations(graph, sets, tx, {name[i] for i in held}),
        windows={name[i]: w for i, w in enumerate(windows)},
        masks=masks(graph, windows, counted, lambda a, b: allocation.fits((sets[a].demand, sets[b].demand))),
        lower_bound_s=max(critical, _head_tail(sets, tx, heads, tails, allocation)) if bound_s is None else bound_s,
    )


def _heads(graph: SetGraph, tx: Sequence[float]) -> list[float]:
    """Longest chain of TX before each set."""
    heads = [0.0] * len(tx)
    for i in graph.order:
        heads[i] = max((heads[p] + tx[p] for p in graph.before[i]), default=0.0)
    return heads


def _tails(graph: SetGraph, tx: Sequence[float]) -> list[float]:
    """Longest chain of TX behind each set."""
    tails = [0.0] * len(tx)
    for i in reversed(graph.order):
        tails[i] = max((tails[b] + tx[b] for b in graph.behind[i]), default=0.0)
    return tails


def _head_tail(
    sets: Sequence[SetRow], tx: Sequence[float], heads: Sequence[float], tails: Sequence[float], allocation: Allocation
) -> float:
    best = 0.0
    for k in RESOURCES:
        have = allocation.total(k)
        if 0 < have < math.inf:
            items = [(heads[i], tails[i], r.needs(k) * tx[i]) for i, r in enumerate(sets) if r.needs(k)]
            best = max(best, head_tail(items, int(have)))
    return best


def contested(graph: SetGraph, sets: Sequence[SetRow], allocation: Allocation) -> dict[int, frozenset[str]]:
    """Sets that need all of a resource which a set independent of them needs as well, and which resources."""
    found: dict[int, frozenset[str]] = {}
    needs = {k: sum(1 << i for i, r in enumerate(sets) if r.needs(k)) for k in RESOURCES}
    ahead = [1 << i for i in range(len(sets))]
    for i in graph.order:
        for p in graph.before[i]:
            ahead[i] |= ahead[p]
    for i, row in enumerate(sets):
        apart = ~(graph.reach[i] | ahead[i])
        held = frozenset(k for k in RESOURCES if 0 < allocation.total(k) <= row.needs(k) and needs[k] & apart)
        if held:
            found[i] = held
    return found


def _branch(graph: SetGraph, tx: Sequence[float], heads: Sequence[float], sink: int) -> tuple[list[int], Branch]:
    way = [sink]
    while before := graph.before[way[-1]]:
        way.append(max(before, key=lambda p: (heads[p] + tx[p], p)))
    way.reverse()
    sinks = 1 << sink
    ends = sum(1 << s for s in graph.sinks)
    shared = [i for i in way if graph.reach[i] & ends != sinks]
    own = way[len(shared) :]
    time = math.fsum(tx[i] for i in own)
    names = graph.names
    total = math.fsum(tx[i] for i in way)
    return way, Branch(tuple(names[i] for i in shared), tuple(names[i] for i in own), time, total)


def _stages(graph: SetGraph, sets: Sequence[SetRow], tx: Sequence[float]) -> tuple[Stage, ...]:
    """Declared stages, ranks where none are; never before a stage that a set depends on (as `core.graph.stage_of`)."""
    stage = [0] * len(sets)
    for i in graph.order:
        latest = max((stage[p] for p in graph.before[i]), default=-1)
        declared = sets[i].stage
        stage[i] = latest + 1 if declared is None else max(declared, latest)
    members: dict[int, list[int]] = {}
    for i, s in enumerate(stage):
        members.setdefault(s, []).append(i)
    found = []
    for _, those in sorted(members.items()):
        longest = max(those, key=lambda i: tx[i])
        # Sets of one stage that follow one another (a declaration that came too late for its input) take their time.
        time: dict[int, float] = {}
        for i in (i for i in graph.order if i in set(those)):
            time[i] = tx[i] + max((time[p] for p in graph.before[i] if p in time), default=0.0)
        found.append(Stage(tuple(graph.names[i] for i in those), graph.names[longest], max(time.values())))
    return tuple(found)


def _iterations(graph: SetGraph, sets: Sequence[SetRow], tx: Sequence[float], held: set[str]) -> Iterations | None:
    """Equal chains, at most joined from head to head; None if the campaign is anything else."""
    kind = [(r.demand, r.tx_s) for r in sets]
    heads = [i for i, before in enumerate(graph.before) if all(kind[p] == kind[i] for p in before)]
    chains: list[list[int]] = []
    for head in heads:
        chain = [head]
        while behind := [b for b in graph.behind[chain[-1]] if b not in heads]:
            if len(behind) > 1 or graph.before[behind[0]] != [chain[-1]]:
                return None
            chain.append(behind[0])
        chains.append(chain)
    first = chains[0]
    if len(chains) < 2 or len(first) < 2 or sum(map(len, chains)) != len(sets):
        return None
    if any([kind[i] for i in chain] != [kind[i] for i in first] for chain in chains):
        return None
    if any(len(graph.before[h]) > 1 or any(p not in heads for p in graph.before[h]) for h in heads):
        return None
    n, once = len(chains), sum(tx[i] for i in first)
    name = graph.names
    subtracted = [
        (name[i], n - k) for k, i in enumerate(first) if 0 < k < n and not any(name[c[k]] in held for c in chains)
    ]
    saved = sum(times * tx[graph.number[s]] for s, times in subtracted)
    eq7 = sum((n - k) * tx[i] for k, i in enumerate(first[:n]))
    return Iterations(tuple(tuple(name[i] for i in c) for c in chains), once, tuple(subtracted), n * once - saved, eq7)
