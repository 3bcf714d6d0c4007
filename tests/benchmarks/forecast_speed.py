"""Playing a campaign to its end, by counts and by driving the core: ``python -m tests.benchmarks.forecast_speed``.

Layers of four sets of 250 tasks, each set after one of the layer before; 4 to 12 cores and no or one GPU a task; 16
nodes of 168 cores and 6 GPUs; policy upward-rank. The core is given a copy of the state, as a prediction beside a
running engine must; counts are read from the state itself. *One TX*: every task of a set takes the same. *Sampled*:
each task takes a TX of its own (normal, 10 %). Rounds are interleaved: every round runs every entry once, one after the
other, and both must come to the same makespan. Milliseconds of the thread's CPU time, which is wall time on a machine
that does nothing else.
"""

from __future__ import annotations

import argparse
import gc
import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.benchmarks.machine import describe, load
from tests.benchmarks.page import Page
from workbench.core import State, evolve
from workbench.core.copying import copy_state
from workbench.core.state import Task
from workbench.model.edits import AddPool, AddSet
from workbench.model.events import CampaignCreated, CommandAccepted
from workbench.model.resources import NodeShape, Pool, Resources
from workbench.model.specs import Constant, Edge, Plan, SetSpec, Synthetic
from workbench.predict.compact import Compact, Tx, compile_state
from workbench.predict.simulate import Simulated, provide_nodes, simulate

SAMPLES = 20


def campaign(sets: int, per: int = 250) -> State:
    """Layers of four sets."""
    state = State()
    evolve(state, CampaignCreated(0.0, "speed", "speed", 0, "adaptive", "upward-rank"))
    evolve(state, CommandAccepted(0.0, "pool", (AddPool(Pool("v", 16, NodeShape(168, 6), "virtual")),)))
    edits = []
    for i in range(sets):
        spec = SetSpec(
            f"s{i}", Synthetic(), n=per, resources=Resources(4 + 4 * (i % 3), i % 2), estimate=Constant(10.0 + i)
        )
        edits.append(AddSet(spec, () if i < 4 else (Edge(f"s{i - 4}", f"s{i}"),)))
    evolve(state, CommandAccepted(0.0, "sets", tuple(edits)))
    return state


def sample(state: State, seed: int) -> Tx:
    """A TX for each task, normal around the estimate."""
    rng = random.Random(seed)
    means = {s.name: s.mean_s or 1.0 for s in state.sets.values()}
    return {
        s.name: [max(0.0, rng.gauss(means[s.name], 0.1 * means[s.name])) for _ in s.tasks] for s in state.sets.values()
    }


def driven(state: State, tx: Tx) -> Simulated:
    """The core on a copy."""
    copy = copy_state(state)
    provide_nodes(copy, 0.0)

    def duration(task: Task) -> float:
        given = tx[task.set.name]
        return given if isinstance(given, float) else given[task.index]

    return simulate(copy, 0.0, duration)


def compiled(state: State) -> Compact:
    """The counts of `state`."""
    compact = compile_state(state)
    if compact is None:
        raise AssertionError("this campaign can be counted")
    return compact


def timed(call: Callable[[], float]) -> tuple[float, float]:
    """Milliseconds of CPU time, and what came out."""
    gc.collect()
    t0 = time.thread_time()
    out = call()
    return 1e3 * (time.thread_time() - t0), out


def measure(sets: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every entry in every round."""
    state = campaign(sets)
    one: Tx = {s.name: s.mean_s or 1.0 for s in state.sets.values()}
    samples = [sample(state, i) for i in range(SAMPLES)]
    took: dict[str, list[float]] = {}

    def reserved() -> float:
        return compiled(state).run(one, Plan("resource-aware")).finish_s

    entries: dict[str, Callable[[], float]] = {
        "core, one TX": lambda: driven(state, one).makespan_s,
        "counts, reading the state": lambda: float(len(compiled(state).names)),
        "counts, one TX": lambda: compact.run(one).finish_s,
        "counts, one TX, with reservations": reserved,
        "core, sampled": lambda: driven(state, samples[0]).makespan_s,
        "counts, sampled": lambda: compact.run(samples[0]).finish_s,
        f"counts, reading and {SAMPLES} samples": lambda: max(
            c.run(x).finish_s for c in (compiled(state),) for x in samples
        ),
    }
    for _ in range(rounds):
        compact = compiled(state)
        out = {}
        for name, call in entries.items():
            ms, out[name] = timed(call)
            took.setdefault(name, []).append(ms)
        for what in ("one TX", "sampled"):
            if abs(out[f"core, {what}"] - out[f"counts, {what}"]) > 1e-9 * out[f"core, {what}"]:
                raise AssertionError(f"{sets} sets, {what}: counts and core differ")
    return took


def main() -> None:
    """Measure and write the page."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--rounds", type=int, default=7)
    ask.add_argument("--large-rounds", type=int, default=3)
    given = ask.parse_args()
    page = Page("forecast_speed", __doc__ or "")
    before = load()
    small, large = measure(40, given.rounds), measure(400, given.large_rounds)
    machine = describe(Path(__file__).parent)
    page.text(
        f"{machine['cpu']}, {machine['cores']} cores; Python {machine['python']}; load average {before:.1f} "
        f"at the start, {load():.1f} at the end; {given.rounds} rounds of 10 000 tasks, "
        f"{given.large_rounds} of 100 000."
    )
    for tasks, took in ((10_000, small), (100_000, large)):
        rows = [
            (name, f"{median(ms):.1f}", f"{min(ms):.1f}", f"{max(ms):.1f}", f"{1e3 * median(ms) / tasks:.2f}")
            for name, ms in took.items()
        ]
        page.table(f"{tasks} tasks in {tasks // 250} sets", ("what", "median ms", "least", "most", "us a task"), rows)

    def figure(what: str, took: dict[str, list[float]], entry: str, wanted: float) -> None:
        page.figure(what, f"<= {wanted:g} ms", f"{median(took[entry]):.1f} ms", median(took[entry]) <= wanted)

    figure("reading 10 000 tasks", small, "counts, reading the state", 15)
    figure("10 000 tasks in 40 sets, one TX for each set", small, "counts, one TX", 15)
    figure("100 000 tasks in 400 sets, one TX for each set", large, "counts, one TX", 300)
    figure("10 000 tasks, a TX for each: one sample", small, "counts, sampled", 30)
    figure(f"the same, {SAMPLES} samples", small, f"counts, reading and {SAMPLES} samples", 700)
    page.write()


if __name__ == "__main__":
    main()
