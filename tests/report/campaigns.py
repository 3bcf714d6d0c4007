"""Journals of campaigns that never ran: the core decides, a virtual clock lets attempts end."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence

from workbench.core import State, decide, evolve
from workbench.model import events as ev
from workbench.model.causes import Cause
from workbench.model.edits import AddPool, AddSet, Edit
from workbench.model.ids import split_task
from workbench.model.resources import NodeShape, Pool, Resources
from workbench.model.specs import Constant, Edge, Normal, SetSpec, Synthetic

ZERO = 1_700_000_000.0
Fate = Callable[[str, int], ev.Cause | None]


def declared(name: str, n: int, tx: float, cores: int = 1, gpus: int = 0, **more: object) -> SetSpec:
    """A synthetic set."""
    resources = Resources(cores=cores, gpus=gpus)
    return SetSpec(name, Synthetic(), n=n, resources=resources, estimate=Normal(tx, tx / 40), **more)  # type: ignore[arg-type]


def ddmd(iterations: int = 3, staggered: bool = False) -> list[Edit]:
    """The DeepDriveMD workflow of Table 1 (arXiv:2208.11069): chains, or with staggered simulations."""
    edits: list[Edit] = []
    for i in range(iterations):
        chain = [
            declared(f"sim-{i}", 96, 340, 4, 1),
            declared(f"aggr-{i}", 16, 85, 32),
            declared(f"train-{i}", 1, 63, 4, 1),
            declared(f"infer-{i}", 96, 38, 16, 1),
        ]
        for k, spec in enumerate(chain):
            edges = [Edge(chain[k - 1].name, spec.name)] if k else []
            if staggered and not k and i:
                edges.append(Edge(f"sim-{i - 1}", spec.name))
            edits.append(AddSet(spec, tuple(edges)))
    return edits


def summit(nodes: int = 16) -> Pool:
    return Pool("summit", nodes, NodeShape(168, 6), "virtual")


class Run:
    """Drives the core through a campaign and keeps the records.

    Parameters
    ----------
    fate : callable, optional
        ``fate(task, number)`` names the cause that the attempt ends with; None lets it finish.
    """

    def __init__(
        self,
        edits: Sequence[Edit],
        pool: Pool | None = None,
        *,
        name: str = "ddmd",
        scale: float = 1.0,
        seed: int = 0,
        mode: str = "adaptive",
        policy: str = "resource-aware",
        fate: Fate = lambda task, number: None,
        detail: str = "Traceback (most recent call last):\n  ...\nValueError: no frames in trajectory",
    ) -> None:
        self.state = State()
        self.records: list[ev.Record] = []
        self.at = ZERO
        self.scale = scale
        self.fate = fate
        self.detail = detail
        self._random = random.Random(seed)
        self._ends: list[tuple[float, int, ev.AttemptAssigned, float]] = []
        self._n = 0
        pool = pool or summit()
        self.add(ev.CampaignCreated(self.at, "c0ffee", name, seed, mode, policy, scale))
        self.add(ev.EngineStarted(self.at, 1))
        self.add(ev.CommandAccepted(self.at, "declare", (AddPool(pool), *edits), author="user:ada"))
        for i in range(pool.nodes):
            self.join(f"{pool.name}-{i:02d}", pool)

    def join(self, name: str, pool: Pool) -> None:
        shape = pool.shape
        self.add(ev.NodeJoined(self.at, name, pool.name, shape.cores, shape.gpus, shape.memory, "localhost"))

    def add(self, event: ev.Event) -> bool:
        self.records.append(ev.Record(len(self.records), event))
        return evolve(self.state, event)

    def forecast(self, makespan: float, bound: float = 0.0, **alternatives: float) -> None:
        self.add(
            ev.ForecastMade(
                self.at,
                makespan,
                bound,
                self.state.mode,
                self.state.policy,
                len(self.records) - 1,
                alternatives,
            )
        )

    def step(self) -> bool:
        """Start what can start, then let the next attempt end. False when nothing is under way."""
        for assigned in decide(self.state, self.at):
            self.add(assigned)
            estimate = self.state.sets[split_task(assigned.task)[0]].spec.estimate or Constant(1.0)
            spread = self._random.gauss(0, getattr(estimate, "std", 0.0))
            lasts = max(1e-3, estimate.mean + spread) * self.scale
            self.add(ev.AttemptStarted(self.at, assigned.task, assigned.number, self.at))
            self._n += 1
            heapq.heappush(self._ends, (self.at + lasts, self._n, assigned, self.at))
        while self._ends:
            self.at, _, assigned, started = heapq.heappop(self._ends)
            task = self.state.task(assigned.task)
            if task is None or task.number != assigned.number or not task.node:
                continue  # its node went away
            cause = self.fate(assigned.task, assigned.number)
            if cause is None:
                self.add(ev.AttemptFinished(self.at, assigned.task, assigned.number, started, self.at))
            else:
                self.add(
                    ev.AttemptEnded(
                        self.at, assigned.task, assigned.number, cause, self.detail, started, self.at, exit_code=1
                    )
                )
            return True
        return False

    def run(self, until: float | None = None) -> Run:
        """To the end, or for `until` unscaled seconds."""
        while (until is None or self.at < ZERO + until * self.scale) and self.step():
            pass
        return self

    def lose(self, node: str, cause: Cause = Cause.NodeLost) -> None:
        self.add(ev.NodeLeft(self.at, node, cause, "the worker stopped answering"))
