"""The six Summit runs behind Table 3 of the paper, replayed: ``python -m tests.benchmarks.summit``.

Each run's stages, resources and requested times are declared; what the machine added is calibrated on one run, from a
journal made of its profile, and the execution spans of the other five are predicted. The tasks' order of submission
is not told: the pilot's scheduler placed what needs most cores first (policy ``largest-first``).
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.page import Page
from tests.data import DATA
from workbench.core import State, evolve
from workbench.model.edits import AddPool, AddSet
from workbench.model.events import AttemptAssigned, AttemptFinished, CampaignCreated, CommandAccepted, Event, NodeJoined
from workbench.model.resources import NodeShape, Pool, Resources
from workbench.model.specs import Constant, Edge, Member, SetSpec, Synthetic
from workbench.predict.forecast import expected
from workbench.predict.overheads import Overheads, calibrate
from workbench.predict.simulate import simulate

RUNS = (
    "c-dg1-asynchronous",
    "c-dg1-sequential",
    "c-dg2-asynchronous",
    "c-dg2-sequential",
    "ddmd-asynchronous",
    "ddmd-sequential",
)
CALIBRATED = "ddmd-sequential"  # the run with most transitions
EPOCH = 1.0e9


@dataclass(frozen=True)
class Profile:
    """One run: its meta data, and its tasks by set in order of declaration."""

    name: str
    meta: dict[str, Any]
    sets: dict[str, list[dict[str, Any]]]
    stages: dict[str, tuple[int, int]]  # set -> (pipeline, place of its stage)

    @property
    def span_s(self) -> float:
        """First start to last stop, seconds."""
        rows = [t for tasks in self.sets.values() for t in tasks]
        return float(max(t["stop"] for t in rows) - min(t["start"] for t in rows))


def read(path: Path) -> Profile:
    """A profile, its tasks in sets by pipeline, stage and kind. Within a set they are in order of their names."""
    content = json.loads(path.read_text())
    sets: dict[str, list[dict[str, Any]]] = {}
    stages: dict[str, tuple[int, int]] = {}
    keyed = sorted(content["tasks"], key=lambda t: (t["pipeline"], t["stage"], t["name"].partition(".")[0], t["uid"]))
    for t in keyed:
        pipeline, stage = int(t["pipeline"].rpartition(".")[2]), int(t["stage"].rpartition(".")[2])
        name = f"p{pipeline}.s{stage}.{t['name'].partition('.')[0]}"
        sets.setdefault(name, []).append(t)
        stages[name] = (pipeline, stage)
    return Profile(path.stem, content["meta"], sets, stages)


def edges_of(profile: Profile, name: str) -> tuple[Edge, ...]:
    """A stage follows the one before it in its pipeline; pipelines begin when the first has ended."""
    pipeline, stage = profile.stages[name]
    before = [s for p, s in profile.stages.values() if p == pipeline and s < stage]
    wanted = (pipeline, max(before)) if before else None
    if wanted is None and pipeline > 0:
        wanted = (0, max(s for p, s in profile.stages.values() if p == 0))
    return tuple(Edge(src, name, "all") for src, at in profile.stages.items() if at == wanted)


def declare(profile: Profile, policy: str) -> list[Event]:
    """The campaign of `profile` before its first task."""
    meta = profile.meta
    shape = NodeShape(meta["cores_per_node"], meta["gpus_per_node"])
    adds = []
    for name, tasks in profile.sets.items():
        first = tasks[0]
        members = tuple(Member(estimate=Constant(float(t["arg"]))) for t in tasks)
        mean = Constant(statistics.fmean(float(t["arg"]) for t in tasks))
        resources = Resources(first["cores"], first["gpus"])
        spec = SetSpec(name, Synthetic(), len(tasks), None, members, resources, mean)
        adds.append(AddSet(spec, edges_of(profile, name)))
    return [
        CampaignCreated(EPOCH, profile.name, profile.name, 0, "adaptive", policy),
        CommandAccepted(EPOCH, "pool", (AddPool(Pool("summit", meta["n_nodes"], shape, "virtual")),)),
        CommandAccepted(EPOCH, "sets", tuple(adds)),
        *(NodeJoined(EPOCH, f"n{i:02}", "summit", shape.cores, shape.gpus) for i in range(meta["n_nodes"])),
    ]


def executed(profile: Profile) -> State:
    """The state after the run, as a journal of it would give."""
    events: list[tuple[float, int, Event]] = []
    for name, tasks in profile.sets.items():
        for i, t in enumerate(tasks):
            started, ended = EPOCH + t["start"], EPOCH + t["stop"]
            assigned = EPOCH + min(t["sched_ok"], t["start"])
            task = f"{name}[{i}]"
            # Where a task ran does not matter here; without slots it cannot collide with the profile's own placement.
            events.append((assigned, 1, AttemptAssigned(assigned, task, 1, "n00", 0)))
            events.append((ended, 0, AttemptFinished(ended, task, 1, started, ended)))
    state = State()
    for event in declare(profile, "fifo"):
        evolve(state, event)
    for _, _, event in sorted(events, key=lambda e: e[:2]):
        evolve(state, event)
    if not state.ended:
        raise AssertionError(f"{profile.name}: the journal of the profile does not end the campaign")
    return state


def predict(profile: Profile, overheads: Overheads, policy: str = "largest-first") -> float:
    """Seconds from the first start to the last end, predicted."""
    state = State()
    for event in declare(profile, policy):
        evolve(state, event)
    duration = expected(state)
    assert duration is not None
    run = simulate(state, EPOCH, duration, overheads=overheads)
    if not run.ended:
        raise AssertionError(f"{profile.name} does not end")
    return run.makespan_s


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--policy", default="largest-first")
    policy = parser.parse_args().policy
    profiles = {name: read(DATA / "summit_runs" / f"{name}.json") for name in RUNS}
    overheads = {name: calibrate(executed(p)) for name, p in profiles.items()}
    out = Page("summit", __doc__ or "")
    out.table(
        "What the machine added, as calibrated on each run",
        ("calibrated on", "transition, s", "around a task, s", "launches a second"),
        [(n, f"{o.transition_s:.2f}", f"{o.launch_s:.3f}", f"{o.rate:.0f}") for n, o in overheads.items()],
    )
    errors = {
        (target, source): predict(profile, o, policy) / profile.span_s - 1
        for target, profile in profiles.items()
        for source, o in overheads.items()
    }
    out.table(
        "Spans measured and predicted: error by the run that the overheads were calibrated on",
        ("run", "measured, s", "without overheads, s", *RUNS),
        [
            (
                target,
                f"{profile.span_s:.1f}",
                f"{predict(profile, Overheads(), policy):.1f}",
                *(f"{100 * errors[target, source]:+.2f} %" for source in RUNS),
            )
            for target, profile in profiles.items()
        ],
    )
    for target in RUNS:
        if target == CALIBRATED:
            continue
        limit, error = (0.02 if target == "ddmd-asynchronous" else 0.01), abs(errors[target, CALIBRATED])
        out.figure(f"{target}, calibrated on {CALIBRATED}", f"<= {limit:.0%}", f"{error:.2%}", error <= limit)
    others = [abs(e) for (target, source), e in errors.items() if target != source]
    out.text(f"Of all {len(others)} pairs of two runs, {sum(e <= 0.01 for e in others)} are within 1 %.")
    out.write()


if __name__ == "__main__":
    main()
