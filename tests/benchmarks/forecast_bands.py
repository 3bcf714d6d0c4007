"""Do forecasts hold? Random campaigns run in virtual time with noise; at several moments of each run the
finish is forecast from the state as it then is, and compared with what happened.

*given*: tasks are drawn from the estimates, ``Normal(mean, sd)``. *learned*: no set has an estimate; the means of the
sets are drawn from one distribution (log-normal, 50 %), so what nothing is known of yet may be anything of that kind.
*wrong*: estimates are off by a factor (0.8 or 1.25), which is to be found out. *failing*: given, and attempts of every
third set fail one time in five and run again, which nobody says. What nobody says cannot be foreseen before anything
ran: forecasts made then are shown and left out of the figures of these two.

    python -m tests.benchmarks.forecast_bands [RUNS] [FIRST_SEED]
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random

from tests.benchmarks.page import Page
from workbench.core import State, decide, evolve
from workbench.core.copying import copy_state
from workbench.core.edits import validate
from workbench.model import edits as ed
from workbench.model.causes import Cause
from workbench.model.events import (
    AttemptEnded,
    AttemptFinished,
    AttemptStarted,
    CampaignCreated,
    CommandAccepted,
    Event,
    NodeJoined,
)
from workbench.model.resources import NodeShape, Pool, Resources
from workbench.model.specs import Edge, Normal, SetSpec, Synthetic
from workbench.model.states import MODES
from workbench.predict.forecast import forecast
from workbench.predict.score import CAMPAIGN, Score, Scores, summary

RUNS = {"given": 200, "learned": 200, "wrong": 60, "failing": 60}
SAMPLES = 40
NOISE = (0.05, 0.2)
MOMENTS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9)
UNTOLD = ("wrong", "failing")
FAILING = 0.2
START = 1000.0
SETUP = (CampaignCreated, CommandAccepted, NodeJoined)


@dataclass(frozen=True)
class Truth:
    """A random campaign, and what each of its tasks will take."""

    command: ed.Command
    shape: NodeShape
    nodes: int
    mode: str
    tx: dict[str, float]
    failing: frozenset[str]


def declare(rng: Random, noise: float, case: str) -> Truth:
    """A layered graph of some sets, with their noise."""
    shape, nodes = NodeShape(16, 2), rng.randint(2, 4)
    edits: list[ed.Edit] = [ed.AddPool(Pool("p", nodes, shape, "fake"))]
    names: list[str] = []
    sizes: dict[str, int] = {}
    tx: dict[str, float] = {}
    failing = set()
    for i in range(rng.randint(5, 9)):
        name, n, cores = f"s{i}", rng.randint(8, 60), rng.choice([1, 2, 4])
        mean = 60.0 * math.exp(rng.gauss(0.0, 0.5))
        for k in range(n):
            tx[f"{name}[{k}]"] = max(0.1, rng.gauss(mean, noise * mean))
        told = mean * rng.choice([0.8, 1.25]) if case == "wrong" else mean
        estimate = None if case == "learned" else Normal(told, noise * told)
        if case == "failing" and i % 3 == 0:
            failing.add(name)
        edges = []
        for src in rng.sample(names, min(len(names), rng.choice([0, 1, 1, 2]))):
            edges.append(Edge(src, name, "each" if sizes[src] >= n and rng.random() < 0.3 else "all"))
        spec = SetSpec(name, Synthetic(), n=n, resources=Resources(cores), estimate=estimate, retries=9)
        edits.append(ed.AddSet(spec, tuple(edges)))
        names.append(name)
        sizes[name] = n
    return Truth(ed.Command("all", tuple(edits)), shape, nodes, rng.choice(MODES), tx, frozenset(failing))


def play(truth: Truth, rng: Random) -> list[Event]:
    """The run as the events of its journal."""
    state = State()
    events: list[Event] = []

    def say(event: Event) -> None:
        assert evolve(state, event)
        events.append(event)

    say(CampaignCreated(START, "id", "noisy", rng.randrange(1 << 30), truth.mode, "upward-rank"))
    inverse = validate(state, truth.command)
    say(CommandAccepted(START, truth.command.id, truth.command.edits, inverse))
    for i in range(truth.nodes):
        say(NodeJoined(START, f"n{i}", "p", truth.shape.cores, truth.shape.gpus, truth.shape.memory))
    ends: list[tuple[float, int, str, int, float]] = []
    now, order = START, 0
    while True:
        for decision in decide(state, now):
            say(decision)
            say(AttemptStarted(now, decision.task, decision.number, now))
            order += 1
            heappush(ends, (now + truth.tx[decision.task], order, decision.task, decision.number, now))
        if not ends:
            assert state.ended
            return events
        now, _, task, number, started = heappop(ends)
        if task.split("[")[0] in truth.failing and rng.random() < FAILING:
            say(AttemptEnded(now, task, number, Cause.UserError, started=started, ended=now))
        else:
            say(AttemptFinished(now, task, number, started, now))


def moments(events: list[Event], fractions: tuple[float, ...]) -> Iterator[tuple[float, float, State]]:
    """The states when fractions of the tasks are done: (fraction, time, state).

    Fractions of the makespan would tell: who knows that a tenth of it is left knows how long what just began will take.
    """
    n = sum(isinstance(e, AttemptFinished) for e in events)
    state, i, done = State(), 0, 0
    for fraction in fractions:
        while i < len(events) and (done < fraction * n or isinstance(events[i], SETUP)):
            evolve(state, events[i])
            done += isinstance(events[i], AttemptFinished)
            i += 1
        yield fraction, state.at, state


def judge(case: str, noise: float, seed: int, samples: int = 0) -> dict[float, tuple[Score | None, list[Score]]]:
    """Scores of the forecasts of one run, of the campaign and of its sets, by the fraction at which they were made."""
    rng = Random(f"{case} {noise} {seed}")
    truth = declare(rng, noise, case)
    events = play(truth, rng)
    last: dict[str, float] = {}
    for e in events:
        if isinstance(e, AttemptFinished):
            last[e.task.split("[")[0]] = e.ended - START
    found = {}
    for fraction, at, state in moments(events, MOMENTS):
        made = forecast(copy_state(state), at, samples)
        if made is None:
            continue
        scores = Scores()
        scores.made(made.made_at_seq, at - START, (made.p10_s, made.p50_s, made.p90_s), made.sets)
        scores.ended(CAMPAIGN, events[-1].at - START)
        for name, end in last.items():
            scores.ended(name, end)
        found[fraction] = (next(iter(scores.of()), None), [s for kept in scores.sets.values() for s in kept])
    return found


def main() -> None:
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    page = Page("forecast_bands", __doc__ or "")
    page.text(f"Seeds from {seed} on; {SAMPLES} samples in each forecast.")
    head = ["made after", "noise", "runs", "in P10-P90", "median bias", "pinball / makespan", "band / makespan"]
    head += ["sets", "in P10-P90", "median bias"]
    for case, usual in RUNS.items():
        runs, rows = wanted or usual, []
        wholes: dict[float, list[Score]] = defaultdict(list)
        for noise in NOISE:
            by_moment: dict[float, tuple[list[Score], list[Score]]] = defaultdict(lambda: ([], []))
            for i in range(seed, seed + runs):
                for fraction, (whole, sets) in judge(case, noise, i, SAMPLES).items():
                    if whole is not None:
                        by_moment[fraction][0].append(whole)
                        if fraction or case not in UNTOLD:
                            wholes[noise].append(whole)
                    by_moment[fraction][1].extend(sets)
            for fraction, (whole_scores, set_scores) in sorted(by_moment.items()):
                a, b = summary(whole_scores), summary(set_scores)
                if a is None:
                    continue
                width = sum((s.p90_s - s.p10_s) / s.actual_s for s in whole_scores) / a.n
                row = [f"{fraction:.0%} of the tasks", f"{noise:.0%}", a.n, f"{a.coverage:.1%}", f"{a.bias:+.2%}"]
                row += [f"{a.pinball:.3%}", f"{width:.2%}"]
                rows.append([*row, *([b.n, f"{b.coverage:.1%}", f"{b.bias:+.2%}"] if b else ["", "", ""])])
            total = summary(wholes[noise])
            assert total is not None
            what = f"{case}, {noise:.0%} noise, {total.n} forecasts of {runs} runs"
            page.figure(f"P10-P90 covers: {what}", "75-85 %", f"{total.coverage:.1%}", 0.75 <= total.coverage <= 0.85)
            page.figure(f"median bias: {what}", "<= 1 %", f"{total.bias:+.2%}", abs(total.bias) <= 0.01)
        page.table(f"Estimates: {case}", head, rows)
    page.write()


if __name__ == "__main__":
    main()
