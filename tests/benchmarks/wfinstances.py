"""Traces of real executions, simulated: ``python -m tests.benchmarks.wfinstances``.

For each trace: numbers of its graph, the lower bound, and the makespan under ``fifo`` and ``upward-rank`` beside what
the page of the data gives. Memory and transfers are not counted; one core a task unless the trace says more.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.data import DATA
from workbench.core import State, evolve
from workbench.core.edits import validate
from workbench.exchange import Workflow, read
from workbench.model import events as ev
from workbench.model.edits import AddPool, Command
from workbench.model.resources import NodeShape, Pool
from workbench.predict.bounds import lower_bounds
from workbench.predict.forecast import expected
from workbench.predict.simulate import provide_nodes, simulate

RESULTS = Path(__file__).parent / "results" / "wfinstances"
POOLS = {"16x8": (16, 8), "4x8": (4, 8)}


@dataclass(frozen=True)
class Case:
    """A trace and what its page says: numbers of its graph; bound, FIFO and upward rank on each pool, seconds."""

    file: str
    tasks: int
    edges: int
    depth: int
    expected: dict[str, tuple[float, float, float]]


def _case(file: str, graph: tuple[int, int, int], *rows: tuple[float, float, float]) -> Case:
    return Case(file, *graph, dict(zip(POOLS, rows if len(rows) > 1 else rows * 2, strict=True)))


TABLE = (
    _case("1000genome-chameleon-8ch-250k-001", (328, 424, 3), (372.87, 407.06, 372.87), (678.76, 823.67, 697.44)),
    _case("blast-chameleon-medium-001", (303, 900, 3), (250.59, 324.26, 316.90), (989.08, 1059.66, 1049.69)),
    _case("epigenomics-chameleon-hep-1seq-100k-001", (41, 48, 9), (104.82, 104.82, 104.82)),
    _case("montage-chameleon-2mass-01d-001", (103, 231, 8), (21.12, 21.12, 21.12)),
    _case("montage-chameleon-2mass-01d-001.v14", (103, 231, 8), (21.12, 21.12, 21.12)),
    _case("rnaseq-dirt02-001", (197, 451, 10), (759.45, 759.45, 759.45)),
)


@dataclass(frozen=True)
class Times:
    """Seconds on one pool."""

    bound: float
    fifo: float
    upward: float


@dataclass(frozen=True)
class Measured:
    """What a trace comes to here."""

    source: str
    tasks: int
    edges: int
    depth: int
    sets: int
    on: dict[str, Times]


def measure(path: Path) -> Measured:
    """Read a trace and simulate it on each of `POOLS`."""
    flow = read(path)
    times = {}
    for name, (nodes, cores) in POOLS.items():
        pool = Pool("p", nodes, NodeShape(cores), "virtual")
        fifo, upward = (_state(flow, pool, policy) for policy in ("fifo", "upward-rank"))
        duration = expected(fifo)
        assert duration is not None
        bound = lower_bounds(fifo, duration).best
        times[name] = Times(bound, simulate(fifo, 0.0, duration).makespan_s, _makespan(upward))
    return Measured(flow.source, flow.n_tasks, flow.n_edges, flow.depth, len(flow.edits), times)


def _makespan(state: State) -> float:
    duration = expected(state)
    assert duration is not None
    return simulate(state, 0.0, duration).makespan_s


def _state(flow: Workflow, pool: Pool, policy: str) -> State:
    state = State()
    evolve(state, ev.CampaignCreated(0.0, "c", flow.name, 1, policy=policy))
    command = Command("1", (AddPool(pool), *flow.edits))
    evolve(state, ev.CommandAccepted(0.0, "1", command.edits, inverse=validate(state, command)))
    provide_nodes(state, 0.0)
    return state


def main() -> int:
    """Print the table and write it beside this file."""
    rows, found = [], {}
    for case in TABLE:
        path = DATA / "wfinstances" / f"{case.file}.json"
        if not path.is_file():
            print(f"{path} is not there: set WORKBENCH_DATA to the folder with the reference data", file=sys.stderr)
            return 1
        got = found[case.file] = measure(path)
        graph = f"{got.tasks} / {got.edges} / {got.depth}"
        for pool, (bound, fifo, upward) in case.expected.items():
            ours = got.on[pool]
            rows.append(
                f"| {case.file} | {got.source.split()[-1]} | {graph} | {got.sets} | {pool} "
                f"| {ours.bound:.2f} ({bound:.2f}) | {ours.fifo:.2f} ({fifo:.2f}, {ours.fifo / fifo - 1:+.2%}) "
                f"| {ours.upward:.2f} ({upward:.2f}, {ours.upward / upward - 1:+.2%}) |"
            )
    head = "| trace | format | tasks / edges / depth | sets | pool | lower bound, s | fifo, s | upward rank, s |"
    page = "\n".join(
        [
            "# Traces of real executions, simulated",
            "",
            "In brackets what the page of the data gives, and how far off it ours is. The bound is the largest of",
            "critical path, work over capacity, and head and tail; a higher one that no schedule beats is better.",
            "",
            head,
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            "Made by `python -m tests.benchmarks.wfinstances`.",
        ]
    )
    print(page)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "RESULTS.md").write_text(page + "\n")
    told = {name: dataclasses.asdict(got) for name, got in found.items()}
    (RESULTS / "results.json").write_text(json.dumps(told, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
