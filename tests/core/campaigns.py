"""A few lines to put a state into any situation."""

from __future__ import annotations

from typing import Any

import msgspec

from workbench.core import State, decide, evolve
from workbench.core.edits import validate
from workbench.core.undo import resolve
from workbench.model import edits as ed
from workbench.model.causes import Cause
from workbench.model.events import (
    AttemptAssigned,
    AttemptEnded,
    AttemptFinished,
    AttemptStarted,
    CampaignCreated,
    CommandAccepted,
    NodeJoined,
    NodeLeft,
)
from workbench.model.resources import NodeShape, Pool, Resources
from workbench.model.specs import Constant, Edge, Function, Member, Payload, SetSpec

FUNCTION = Function(Payload(b"f"), "module:f")


class Campaign:
    """A state with verbs; time passes one second a verb."""

    def __init__(
        self, mode: str = "adaptive", policy: str = "fifo", nodes: int = 1, cores: int = 4, gpus: int = 0
    ) -> None:
        self.state = State()
        self.now = 0.0
        self.n = 0
        self.shape = NodeShape(cores, gpus)
        evolve(self.state, CampaignCreated(0.0, "id", "test", 0, mode, policy))
        self.do(ed.AddPool(Pool("p", max(nodes, 1), self.shape)))
        for _ in range(nodes):
            self.join()

    def tick(self) -> float:
        self.now += 1.0
        return self.now

    def do(self, *edits: ed.Edit, **fields: Any) -> CommandAccepted:
        """Submit one command; raises what `validate` raises."""
        self.n += 1
        command = resolve(self.state, ed.Command(f"c{self.n}", edits, **fields))
        inverse = validate(self.state, command)
        accepted = CommandAccepted(
            self.tick(), command.id, command.edits, inverse, command.author, command.base, undoes=command.undoes,
            passed=command.passed, passed_more=command.passed_more,
        )  # fmt: skip
        assert evolve(self.state, accepted)
        return accepted

    def undo(self, command: str = ed.UNDO) -> CommandAccepted:
        return self.do(undoes=command)

    def redo(self) -> CommandAccepted:
        return self.do(undoes=ed.REDO)

    def add(
        self, name: str, n: int = 1, after: str | tuple[str, ...] | Edge = (), tx: float | None = 1.0, **spec: Any
    ) -> None:
        """Add a set of `n` functions behind `after` (sets, tasks or an edge)."""
        edges = (after,) if isinstance(after, (str, Edge)) else after
        cores, gpus = spec.pop("cores", 1), spec.pop("gpus", 0)
        self.do(
            ed.AddSet(
                SetSpec(
                    name,
                    spec.pop("work", FUNCTION),
                    n=n,
                    resources=Resources(cores, gpus),
                    estimate=None if tx is None else Constant(tx),
                    **spec,
                ),
                tuple(e if isinstance(e, Edge) else Edge(e, name) for e in edges),
            )
        )

    def join(self, prefetch: int = 0) -> str:
        name = f"n{self.state.node_count}"
        evolve(self.state, NodeJoined(self.tick(), name, "p", self.shape.cores, self.shape.gpus, prefetch=prefetch))
        return name

    def leave(self, node: str, cause: Cause = Cause.NodeLost) -> None:
        assert evolve(self.state, NodeLeft(self.tick(), node, cause))

    def go(self) -> list[AttemptAssigned]:
        """Let the scheduler decide."""
        made = []
        for decision in decide(self.state, self.now):
            assert evolve(self.state, decision)
            made.append(decision)
        return made

    def started(self, task: str) -> None:
        assert evolve(self.state, AttemptStarted(self.tick(), task, self[task].number, self.now))

    def finished(self, *tasks: str, took: float = 1.0) -> None:
        for task in tasks:
            at = self.tick()
            assert evolve(self.state, AttemptFinished(at, task, self[task].number, at - took, at))

    def ended(self, task: str, cause: Cause = Cause.UserError, detail: str = "") -> None:
        assert evolve(self.state, AttemptEnded(self.tick(), task, self[task].number, cause, detail))

    def __getitem__(self, task: str) -> Any:
        found = self.state.task(task)
        assert found is not None, task
        return found

    def states(self, name: str) -> list[str]:
        return [t.state.value for t in self.state.sets[name].live()]


def picture(state: State, states: bool = True) -> object:
    """What a person sees of a campaign, without its history."""
    sets = {
        s.name: (
            msgspec.structs.replace(s.spec, n=s.size), s.stage,
            sorted((x.edge.src, x.edge.dst, x.edge.kind) for x in s.into),
            [(t.id, t.state.value if states else "", t.priority, t.held, t.member or Member()) for t in s.live()],
        )
        for s in state.sets.values()
    }  # fmt: skip
    return sets, state.mode, state.policy, dict(state.pools)
