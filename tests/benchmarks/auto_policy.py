"""What policy ``auto`` chooses on random graphs and on the paper's, against single policies, bounds and a long search.

A random graph has sets of 1 to 16 tasks with cores, GPUs and memory, joined whole to whole, i-th to i-th or task to
set, on 1 to 6 nodes, in adaptive mode; a fifth of the sets has tasks that differ in time. "Alone" is every registered
policy with every packing rule in each of the three modes. The best schedule known is the best of these, of the choice,
of the same search with another seed and more than three times as many runs, and of as many moves of single tasks (which
auto does not make: its orders are of sets) from the better of the two.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from statistics import median

from tests.benchmarks.page import Page
from workbench.core import State, evolve
from workbench.core.copying import copy_state
from workbench.core.edits import validate
from workbench.core.flow import regate, requeue
from workbench.core.placement import PACKINGS
from workbench.core.policies import AUTO, POLICIES
from workbench.gallery.paper import c_dg1, c_dg2, ddmd
from workbench.model.edits import AddPool, AddSet, Command, Edit
from workbench.model.events import CampaignCreated, CommandAccepted
from workbench.model.resources import NodeShape, Pool, Resources
from workbench.model.specs import Constant, Edge, Member, Plan, SetSpec, Synthetic
from workbench.model.states import MODES
from workbench.predict.bounds import lower_bounds
from workbench.predict.compact import compile_state
from workbench.predict.forecast import expected
from workbench.predict.portfolio import choose
from workbench.predict.simulate import provide_nodes, simulate

GRAPHS = 1000
LONG = 1000  # runs of the long search
GIB = 1 << 30


def random_graph(seed: int) -> State:
    """A campaign of random sets and nodes that has not begun, under policy auto."""
    rng = random.Random(seed)
    shape = NodeShape(rng.choice([4, 8, 16, 42]), rng.choice([0, 1, 2, 6]), rng.choice([0, 64 * GIB]))
    edits: list[Edit] = [AddPool(Pool("p", rng.randint(1, 6), shape, "virtual"))]
    sizes: dict[str, int] = {}
    spread = rng.choice([3.0, 30.0])
    for i in range(rng.randint(3, rng.choice([8, 12, 24]))):
        name, n = f"s{i}", rng.choice([1, 1, 2, 3, 4, 6, rng.choice([8, 12, 16])])
        cores = rng.choice([1, 1, 2, shape.cores // 2, shape.cores, rng.randint(1, shape.cores)])
        gpus = rng.choice([0, 0, 1, shape.gpus]) if shape.gpus else 0
        memory = rng.choice([0, 0, rng.randint(1, 64) * GIB]) if shape.memory else 0
        edges: list[Edge] = []
        for src in rng.sample(list(sizes), min(len(sizes), rng.choice([0, 1, 1, 2, 3]))):
            kind = rng.random()
            if kind < 0.2 and sizes[src] == n:
                edges.append(Edge(src, name, "each"))
            elif kind < 0.3:
                edges.append(Edge(f"{src}[{rng.randrange(sizes[src])}]", name))
            else:
                edges.append(Edge(src, name))
        tx = round(math.exp(rng.uniform(0.0, math.log(spread))) * 10.0, 3)
        members: tuple[Member, ...] = ()
        if rng.random() < 0.2:
            members = tuple(Member(estimate=Constant(round(tx * rng.uniform(0.5, 1.5), 3))) for _ in range(n))
        spec = SetSpec(
            name, Synthetic(), n=n, members=members, resources=Resources(cores, gpus, memory), estimate=Constant(tx)
        )
        edits.append(AddSet(spec, tuple(edges)))
        sizes[name] = n
    return declared(edits, seed)


def declared(edits: list[Edit], seed: int = 0) -> State:
    """A campaign of these edits, with its nodes, under policy auto."""
    state = State()
    evolve(state, CampaignCreated(0.0, "id", "random", seed, "adaptive", AUTO))
    command = Command("all", tuple(edits))
    evolve(state, CommandAccepted(0.0, "all", command.edits, validate(state, command)))
    provide_nodes(state, 0.0)
    return state


class Collected:
    """Stands in for a campaign where the gallery declares into."""

    def __init__(self) -> None:
        self.edits: list[Edit] = [AddPool(Pool("v", 16, NodeShape(168, 6), "virtual"))]

    def tasks(
        self, work: Synthetic, *, n: int, name: str, cores: int, gpus: int, estimate: Constant, stage: int,
        after: tuple[str, ...],
    ) -> None:  # fmt: skip
        spec = SetSpec(name, work, n=n, resources=Resources(cores, gpus), estimate=estimate, stage=stage)
        self.edits.append(AddSet(spec, tuple(Edge(a, name) for a in after)))


def alone(state: State) -> dict[tuple[str, str, str], float]:
    """Makespan of every policy with every packing rule in every mode, by driving the core: not what auto looks at."""
    duration = expected(state)
    assert duration is not None
    found = {}
    for mode, policy, packing in itertools.product(MODES, POLICIES, PACKINGS):
        copy = copy_state(state)
        copy.mode, copy.plan = mode, Plan(policy, packing)
        requeue(copy)
        regate(copy)
        run = simulate(copy, 0.0, duration)
        if not run.ended:
            raise AssertionError(f"{policy}/{packing} in mode {mode} does not end")
        found[mode, policy, packing] = run.makespan_s
    return found


def task_by_task(state: State, plan: Plan, seed: int, runs: int) -> float:
    """The shortest schedule that is found by moving single tasks of `plan`'s schedule forward or back."""
    rng = random.Random(seed)
    duration = expected(state)
    assert duration is not None
    copy = copy_state(state)
    copy.plan = plan
    requeue(copy)
    regate(copy)
    run = simulate(copy_state(copy), 0.0, duration, keep_decisions=True)
    order, best = [d.task for d in run.decisions], run.makespan_s
    copy.plan = Plan(plan.policy, plan.packing)
    regate(copy)
    for _ in range(runs):
        fresh = list(order)
        fresh.insert(rng.randrange(len(fresh)), fresh.pop(rng.randrange(len(fresh))))
        for i, name in enumerate(fresh):
            task = copy.task(name)
            assert task is not None
            task.priority = -i
        requeue(copy)
        compact = compile_state(copy, 0.0)
        assert compact is not None
        makespan = compact.run().finish_s
        if makespan <= best:
            order, best = fresh, makespan
    return best


@dataclass
class Graph:
    """Outcomes on one graph; seconds."""

    seed: int
    tasks: int
    chosen: str
    auto: float
    driven: float
    bound: float
    best: float
    single: float
    took: float
    policies: dict[str, float]


def measure(seed: int, long: int) -> Graph:
    """Everything about the graph of `seed`."""
    state = random_graph(seed)
    duration = expected(state)
    assert duration is not None
    began = time.perf_counter()
    chosen = choose(state, 0.0, duration)
    took = time.perf_counter() - began
    assert chosen is not None
    copy = copy_state(state)
    evolve(copy, chosen)
    driven = simulate(copy, 0.0, duration).makespan_s
    singles = alone(state)
    other = copy_state(state)
    other.seed = seed + 1_000_000
    further = choose(other, 0.0, duration, runs=long)
    assert further is not None
    moved = task_by_task(state, min((chosen, further), key=lambda c: c.makespan_s).plan, seed, long)
    return Graph(
        seed,
        state.size,
        chosen.plan.name,
        chosen.makespan_s,
        driven,
        lower_bounds(state, duration).best,
        min(chosen.makespan_s, further.makespan_s, moved, *singles.values()),
        min(singles.values()),
        took,
        {p: min(m for (mode, q, _), m in singles.items() if q == p and mode == "adaptive") for p in POLICIES},
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--graphs", type=int, default=GRAPHS)
    parser.add_argument("--long", type=int, default=LONG)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    page = Page("auto_policy", __doc__ or "")
    rows = []
    for name, build, figure in (
        ("paper/ddmd, n=3", ddmd, 1.01 * 1235.0),
        ("paper/c-dg1, executed", c_dg1, None),
        ("paper/c-dg2, executed", c_dg2, None),
    ):
        collected = Collected()
        build(collected)  # type: ignore[arg-type]
        state = declared(collected.edits)
        duration = expected(state)
        assert duration is not None
        chosen = choose(state, 0.0, duration)
        assert chosen is not None
        bound = lower_bounds(state, duration).best
        rows.append((name, f"{chosen.makespan_s:.1f}", f"{bound:.1f}", chosen.plan.name, chosen.reason))
        limit = bound * (1 + 1e-9) if figure is None else figure
        page.figure(name, f"<= {limit:.1f} s", f"{chosen.makespan_s:.1f} s", chosen.makespan_s <= limit)
    page.table("The paper's workflows on 16 x 168 x 6", ("workflow", "auto, s", "bound, s", "plan", "reason"), rows)
    graphs: list[Graph] = []
    with ProcessPoolExecutor(given.jobs) as pool:
        for graph in pool.map(partial(measure, long=given.long), range(given.first, given.first + given.graphs)):
            graphs.append(graph)
            if len(graphs) % 50 == 0:
                print(f"{len(graphs)} of {given.graphs} graphs", file=sys.stderr)
    n = len(graphs)
    loss = [g.auto / g.best - 1 for g in graphs]
    page.table(
        f"Longer than the best schedule known, {n} random graphs of {min(g.tasks for g in graphs)} to "
        f"{max(g.tasks for g in graphs)} tasks",
        ("schedule", "median", "mean", "90th percentile", "worst", "best known in"),
        [
            _spread("auto", loss),
            _spread("best of every single policy, packing rule and mode", [g.single / g.best - 1 for g in graphs]),
            *(_spread(f"{p}, adaptive, its best packing rule", [g.policies[p] / g.best - 1 for g in graphs])
              for p in POLICIES),
            _spread("(the lower bound)", [g.bound / g.best - 1 for g in graphs]),
        ],
    )  # fmt: skip
    took = sorted(g.took for g in graphs)
    page.text(f"One choice took {median(took):.2f} s (median), {took[-1]:.2f} s at most.")
    worse = [g.seed for g in graphs if g.auto > g.single * (1 + 1e-9)]
    below = [g.seed for g in graphs if g.auto < g.bound * (1 - 1e-9)]
    differ = [g.seed for g in graphs if abs(g.auto - g.driven) > 1e-6 * g.auto]
    page.figure(
        "worse than any single policy, packing rule or mode", "0 graphs", f"{len(worse)} {worse[:5] or ''}", not worse
    )
    page.figure("below the lower bound", "0 graphs", f"{len(below)} {below[:5] or ''}", not below)
    page.figure("other than the core takes under the plan", "0 graphs", f"{len(differ)} {differ[:5] or ''}", not differ)
    page.figure("longer than the best schedule known, median", "<= 3 %", f"{median(loss):.2%}", median(loss) <= 0.03)
    page.write()


def _spread(name: str, loss: list[float]) -> tuple[str, ...]:
    ordered = sorted(loss)
    p90 = ordered[math.ceil(0.9 * len(ordered)) - 1]
    same = sum(x <= 1e-9 for x in loss)
    mean = sum(loss) / len(loss)
    return name, f"{median(loss):+.2%}", f"{mean:+.2%}", f"{p90:+.2%}", f"{ordered[-1]:+.2%}", f"{same} of {len(loss)}"


if __name__ == "__main__":
    main()
