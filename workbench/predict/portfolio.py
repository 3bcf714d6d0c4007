"""Policy ``auto``: which policy, packing rule, barriers and order of sets finish first, found by simulating them.

No single rule is best everywhere, so the choice is made by trying:

1. the plan that holds now, then every policy with its own packing rule, then with each other rule;
2. the same under the barriers of ``asynchronous`` and ``sequential`` where the campaign is adaptive. List scheduling
   has anomalies (Graham): with fewer constraints a schedule can be longer, so a barrier may pay;
3. a local search over the order of sets, from the best plans found so far: a set of the chain that decides the finish
   is moved forward, or any set anywhere, or the packing rule is changed; what is not worse is kept.

The search ends where the lower bound is reached, when nothing is left to try, or when its runs or its time are spent.
It draws from a generator seeded with the state, so the same state and number of runs give the same plan.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator

from workbench.core import State
from workbench.core.copying import copy_state
from workbench.core.flow import regate, requeue
from workbench.core.placement import PACKINGS
from workbench.core.policies import AUTO, POLICIES, UNPLANNED, planned
from workbench.core.state import SetState
from workbench.model.events import PolicyChosen
from workbench.model.specs import Plan

from .bounds import lower_bounds
from .compact import NotCompact, compile_state
from .courtesy import breathe
from .forecast import expected
from .simulate import Duration, no_pause, provide_nodes, simulate

BETTER = 0.005  # a plan that holds is given up for one that is better by more than this fraction
RUNS = 300  # simulations of one choice at most
PATIENCE = 40  # moves without a gain before the search goes on from another start
STARTS = 3  # plans that the local search starts from
BOUNDED = 3000  # above this many tasks the lower bound costs more than what it may save
EXACT = 1e-9  # two makespans that differ by less, relatively, are the same one

# A plan's makespan in unscaled seconds and the finish of each set; infinite where some task would never end.
Run = Callable[[Plan], tuple[float, dict[str, float]]]

FIT = {"first": "first fit", "best": "best fit", "spread": "widest spread", "balance": "GPU nodes left free"}


def choose(
    state: State,
    at: float,
    duration: Duration,
    budget_s: float = math.inf,
    runs: int = RUNS,
    pause: Callable[[], None] = no_pause,
    clock: Callable[[], float] = time.monotonic,
) -> PolicyChosen | None:
    """The plan by which `state` finishes first, as far as `runs` simulations and `budget_s` seconds can tell.

    Parameters
    ----------
    state : State
        Not changed. Declared nodes that are missing count as if they had joined.
    at : float
        Present time on the state's clock, seconds.
    duration : callable
        TX of each task in unscaled seconds, the whole TX for attempts under way.
    budget_s : float
        No simulation begins later than this, in seconds of `clock`; the first one always runs.
    runs : int
        Simulations at most.
    pause : callable
        Called now and then; lets other threads run.

    Returns
    -------
    PolicyChosen or None
        None where the present plan stays, because none is clearly better (see `BETTER`), or none can end.
    """
    deadline = clock() + budget_s
    seq = state.seq
    if any(sum(n.pool == p.name for n in state.nodes.values()) < p.nodes for p in state.pools.values()):
        state = copy_state(state)
        provide_nodes(state, at)
    if not state.nodes or not state.size:
        return None
    bound = lower_bounds(state, duration).best if state.size <= BOUNDED else 0.0
    search = _Search(state, runner(state, at, duration, pause), bound, runs, lambda: clock() > deadline)
    search.go()
    if not search.found:
        return None
    best, makespan = search.best
    present = state.plan if state.policy == AUTO else None
    if present is not None and makespan >= search.found[present] * (1 - BETTER):
        return None
    return PolicyChosen(
        at=at,
        plan=best,
        makespan_s=makespan,
        reason=reason(best, makespan, bound, search.found),
        alternatives=alternatives(search.found),
        made_at_seq=seq,
    )


def auto(state: State, at: float, budget_s: float) -> PolicyChosen | None:
    """What an engine asks (`workbench.engine.choice.Chooser`): `choose` by expected TX; None while none is known."""
    duration = expected(state)
    return None if duration is None else choose(state, at, duration, budget_s, pause=breathe)


def runner(state: State, at: float, duration: Duration, pause: Callable[[], None]) -> Run:
    """What simulates `state` under a plan, again and again: by counts, else by driving the core."""
    compact = compile_state(state, at)
    driven = _driver(state, at, duration, pause)
    if compact is None:
        return driven
    tx = {s.name: _tx(s, duration) for s in state.sets.values()}

    def run(plan: Plan) -> tuple[float, dict[str, float]]:
        try:
            outcome = compact.run(tx, plan, want_sets=True, pause=pause)
        except NotCompact:
            return driven(plan)
        return (outcome.finish_s, outcome.sets) if outcome.ended else (math.inf, {})

    return run


def _tx(s: SetState, duration: Duration) -> float | list[float]:
    each = [0.0 if t is None else duration(t) for t in s.tasks]
    there = {x for x, t in zip(each, s.tasks, strict=True) if t is not None}
    return there.pop() if len(there) == 1 else each


def _driver(state: State, at: float, duration: Duration, pause: Callable[[], None]) -> Run:
    def run(plan: Plan) -> tuple[float, dict[str, float]]:
        copy = copy_state(state)
        follow(copy, plan)
        outcome = simulate(copy, at, duration, pause=pause)
        if not outcome.ended:
            return math.inf, {}
        origin = copy.first_assigned_at if copy.first_assigned_at is not None else at
        ends = {s.name: max((t.ended for t in s.live()), default=origin) for s in copy.sets.values()}
        return outcome.makespan_s, {name: (end - origin) / copy.time_scale for name, end in ends.items()}

    return run


def follow(state: State, plan: Plan) -> None:
    """Let a copied state go on by `plan`."""
    state.policy, state.plan = AUTO, plan
    requeue(state)
    regate(state)


def single_plans(state: State) -> Iterator[Plan]:
    """Every policy with every packing rule under every barrier that may hold, the most promising first."""
    several = len(state.nodes) > 1
    policies = sorted(POLICIES.values(), key=lambda p: p.name != UNPLANNED)
    modes = ("", "asynchronous", "sequential") if state.mode == "adaptive" and len(state.sets) > 1 else ("",)
    for own in (True, False):
        for mode in modes:
            for policy in policies:
                for packing in PACKINGS:
                    if (packing == policy.packing) == own and (own or several):
                        yield Plan(policy.name, packing, mode)


class _Search:
    """One search; `found` has the makespan of each plan that was tried."""

    def __init__(self, state: State, run: Run, bound: float, runs: int, late: Callable[[], bool]) -> None:
        self.state, self.run, self.bound, self.left, self.late = state, run, bound, runs, late
        self.found: dict[Plan, float] = {}
        self.best: tuple[Plan, float] = (Plan(UNPLANNED), math.inf)
        self._ends: dict[Plan, dict[str, float]] = {}
        self._rng = random.Random(f"{state.seed}/{state.seq}")

    @property
    def over(self) -> bool:
        reached = self.best[1] <= self.bound * (1 + EXACT)
        return self.left <= 0 or reached or (bool(self.found) and self.late())

    def go(self) -> None:
        """Try plans until the search is over."""
        if self.state.policy == AUTO and self.state.plan is not None:
            self._try(self.state.plan)
        for plan in single_plans(self.state):
            if self.over:
                return
            self._try(plan)
        open_ = [s for s in self.state.sets.values() if s.n_open]
        if len(open_) < 2 or not self.found:
            return
        starts = self._starts(open_)
        while starts and not self.over:
            starts = [better for plan in starts if (better := self._climb(plan, open_)) is not None]

    def _try(self, plan: Plan) -> float:
        known = self.found.get(plan)
        if known is not None:
            return known
        self.left -= 1
        makespan, ends = self.run(plan)
        if makespan < math.inf:
            self.found[plan] = makespan
            self._ends[plan] = ends
            if makespan < self.best[1] * (1 - EXACT):
                self.best = (plan, makespan)
        return makespan

    def _starts(self, open_: list[SetState]) -> list[Plan]:
        """The best plans, at most one for each schedule length, as orders of sets."""
        chosen: dict[float, Plan] = {}
        for plan, makespan in sorted(self.found.items(), key=lambda f: f[1]):
            chosen.setdefault(round(makespan / self.best[1], 6), plan)
        return [self._ordered(plan, open_) for plan in list(chosen.values())[:STARTS]]

    def _ordered(self, plan: Plan, open_: list[SetState]) -> Plan:
        """The same plan with its keys written out as an order."""
        if plan.order:
            return plan
        policy, packing = planned(plan)
        ends = self._ends[plan]
        sets = sorted(open_, key=lambda s: (policy.key(self.state, s), ends.get(s.name, 0.0)))
        return Plan(plan.policy, packing, plan.mode, tuple(s.name for s in sets))

    def _climb(self, plan: Plan, open_: list[SetState]) -> Plan | None:
        """Move from `plan` to plans that are not worse, until no move has gained for a while; None if none could."""
        if self.over:
            return None
        value, idle = self._try(plan), 0
        begun = len(self.found)
        while idle < PATIENCE and not self.over:
            fresh = self._move(plan, open_)
            idle += 1
            if fresh in self.found:
                continue
            makespan = self._try(fresh)
            if makespan < value * (1 - EXACT):
                idle = 0
            if makespan <= value * (1 + EXACT):
                plan, value = fresh, makespan
        return plan if len(self.found) > begun else None

    def _move(self, plan: Plan, open_: list[SetState]) -> Plan:
        rng = self._rng
        what = rng.random()
        if what < 0.1 and len(self.state.nodes) > 1:
            return Plan(plan.policy, rng.choice(list(PACKINGS)), plan.mode, plan.order)
        if what < 0.15:
            return Plan(rng.choice(list(POLICIES)), plan.packing, plan.mode, plan.order)
        order = list(plan.order)
        if what < 0.6:
            chain = [name for name in self._chain(plan, open_) if name in order]
            if chain:
                name = rng.choice(chain)
                place = order.index(name)
                order.insert(rng.randint(0, place), order.pop(place))
                return Plan(plan.policy, plan.packing, plan.mode, tuple(order))
        order.insert(rng.randrange(len(order)), order.pop(rng.randrange(len(order))))
        return Plan(plan.policy, plan.packing, plan.mode, tuple(order))

    def _chain(self, plan: Plan, open_: Iterable[SetState]) -> list[str]:
        """The set that finishes last, the latest of those before it, and so on."""
        ends = self._ends.get(plan, {})
        here: str | None = max((s.name for s in open_), key=lambda n: ends.get(n, 0.0), default=None)
        chain: list[str] = []
        while here is not None and here not in chain:
            chain.append(here)
            here = max(self.state.sets[here].preds, key=lambda n: ends.get(n, 0.0), default=None)
        return chain


# --- in words ---------------------------------------------------------------------------------------------------------


def words(plan: Plan) -> str:
    """``"upward-rank with best fit and asynchronous barriers"``."""
    parts = []
    if plan.packing:
        parts.append(FIT.get(plan.packing, plan.packing))
    if plan.mode:
        parts.append(f"{plan.mode} barriers")
    if plan.order:
        parts.append("sets in an improved order")
    together = f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)
    return f"{plan.policy} with {together}" if together else plan.policy


def reason(plan: Plan, makespan: float, bound: float, found: dict[Plan, float]) -> str:
    """Why `plan`, in one sentence for people."""
    told = f"{words(plan)}: {_seconds(makespan)}"
    if makespan <= bound * (1 + EXACT):
        told += ", the lower bound"
    own = {p.policy: m for p, m in found.items() if not (p.mode or p.order) and p.packing == POLICIES[p.policy].packing}
    slower = sorted((m, p) for p, m in own.items() if m > makespan * (1 + EXACT))
    if not slower:
        return told
    shown = [
        f"{p} alone" if p == plan.policy else p for _, p in (slower if len(slower) < 3 else (slower[0], slower[-1]))
    ]
    times = [m for m, _ in (slower if len(slower) < 3 else (slower[0], slower[-1]))]
    return f"{told}; {shown[0]} would take {_seconds(times[0])}" + "".join(
        f", {name} {_seconds(m)}" for name, m in zip(shown[1:], times[1:], strict=True)
    )


def alternatives(found: dict[Plan, float]) -> dict[str, float]:
    """The best plan of each policy under each barrier, by name."""
    best: dict[tuple[str, str, bool], Plan] = {}
    for plan, makespan in found.items():
        key = (plan.policy, plan.mode, bool(plan.order))
        if key not in best or makespan < found[best[key]]:
            best[key] = plan
    return {plan.name: found[plan] for plan in sorted(best.values(), key=lambda p: found[p])}


def _seconds(s: float) -> str:
    return f"{s:.0f} s" if s >= 100 else f"{s:.3g} s"
