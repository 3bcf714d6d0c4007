"""Every rule that a command must keep, and every inverse."""

from __future__ import annotations

import math
import random

import pytest

from workbench.core.edits import validate
from workbench.core.invariants import check
from workbench.model import edits as ed
from workbench.model import errors as err
from workbench.model.causes import Cause
from workbench.model.resources import NodeShape, Pool, Resources
from workbench.model.specs import (
    Constant,
    Edge,
    Executable,
    Function,
    LogNormal,
    Member,
    Mpi,
    Normal,
    Payload,
    SetSpec,
    Synthetic,
    Uniform,
)

from .campaigns import FUNCTION, Campaign, picture


def campaign() -> Campaign:
    """a (2, done) > b (2: one assigned, one ready) > c (2, waiting) with data; x (3) > y (3) task by task."""
    c = Campaign(cores=3)
    c.add("a", 2)
    c.add("b", 2, "a")
    c.add("c", 2, Edge("b", "c", data=True))
    c.go()
    c.finished("a[0]", "a[1]")
    c.add("block", 1, cores=2)
    c.go()
    c.add("x", 3)
    c.add("y", 3, Edge("x", "y", "each", data=True))
    c.add("z", 1)
    return c


def spec(name: str = "new", **fields: object) -> SetSpec:
    return SetSpec(name, fields.pop("work", Synthetic()), **fields)  # type: ignore[arg-type]


REFUSED: list[tuple[str, ed.Edit, type[err.EditRefused], str]] = [
    ("duplicate set", ed.AddSet(spec("a")), err.DuplicateName, "'a' already"),
    ("bad set name", ed.AddSet(spec("1 bad")), err.BadValue, "cannot name a task set"),
    ("negative n", ed.AddSet(spec(n=-1)), err.BadValue, "n=-1"),
    ("members disagree", ed.AddSet(spec(n=3, members=(Member(),))), err.BadValue, "1 members"),
    ("never fits", ed.AddSet(spec(resources=Resources(99))), err.NeverFits, "99 cores"),
    ("too many nodes", ed.AddSet(spec(resources=Resources(1, nodes=7))), err.NeverFits, "7 node(s)"),
    ("no core", ed.AddSet(spec(resources=Resources(0))), err.BadValue, "at least one core"),
    ("negative memory", ed.AddSet(spec(resources=Resources(1, 0, -5))), err.BadValue, "memory=-5"),
    ("NaN estimate", ed.AddSet(spec(estimate=Constant(math.nan))), err.BadValue, "nan"),
    ("negative estimate", ed.AddSet(spec(estimate=Normal(-1.0, 1.0))), err.BadValue, "-1.0"),
    ("infinite estimate", ed.AddSet(spec(estimate=LogNormal(1.0, math.inf))), err.BadValue, "inf"),
    ("zero log-normal", ed.AddSet(spec(estimate=LogNormal(0.0, 1.0))), err.BadValue, "above 0"),
    ("low above high", ed.AddSet(spec(estimate=Uniform(2.0, 1.0))), err.BadValue, "swap"),
    ("member estimate", ed.AddSet(spec(n=1, members=(Member(estimate=Constant(-1.0)),))), err.BadValue, "new[0]"),
    ("bad timeout", ed.AddSet(spec(timeout_s=0.0)), err.BadValue, "timeout"),
    ("bad retries", ed.AddSet(spec(retries=-1)), err.BadValue, "retries"),
    ("bad stage", ed.AddSet(spec(stage=-1)), err.BadValue, "stage"),
    ("bad failure rule", ed.AddSet(spec(on_failed_input="shrug")), err.BadValue, "shrug"),
    ("parameters", ed.AddSet(spec(parameters={"x": object()})), err.BadValue, "object"),
    ("NaN parameter", ed.AddSet(spec(parameters={"x": [math.nan]})), err.BadValue, "finite"),
    ("key", ed.AddSet(spec(parameters={"x": {1: 2}})), err.BadValue, "keys must be text"),
    ("ranks", ed.AddSet(spec(work=Mpi(("a",), 9), resources=Resources(2))), err.BadValue, "9 ranks"),
    ("no ranks", ed.AddSet(spec(work=Mpi(("a",), 0))), err.BadValue, "at least one rank"),
    ("nodes", ed.AddSet(spec(work=Executable(("a",)), resources=Resources(1, nodes=2))), err.BadValue, "spans 2"),
    ("unknown source", ed.AddSet(spec(), (Edge("sin", "new"),)), err.UnknownName, "no task set 'sin'"),
    ("foreign edge", ed.AddSet(spec(), (Edge("a", "c"),)), err.BadValue, "nothing to do with"),
    ("no such task", ed.AddSet(spec(), (Edge("a[7]", "new"),)), err.UnknownName, "tasks 0 to 1"),
    ("each of unequal", ed.AddSet(spec(n=5), (Edge("x", "new", "each"),)), err.BadValue, "only 3"),
    ("edge kind", ed.AddSet(spec(), (Edge("x", "new", "some"),)), err.BadValue, "some"),
    ("stage before input", ed.AddSet(spec(stage=0), (Edge("c", "new"),)), err.BadValue, "stage 0"),
    ("remove running", ed.RemoveSet("b"), err.AlreadyRunning, "b[0] is assigned"),
    ("remove done", ed.RemoveSet("a"), err.AlreadyEnded, "a[0] is done"),
    ("remove used", ed.RemoveSet("x"), err.StillNeeded, "remove y first"),
    ("remove unknown", ed.RemoveSet("q"), err.UnknownName, "'q'"),
    ("grow nothing", ed.AddTasks("x"), err.BadValue, "at least one"),
    ("grow a done input", ed.AddTasks("a", n=1), err.AlreadyRunning, "which it waited for"),
    ("grow a follower", ed.AddTasks("y", n=1), err.BadValue, "only 3 tasks; add to it first"),
    ("remove a used task", ed.RemoveTasks(("x[1]",)), err.StillNeeded, "y[1] uses"),
    ("remove a set as a task", ed.RemoveTasks(("z",)), err.BadValue, "z[0]"),
    ("remove no task", ed.RemoveTasks(()), err.BadValue, "at least one"),
    ("restore what is there", ed.RestoreTasks(("z[0]",)), err.BadValue, "was not removed"),
    ("self edge", ed.AddEdges((Edge("z", "z"),)), err.WouldCycle, "itself"),
    ("self edge task by task", ed.AddEdges((Edge("z", "z", "each"),)), err.WouldCycle, "itself"),
    ("cycle", ed.AddEdges((Edge("y", "x"),)), err.WouldCycle, "y > x > y"),
    ("cycle through tasks", ed.AddEdges((Edge("y[1]", "x[1]"),)), err.WouldCycle, "x[1] > y[1]"),
    ("twice", ed.AddEdges((Edge("x", "y", "each"),)), err.DuplicateName, "already"),
    ("into running", ed.AddEdges((Edge("z", "b"),)), err.AlreadyRunning, "too late to let it wait for z"),
    ("no edge", ed.AddEdges(()), err.BadValue, "at least one"),
    ("each of tasks", ed.AddEdges((Edge("x[0]", "y", "each"),)), err.BadValue, "joins two sets"),
    ("cut data", ed.RemoveEdges((Edge("x", "y", "each"),)), err.StillNeeded, "uses the result"),
    ("cut nothing", ed.RemoveEdges((Edge("x", "z"),)), err.UnknownName, "no edge x > z"),
    ("replace nothing", ed.ReplaceSpec("z"), err.BadValue, "say what"),
    ("replace ended", ed.ReplaceSpec("a", retries=2), err.AlreadyEnded, "every task of 'a'"),
    ("replace started", ed.ReplaceSpec("b[0]", parameters={}), err.AlreadyRunning, "b[0]"),
    ("task resources", ed.ReplaceSpec("z[0]", resources=Resources(1)), err.BadValue, "whole set"),
    ("too large", ed.ReplaceSpec("z", resources=Resources(50)), err.NeverFits, "50 cores"),
    ("stage too early", ed.ReplaceSpec("c", stage=0), err.BadValue, "depends on 'b' of stage 1"),
    ("priority unknown", ed.SetPriority("q", 1), err.UnknownName, "'q'"),
    ("no priority", ed.SetPriority("z", None), err.BadValue, "needs a number"),
    ("hold done", ed.Hold(("a",)), err.AlreadyEnded, "nothing there to hold"),
    ("hold nothing", ed.Hold(()), err.BadValue, "at least one"),
    ("release free", ed.Release(("z",)), err.AlreadyEnded, "nothing there to release"),
    ("cancel done", ed.Cancel(("a",)), err.AlreadyEnded, "nothing there to cancel"),
    ("grace", ed.Cancel(("z",), -1.0), err.BadValue, "grace"),
    ("retry done", ed.Retry(("a",)), err.AlreadyEnded, "nothing there to retry"),
    ("invalidate running input", ed.Invalidate(("a",)), err.AlreadyRunning, "b[0]"),
    ("invalidate waiting", ed.Invalidate(("z",)), err.AlreadyEnded, "invalidate"),
    ("steer nothing", ed.Steer("z"), err.BadValue, "stop=True"),
    ("steer done", ed.Steer("a", {"x": 1}), err.AlreadyEnded, "steer"),
    ("mode", ed.SetMode("adaptiv"), err.BadValue, "did you mean 'adaptive'"),
    ("policy", ed.SetPolicy("fifi"), err.BadValue, "did you mean 'fifo'"),
    ("pool twice", ed.AddPool(Pool("p", 1, NodeShape(1))), err.DuplicateName, "'p' already"),
    ("empty pool", ed.AddPool(Pool("q", 0, NodeShape(1))), err.BadValue, "nodes=0"),
    ("coreless pool", ed.AddPool(Pool("q", 1, NodeShape(0))), err.BadValue, "at least one core"),
    ("scale unknown", ed.ScalePool("q", 1), err.UnknownName, "'q'"),
    ("scale below 0", ed.ScalePool("p", -1), err.BadValue, "nodes=-1"),
    ("scale away", ed.ScalePool("p", 0), err.NeverFits, "no declared pool can ever hold"),
]  # fmt: skip


@pytest.mark.parametrize("edit, error, text", [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_a_broken_rule_is_named_and_nothing_changes(edit: ed.Edit, error: type[err.EditRefused], text: str) -> None:
    c = campaign()
    before = c.state.digest()
    with pytest.raises(error) as refused:
        validate(c.state, ed.Command("q", (ed.SetPriority("z", 7), edit)))
    assert text in str(refused.value), str(refused.value)
    assert refused.value.rule == error.__name__
    assert "\n" not in str(refused.value)
    assert c.state.digest() == before


def test_a_function_cannot_span_nodes_and_a_program_cannot_run_on_virtual_ones() -> None:
    c = Campaign(nodes=3)
    with pytest.raises(err.BadValue, match="only MPI and synthetic"):
        c.do(ed.AddSet(SetSpec("f", FUNCTION, resources=Resources(1, nodes=2))))
    virtual = Campaign(nodes=0)
    virtual.state.pools.clear()
    virtual.do(ed.AddPool(Pool("v", 2, NodeShape(8), "virtual")))
    with pytest.raises(err.NeverFits, match="only keeps time"):
        virtual.do(ed.AddSet(SetSpec("x", Executable(("true",)))))


def test_a_stale_base_is_refused_and_a_fresh_one_is_not() -> None:
    c = campaign()
    seen = c.state.seq
    c.do(ed.SetPriority("z", 1))
    with pytest.raises(err.StaleBase, match="'z' was changed"):
        c.do(ed.SetPriority("z", 2), base=seen)
    c.do(ed.SetPriority("x", 2), base=seen)
    c.do(ed.SetPriority("z", 2), base=c.state.seq)


def test_edits_of_one_command_see_each_other() -> None:
    c = Campaign()
    c.do(
        ed.AddSet(spec("p1", n=2)),
        ed.AddSet(spec("p2", n=2), (Edge("p1", "p2", "each"),)),
        ed.AddTasks("p1", n=1),
        ed.AddTasks("p2", n=1),
        ed.Hold(("p2",)),
    )
    assert c.states("p2") == ["held"] * 3
    with pytest.raises(err.WouldCycle):
        c.do(ed.AddSet(spec("q1")), ed.AddSet(spec("q2"), (Edge("q1", "q2"),)), ed.AddEdges((Edge("q2", "q1"),)))
    assert "q1" not in c.state.sets


UNDOABLE: list[ed.Edit] = [
    ed.AddSet(spec("n", n=2), (Edge("x", "n"),)),
    ed.RemoveSet("z"),
    ed.RemoveSet("y"),
    ed.AddTasks("x", n=2),
    ed.RemoveTasks(("z[0]",)),
    ed.RemoveTasks(("y[0]", "y[2]")),
    ed.AddEdges((Edge("z", "x"),)),
    ed.ReplaceSpec("x", resources=Resources(2), estimate=None, retries=4, tags={"k": "v"}, stage=3),
    ed.ReplaceSpec("x[1]", parameters={"lr": 0.1}, estimate=Constant(9.0)),
    ed.SetPriority("x", 5),
    ed.SetPriority("x[1]", 5),
    ed.Hold(("x",)),
    ed.Hold(("x[0]", "z")),
    ed.SetMode("sequential"),
    ed.SetPolicy("longest-first"),
    ed.ScalePool("p", 4),
]


@pytest.mark.parametrize("edit", UNDOABLE, ids=lambda e: type(e).__name__)
def test_undo_and_redo(edit: ed.Edit) -> None:
    c = campaign()
    before = picture(c.state)
    c.do(edit)
    after = picture(c.state)
    assert after != before
    c.undo()
    assert picture(c.state) == before
    c.redo()
    assert picture(c.state) == after
    c.undo()
    assert picture(c.state) == before
    assert check(c.state) == []


def test_what_ends_or_restarts_work_cannot_be_undone_and_is_not_in_the_way() -> None:
    c = campaign()
    before = c.state.undo_stack.copy()
    c.do(ed.SetPriority("z", 3))
    c.do(ed.Cancel(("z",)))
    c.undo()
    assert c["z[0]"].rank_priority == 0 and c["z[0]"].state == "cancelled"
    assert c.state.undo_stack == before
    empty = Campaign()
    with pytest.raises(err.NothingToUndo):
        empty.undo()
    with pytest.raises(err.NothingToUndo):
        empty.redo()


def test_a_tasks_growth_is_not_on_the_undo_stack_of_people() -> None:
    c = Campaign()
    c.do(ed.AddSet(spec("grown")), author="task:a[0]")
    with pytest.raises(err.NothingToUndo):
        c.undo()


def test_a_task_that_steers_one_which_has_just_ended_is_not_refused() -> None:
    c = Campaign()
    c.add("a")
    c.go()
    c.finished("a[0]")
    c.do(ed.Steer("a", stop=True), ed.Cancel(("a",)), ed.AddSet(spec("next")), author="task:agent[0]")
    assert c["a[0]"].state == "done" and c["next[0]"].state == "ready"
    with pytest.raises(err.AlreadyEnded):
        c.do(ed.Steer("a", stop=True), author="user:me")


def test_releasing_what_a_failed_input_holds_names_the_way_out() -> None:
    c = Campaign()
    c.add("a")
    c.add("b", 1, "a", on_failed_input="hold")
    c.go()
    c.ended("a[0]", Cause.UserError)
    with pytest.raises(err.BadValue, match=r"held because a\[0\] failed; retry a\[0\] first"):
        c.do(ed.Release(("b",)))
    c.add("d", 1, "a")
    with pytest.raises(err.BadValue, match=r"d\[0\] was skipped because a\[0\] failed; retry a\[0\]"):
        c.do(ed.Retry(("d",)))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(20))
def test_undoing_everything_restores_the_original(seed: int) -> None:
    """A thousand accepted edits by two authors, then undo until nothing is left; repeat with the seed in the name."""
    rng = random.Random(seed)
    c = Campaign(nodes=0, cores=8)
    for name, n in (("a", 3), ("b", 3), ("c", 2)):
        c.add(name, n)
    c.state.undo_stack.clear()
    before = picture(c.state)
    done = added = 0
    for _ in range(300):
        sets = list(c.state.sets) or ["none"]
        a, b = rng.choice(sets), rng.choice(sets)
        added += 1
        edit = rng.choice(
            [
                ed.AddSet(spec(f"n{added}", n=rng.randint(1, 3)), (Edge(a, f"n{added}"),)),
                ed.AddSet(spec(f"n{added}", n=rng.randint(1, 3))),
                ed.RemoveSet(a),
                ed.AddTasks(a, n=1),
                ed.RemoveTasks((f"{a}[{rng.randint(0, 3)}]",)),
                ed.AddEdges((Edge(a, b),)),
                ed.ReplaceSpec(a, estimate=Constant(float(rng.randint(1, 9)))),
                ed.ReplaceSpec(f"{a}[0]", parameters={"x": rng.randint(0, 9)}),
                ed.SetPriority(f"{a}[0]", rng.randint(-5, 5)),
                ed.Hold((a,)),
                ed.Release((a,)),
                ed.SetMode(rng.choice(["adaptive", "sequential", "asynchronous"])),
            ]
        )
        try:
            c.do(edit, author=rng.choice(["user:one", "user:two"]))
            done += 1
        except err.EditRefused:
            continue
    assert done > 100
    while c.state.undo_stack:
        c.undo()
    assert picture(c.state) == before
    assert check(c.state) == []


def test_a_parameter_that_the_function_does_not_take_is_refused() -> None:
    c = Campaign()
    c.add("f", 2, work=Function(Payload(b"f"), "module:f", takes=("rate", "k")))
    c.add("any", 1, work=Function(Payload(b"f"), "module:f"))
    c.do(ed.ReplaceSpec("f", parameters={"rate": 1.0}), ed.ReplaceSpec("f[1]", parameters={"k": 2}))
    for target in ("f", "f[0]"):
        with pytest.raises(
            err.BadValue, match=r"f has no parameter 'rates' \(did you mean 'rate'\?\); it takes rate, k"
        ):
            c.do(ed.ReplaceSpec(target, parameters={"rates": 1.0}))
    c.do(ed.ReplaceSpec("any", parameters={"rates": 1.0}))


def test_a_chain_of_thousands_of_sets_declared_at_once_is_judged_without_recursion() -> None:
    state, n = Campaign().state, 3000
    chain = [ed.AddSet(spec(f"t{i}"), (Edge(f"t{i - 1}", f"t{i}"),) if i else ()) for i in range(n)]
    last = Edge(f"t{n - 1}", "last")
    validate(state, ed.Command("fine", (*chain, ed.AddSet(spec("last", stage=n), (last,)))))
    with pytest.raises(err.BadValue, match=f"of stage {n - 1}"):
        validate(state, ed.Command("early", (*chain, ed.AddSet(spec("last", stage=1), (last,)))))
