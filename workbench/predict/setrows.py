"""A campaign's state as rows of the analytic model, and the lower bound that its tasks give."""

from __future__ import annotations

import math
from collections import Counter

from workbench.core.copying import copy_state
from workbench.core.graph import components
from workbench.core.state import SetState, State, Task
from workbench.model.resources import Resources

from .analytic import Model, SetRow, analyse
from .bounds import longest_chains, lower_bounds
from .fitting import RESOURCES, Allocation


def model_of(state: State, allocation: Allocation | None = None, measured: bool = False) -> Model:
    """The model of a campaign; see `analytic.analyse`.

    Parameters
    ----------
    state : State
        It is not changed.
    allocation : Allocation, optional
        Where; default the campaign's own pools.
    measured : bool
        TX from what the finished tasks took, rather than as declared. Where either is missing the other serves.
    """
    where = Allocation.of_pools(state.pools.values()) if allocation is None else allocation
    rows = rows_of(state, measured)
    bound = None if any(r.tx_s is None for r in rows) else _bound(state, where, measured)
    return analyse(rows, where, bound)


def rows_of(state: State, measured: bool = False) -> list[SetRow]:
    """One row for each task set; sets that wait for each other's tasks in a circle are one row, ``"a+b"``.

    A set's TX is that of its longest task, as a barrier waits for it.
    """
    groups = components(state)
    row_name = {name: "+".join(group) for group in groups for name in group}
    place = {name: i for i, name in enumerate(state.sets)}
    rows: list[SetRow] = []
    for group in sorted(groups, key=lambda group: min(map(place.__getitem__, group))):
        sets = [state.sets[name] for name in group]
        need: Counter[Resources] = Counter()
        for s in sets:
            need[s.spec.resources] += s.size
        before = {row_name[p]: None for s in sets for p in s.preds}
        before.pop(row_name[group[0]], None)
        declared = [s.spec.stage for s in sets if s.spec.stage is not None]
        tx_s = _longest(sets[0], measured) if len(sets) == 1 else _along(state, sets, measured)
        demand = tuple((n, r) for r, n in need.items())
        rows.append(SetRow(row_name[group[0]], demand, tx_s, max(declared, default=None), tuple(before)))
    return rows


def _tx(task: Task, measured: bool) -> float | None:
    """TX of a task, seconds."""
    s = task.set
    seen = s.sum_s / s.seen if s.seen else None
    if measured and seen is not None:
        return seen
    estimate = (task.member.estimate if task.member is not None else None) or s.spec.estimate
    return seen if estimate is None else estimate.mean


def _longest(s: SetState, measured: bool) -> float | None:
    longest = 0.0
    common: float | None = None  # of the tasks that have no estimate of their own, asked for once
    asked = False
    for t in s.live():
        if t.member is not None and t.member.estimate is not None:
            tx = _tx(t, measured)
        else:
            if not asked:
                common, asked = _tx(t, measured), True
            tx = common
        if tx is None:
            return None
        longest = max(longest, tx)
    return longest


def _along(state: State, sets: list[SetState], measured: bool) -> float | None:
    """The longest chain of tasks inside sets that wait for each other."""
    inside: dict[Task, float] = {}
    for s in sets:
        for t in s.live():
            tx = _tx(t, measured)
            if tx is None:
                return None
            inside[t] = tx
    times = {t: inside.get(t, 0.0) for t in state.tasks()}
    heads = longest_chains(state, times, forward=True)
    return max((heads[t] + tx for t, tx in inside.items()), default=0.0)


def _bound(state: State, allocation: Allocation, measured: bool) -> float:
    copy = copy_state(state)
    totals = [allocation.total(k) for k in RESOURCES]
    copy.most = tuple(int(x) if math.isfinite(x) else 0 for x in totals)  # type: ignore[assignment]
    return lower_bounds(copy, lambda t: _tx(t, measured) or 0.0).best
