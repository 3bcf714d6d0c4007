"""A campaign that does anything it may: the generator behind the core's random tests.

`Machine` draws from any source with `choice` and `integer` (a seeded `random.Random` or hypothesis), so the same moves
serve the state machine of hypothesis and the thousand seeded campaigns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from workbench.core import State, decide, evolve
from workbench.core.copying import copy_state
from workbench.core.edits import validate
from workbench.core.invariants import check, check_decision
from workbench.core.placement import PACKINGS
from workbench.core.policies import AUTO, POLICIES, policy_names
from workbench.core.undo import resolve
from workbench.model import edits as ed
from workbench.model.causes import Cause
from workbench.model.errors import EditRefused, NothingToUndo
from workbench.model.events import (
    AttemptEnded,
    AttemptFinished,
    AttemptReported,
    AttemptStarted,
    CampaignCreated,
    CommandAccepted,
    CommandRefused,
    EngineStarted,
    Event,
    NodeJoined,
    NodeLeft,
    PolicyChosen,
)
from workbench.model.resources import NodeShape, Pool, Resources
from workbench.model.specs import Constant, Edge, Function, Member, Payload, Plan, SetSpec, Synthetic
from workbench.model.states import ACTIVE, MODES, TaskState

from .campaigns import picture

T = TypeVar("T")


class Source(Protocol):
    def choice(self, values: Sequence[T]) -> T: ...

    def integer(self, low: int, high: int) -> int: ...


CAUSES = [c for c in Cause if c is not Cause.Cancelled]


class Machine:
    """Live state, every event that made it, and moves."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.state = State()
        self.state.visited = set()
        self.events: list[Event] = []
        self.now = 0.0
        self.commands = 0
        self.sets = 0
        self.nodes = 0
        self.old: list[tuple[str, int]] = []  # attempts that once were under way: sources of late reports
        self.emit(CampaignCreated(0.0, "id", "random", 1, source.choice(MODES), source.choice(policy_names())))
        self.emit(EngineStarted(0.0, 1))
        self.command(ed.AddPool(Pool("p", 3, NodeShape(4, 2, 100))))

    # --- plumbing ---
    def emit(self, event: Event) -> bool:
        self.events.append(event)
        return evolve(self.state, event)

    def tick(self) -> float:
        self.now += self.source.integer(1, 20)
        return self.now

    def command(self, *edits: ed.Edit, undoes: str = "", author: str = "user") -> bool:
        """Submit; returns whether it was accepted. A refused command must not have changed anything."""
        self.commands += 1
        command = ed.Command(f"c{self.commands}", edits, author=author, undoes=undoes)
        before = self.state.digest()
        try:
            command = resolve(self.state, command)
            inverse = validate(self.state, command)
        except EditRefused:
            assert self.state.digest() == before, "a refused command changed the state"
            return False
        assert self.state.digest() == before, "validation changed the state"
        accepted = CommandAccepted(self.now, command.id, command.edits, inverse, author=author, undoes=command.undoes)
        self.emit(accepted)
        return True

    def targets(self) -> list[str]:
        found = list(self.state.sets)
        for s in self.state.sets.values():
            found += [t.id for t in s.live()][:6]
        return found

    def target(self) -> str:
        names = self.targets()
        return self.source.choice(names) if names else "none"

    # --- what people do ---
    def add_set(self) -> None:
        pick, draw = self.source.choice, self.source.integer
        self.sets += 1
        name = f"s{self.sets}"
        n = draw(0, 4)
        work = pick([Synthetic(), Function(Payload(b"f"), "f")])
        spec = SetSpec(
            name,
            work,
            n=n,
            members=tuple(Member(estimate=Constant(float(draw(1, 9)))) for _ in range(n)) if pick([0, 0, 1]) else (),
            resources=Resources(pick([1, 1, 2, 4]), pick([0, 0, 1]), pick([0, 0, 60])),
            estimate=pick([None, Constant(3.0), Constant(0.01)]),
            priority=draw(-1, 1),
            retries=draw(0, 2),
            on_failed_input=pick(["skip", "hold"]),
            stage=pick([None, None, None, draw(0, 5)]),
        )
        edges: dict[Edge, None] = {}
        for _ in range(draw(0, 3)):
            known = self.targets()
            if known:
                src = pick(known)
                dst = name if n == 0 or pick([0, 1]) else f"{name}[{draw(0, n - 1)}]"
                kind = pick(["all", "each"])
                edges[Edge(src, dst, kind, data=bool(pick([0, 0, 1])))] = None
        self.command(ed.AddSet(spec, tuple(edges)))

    def edit(self) -> None:
        pick, draw = self.source.choice, self.source.integer
        a, b = self.target(), self.target()
        edit: ed.Edit = pick(
            [
                lambda: ed.RemoveSet(a.partition("[")[0]),
                lambda: ed.AddTasks(a.partition("[")[0], n=draw(1, 2)),
                lambda: ed.RemoveTasks((a,)),
                lambda: ed.AddEdges((Edge(a, b, pick(["all", "each"])),)),
                self._some_edge,
                lambda: ed.ReplaceSpec(a, estimate=Constant(float(draw(0, 9)))),
                lambda: ed.ReplaceSpec(a.partition("[")[0], resources=Resources(pick([1, 2, 9]), pick([0, 2]))),
                lambda: ed.ReplaceSpec(a, parameters={"x": draw(0, 3)}),
                lambda: ed.ReplaceSpec(a.partition("[")[0], on_failed_input=pick(["skip", "hold"])),
                lambda: ed.SetPriority(a, draw(-3, 3)),
                lambda: ed.Hold((a,)),
                lambda: ed.Release((a,)),
                lambda: ed.Cancel((a,)),
                lambda: ed.Retry((a,)),
                lambda: ed.Invalidate((a,)),
                lambda: ed.Steer(a, {"lr": draw(0, 3)}),
                lambda: ed.Steer(a, stop=True),
                lambda: ed.SetMode(pick(MODES)),
                lambda: ed.SetPolicy(pick(policy_names())),
                lambda: ed.ScalePool("p", draw(0, 4)),
            ]
        )()
        self.command(edit, *([ed.Hold((b,))] if pick([0, 0, 0, 1]) else []))

    def choose(self) -> None:
        """What the chooser behind policy auto would do."""
        pick, gate, plan = self.source.choice, self.state.gate, self.state.plan
        sets = list(self.state.sets)
        order = tuple(pick(sets) for _ in range(self.source.integer(0, 3))) if sets else ()
        chosen = Plan(pick([*POLICIES, "unknown"]), pick(["", *PACKINGS]), pick(["", "", *MODES]), order)
        if not self.emit(PolicyChosen(self.tick(), chosen, 1.0)):
            assert (self.state.gate, self.state.plan) == (gate, plan)
            assert chosen.policy == "unknown"

    def _some_edge(self) -> ed.Edit:
        edges = [x.edge for s in self.state.sets.values() for x in s.into]
        return ed.RemoveEdges((self.source.choice(edges),)) if edges else ed.RemoveEdges((Edge("a", "b"),))

    def scale(self) -> None:
        """Change how many nodes the pool wants, by a command of its own; those that take work are as many at most."""
        before = {n.name for n in self.state.nodes.values() if n.draining}
        wanted = self.source.choice([0, 1, 2, 2, 3, 3, 4])
        if self.command(ed.ScalePool("p", wanted, drain=self.source.choice([True, True, False]))):
            after = {n.name for n in self.state.nodes.values() if n.draining}
            assert before <= after or after <= before, "some nodes were let go while others were called back"
            assert len(after) == max(0, len(self.state.nodes) - wanted)

    def undo(self) -> None:
        self.back_and_forth(ed.UNDO, ed.REDO)
        # the latest command, or any of the history
        self.command(undoes=self.source.choice([ed.UNDO, ed.UNDO, self.source.choice(list(self.state.commands))]))

    def redo(self) -> None:
        self.back_and_forth(ed.REDO, ed.UNDO)
        self.command(undoes=ed.REDO)

    def back_and_forth(self, there: str, back: str) -> None:
        """On a copy: what an undo does a redo brings back, and neither is refused for more than want of a command."""
        copy = copy_state(self.state)
        # A set that is removed and comes back has forgotten what its tasks had met with, such as a full disk.
        states = not any(t.input_hold and t.cause for t in copy.tasks())
        seen = [picture(copy, states)]
        for n, undoes in enumerate((there, back, there)):
            last = f"x{n - 1}"
            stack = copy.undo_stack if undoes == ed.UNDO else copy.redo_stack
            assert not n or stack[-1] == last
            try:
                command = resolve(copy, ed.Command(f"x{n}", (), undoes=undoes))
            except NothingToUndo as nothing:
                assert bool(stack) == bool(nothing.subject)
                assert not n or nothing.subject == last
                return
            inverse = validate(copy, command)
            assert inverse is not None, f"what {undoes} did cannot be taken back"
            assert {x.id for x in command.passed} <= set(stack) - {command.undoes}
            if n and command.undoes != last:  # a rule forbids what the campaign had got into; the record says which
                assert command.passed[0].id == last and command.passed[0].why
                return
            evolve(copy, CommandAccepted(self.now, command.id, command.edits, inverse, undoes=command.undoes))
            seen.append(picture(copy, states))
            assert check(copy) == []
            assert n == 0 or seen[n + 1] == seen[n - 1], f"{there}, {back}, {there} does not come back to the same"

    # --- what the cluster does ---
    def join(self) -> None:
        if len(self.state.nodes) < 3:
            self.nodes += 1
            prefetch = self.source.choice([0, 3])
            self.emit(NodeJoined(self.tick(), f"n{self.nodes}", "p", 4, 2, 100, prefetch=prefetch))

    def leave(self) -> None:
        if self.state.nodes:
            node = self.source.choice(list(self.state.nodes))
            self.emit(NodeLeft(self.tick(), node, self.source.choice(CAUSES)))

    def retire(self) -> None:
        """What an executor does: give back a node that drains, once it is empty."""
        empty = [n.name for n in self.state.nodes.values() if n.draining and not n.holding and not n.queue]
        if empty:
            numbers = {t.id: t.number for t in self.state.tasks()}
            self.emit(NodeLeft(self.tick(), self.source.choice(empty), Cause.Preempted))
            assert {t.id: t.number for t in self.state.tasks()} == numbers
            assert not any(t.cause is Cause.Preempted and t.ended == self.now for t in self.state.tasks())

    def schedule(self) -> None:
        if self.state.policy == AUTO and self.source.choice([0, 0, 1]):
            self.choose()
        for decision in decide(self.state, self.now):
            assert check_decision(self.state, decision) == []
            assert self.emit(decision), f"the core cannot fold its own decision {decision}"
            self.old.append((decision.task, decision.number))

    def active(self, queued: bool = False) -> list[tuple[str, int]]:
        return [(t.id, t.number) for t in self.state.tasks() if t.state in ACTIVE and t.queued == queued]

    def start(self) -> None:
        if under_way := self.active():
            task, number = self.source.choice(under_way)
            self.emit(AttemptStarted(self.tick(), task, number, self.now))

    def finish(self) -> None:
        if under_way := self.active():
            task, number = self.source.choice(under_way)
            growth = self._growth() if self.source.choice([0, 0, 0, 1]) else ()
            at = self.tick()
            self.emit(AttemptFinished(at, task, number, at - self.source.choice([0.01, 1.0]), at, growth=growth))
            self.answer_growth()

    def _growth(self) -> tuple[ed.Edit, ...]:
        self.sets += 1
        return (ed.AddSet(SetSpec(f"g{self.sets}", Synthetic(), n=2, estimate=Constant(2.0))),)

    def answer_growth(self) -> None:
        for key, (task, edits) in list(self.state.growths.items()):
            try:
                inverse = validate(self.state, ed.Command(key, edits, author=f"task:{task}"))
            except EditRefused as refusal:
                self.emit(CommandRefused(self.now, key, f"task:{task}", refusal.rule, str(refusal)))
            else:
                self.emit(CommandAccepted(self.now, key, edits, inverse, author=f"task:{task}"))

    def end(self) -> None:
        if under_way := self.active() + self.active(queued=True):
            task, number = self.source.choice(under_way)
            self.emit(AttemptEnded(self.tick(), task, number, self.source.choice(list(Cause)), "why"))

    def report(self) -> None:
        if under_way := self.active():
            task, number = self.source.choice(under_way)
            self.emit(AttemptReported(self.tick(), task, number, {"loss": 1.0}, 0.5))

    def late(self) -> None:
        """Reports that no longer mean anything: of earlier attempts, twice, of unknown tasks."""
        task, number = self.source.choice([*self.old, ("nobody[0]", 1)])
        known = self.state.task(task)
        current = known is not None and known.number == number and known.state in ACTIVE
        if current:
            return
        before, fenced = self.state.digest(), self.state.fenced
        kind: Callable[..., Event] = self.source.choice([AttemptFinished, AttemptEnded, AttemptStarted])
        values: dict[str, Any] = {"at": self.now, "task": task, "number": number}
        if kind is AttemptFinished:
            values |= {"started": 0.0, "ended": 1.0}
        elif kind is AttemptEnded:
            values |= {"cause": Cause.UserError}
        else:
            values |= {"started": 0.0}
        assert not self.emit(kind(**values))
        assert self.state.fenced == fenced + 1
        self.state.seq -= 1
        self.state.fenced -= 1
        assert self.state.digest() == before, "a late report changed the state"
        self.state.seq += 1
        self.state.fenced += 1

    MOVES = (
        "add_set", "edit", "edit", "undo", "redo", "scale", "join", "leave", "retire", "schedule", "schedule", "start",
        "finish", "finish", "end", "report", "late",
    )  # fmt: skip

    def step(self) -> str:
        move = self.source.choice(self.MOVES)
        getattr(self, move)()
        return move

    def finish_everything(self) -> None:
        """Let the campaign end: nodes join, holds are released, every attempt finishes."""
        self.command(ed.ScalePool("p", 3))
        while len(self.state.nodes) < 3:
            self.join()
        for _ in range(10_000):
            self.schedule()
            under_way = self.active()
            if under_way:
                task, number = under_way[0]
                at = self.tick()
                self.emit(AttemptFinished(at, task, number, at - 1.0, at))
                self.answer_growth()
                continue
            stuck = [t for t in self.state.tasks() if t.state is TaskState.held]
            if not stuck:
                return
            freed = [self.command(ed.Release((t.id,))) for t in stuck]
            if not any(freed):
                return
        raise AssertionError("the campaign does not end")
