"""Declarations become exactly these edits, and the core accepts them."""

from __future__ import annotations

import functools
import math
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.api import works
from workbench.api.growth import Growth
from workbench.api.handles import SetHandle, TaskHandle
from workbench.api.taskset import OPTIONS, TaskSet
from workbench.core import State, evolve
from workbench.core.edits import validate
from workbench.model import edits as e
from workbench.model.errors import BadValue, DuplicateName, NotSerializable, UnknownName
from workbench.model.events import CampaignCreated, CommandAccepted
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
    SetSpec,
    Synthetic,
    Uniform,
)
from workbench.store import Store, codec


def simulate(item: Any = None, *more: Any, **parameters: Any) -> Any:
    return item, more, parameters


def strict(x: int, lr: float = 0.1) -> float:
    return x * lr


@pytest.fixture
def g(tmp_path: Path) -> Growth:
    return Growth(tmp_path, "seed[0]")


def last(g: Growth) -> e.AddSet:
    edit = g.edits[-1]
    assert isinstance(edit, e.AddSet)
    return edit


def accepted(edits: tuple[e.Edit, ...], nodes: int = 4) -> State:
    """State after the core accepted `edits` as one command."""
    state = State()
    pool = Pool("p", nodes, NodeShape(1000, 100), "local")
    evolve(state, CampaignCreated(0.0, id="c", name="c", seed=0))
    evolve(state, CommandAccepted(0.0, id="pool", edits=(e.AddPool(pool),)))
    command = e.Command("one", edits)
    inverse = validate(state, command)
    assert evolve(state, CommandAccepted(0.0, id="one", edits=edits, inverse=inverse))
    return state


def arguments(g: Growth, spec: SetSpec, tmp_path: Path, resolve: Any = lambda ref: ref) -> tuple[Any, Any]:
    assert spec.args is not None
    return codec.decode_call(Store(tmp_path).load_payload(spec.args), resolve)


# --- sets ------------------------------------------------------------------------------------------------------------


def test_a_single_task_carries_every_option(g: Growth, tmp_path: Path) -> None:
    handle = g.task(
        strict,
        3,
        name="train",
        cores=4,
        gpus=1,
        memory="2 GiB",
        estimate=63,
        retries=1,
        timeout_s=600,
        priority=-2,
        tags={"kind": "ml", "round": 3},
        stage=2,
        lr=0.5,
        isolation="thread",
        preload=["numpy"],
        on_failed_input="hold",
    )
    assert isinstance(handle, TaskHandle) and handle.id == "train[0]"
    edit = last(g)
    spec, work = edit.spec, edit.spec.work
    assert isinstance(work, Function)
    assert work.name == f"{__name__}:strict" and work.isolation == "thread" and work.preload == ("numpy",)
    assert Store(tmp_path).load_payload(work.code) == codec.encode_function(strict)
    assert edit.edges == () and spec.members == () and spec.n == 1
    assert spec.resources == Resources(4, 1, 2 * 2**30, 1)
    assert (spec.estimate, spec.retries, spec.timeout_s, spec.priority) == (Constant(63.0), 1, 600.0, -2)
    assert (spec.tags, spec.stage, spec.parameters) == ({"kind": "ml", "round": "3"}, 2, {"lr": 0.5})
    assert spec.on_failed_input == "hold"
    assert arguments(g, spec, tmp_path) == ((3,), {})
    accepted(g.edits)


def test_n_tasks_of_one_kind(g: Growth) -> None:
    handle = g.tasks(Synthetic(), n=96, name="sim", estimate=Normal(340, 10))
    assert isinstance(handle, SetHandle) and len(handle) == 96 and handle[-1].id == "sim[95]"
    assert [t.id for t in handle[:2]] == ["sim[0]", "sim[1]"] and len(list(handle)) == 96
    assert last(g) == e.AddSet(SetSpec("sim", Synthetic(), n=96, estimate=Normal(340.0, 10.0)))
    with pytest.raises(IndexError, match="no task 96"):
        handle[96]


def test_a_generator_is_read_once_and_each_item_travels_with_its_task(g: Growth, tmp_path: Path) -> None:
    def items() -> Iterator[Any]:
        yield 1
        yield "two"
        yield {"three": [3.0, None]}
        yield np.arange(3)

    handle = g.map(simulate, items(), 7, name="sim")
    spec = last(g).spec
    assert len(handle) == spec.n == len(spec.members) == 4
    assert arguments(g, spec, tmp_path) == ((("item",), 7), {})
    values = [codec.decode_call(m.item.inline, lambda r: r)[0][0] for m in spec.members if m.item is not None]
    assert values[:3] == [1, "two", {"three": [3.0, None]}] and values[3].tolist() == [0, 1, 2]


def test_large_items_and_arguments_go_to_the_store(g: Growth, tmp_path: Path) -> None:
    array = np.arange(10_000.0)
    g.map(simulate, [array, 1], array, name="sim")
    spec = last(g).spec
    item = spec.members[0].item
    assert item is not None and item.digest and not item.inline and spec.args is not None and spec.args.digest
    assert Store(tmp_path).has(item.digest)
    assert (arguments(g, spec, tmp_path)[0][1] == array).all()


def test_map_over_a_set_joins_the_ith_to_the_ith(g: Growth, tmp_path: Path) -> None:
    sim = g.tasks(simulate, n=3, name="sim")
    model = g.task(simulate, name="model")
    handle = g.map(simulate, sim, model, [sim], name="infer")
    edit = last(g)
    assert len(handle) == edit.spec.n == 3 and edit.spec.members == ()
    assert set(edit.edges) == {
        Edge("sim", "infer", "each", True),
        Edge("model[0]", "infer", "all", True),
        Edge("sim", "infer", "all", True),
    }
    assert arguments(g, edit.spec, tmp_path)[0] == (("each", "sim"), ("task", "model[0]"), [("set", "sim")])
    accepted(g.edits)


def test_items_that_hold_handles_join_task_to_task(g: Growth) -> None:
    sim = g.tasks(simulate, n=4, name="sim")
    g.map(simulate, [(sim[0], 1), {"x": [sim[1], sim[1]]}, 5, [sim]], name="next")
    assert last(g).edges == (
        Edge("sim[0]", "next[0]", "all", True),
        Edge("sim[1]", "next[1]", "all", True),
        Edge("sim", "next[3]", "all", True),
    )
    accepted(g.edits)


def test_after_is_a_dependency_without_data_unless_it_is_an_argument_too(g: Growth) -> None:
    a, b, c = (g.task(simulate, name=name) for name in "abc")
    g.task(simulate, a, after=[a, b, "c"], name="d")
    assert last(g).edges == (
        Edge("a[0]", "d", "all", True),
        Edge("b[0]", "d"),
        Edge("c", "d"),
    )
    assert c.id == "c[0]"
    g.task(simulate, after=a, name="e")
    assert last(g).edges == (Edge("a[0]", "e"),)
    accepted(g.edits)


def test_keywords_are_parameters_where_json_can_keep_them_and_pickled_where_not(g: Growth, tmp_path: Path) -> None:
    a = g.task(simulate, name="a")
    g.task(
        simulate,
        name="b",
        lr=np.float64(0.1),
        epochs=np.int64(3),
        layers=[8, 16],
        shape=(2, 3),
        model=a,
        big=2**70,
        nan=math.nan,
        parameters={"cores": 3},
    )
    edit = last(g)
    assert edit.spec.parameters == {"cores": 3, "lr": 0.1, "epochs": 3, "layers": [8, 16]}
    args, keywords = arguments(g, edit.spec, tmp_path)
    assert math.isnan(keywords.pop("nan"))
    assert (args, keywords) == ((), {"shape": (2, 3), "model": ("task", "a[0]"), "big": 2**70})
    assert edit.edges == (Edge("a[0]", "b", "all", True),)


def test_each_task_may_have_its_own_parameters_estimate_and_label(g: Growth) -> None:
    g.tasks(
        strict,
        1,
        n=2,
        name="sweep",
        parameters=[{"lr": 0.1}, {"lr": 0.2}],
        estimate=np.array([1.0, 2.0]),
        labels=["a", "b"],
    )
    spec = last(g).spec
    assert spec.parameters == {} and spec.estimate is None
    assert spec.members == (
        Member(parameters={"lr": 0.1}, estimate=Constant(1.0), label="a"),
        Member(parameters={"lr": 0.2}, estimate=Constant(2.0), label="b"),
    )
    accepted(g.edits)


def test_programs(g: Growth, tmp_path: Path) -> None:
    a = g.task(
        Executable(["echo", tmp_path, 3], env={"A": "1"}, inputs={"in.dat": "~/x"}, outputs=["out.dat"]), name="a"
    )
    work = last(g).spec.work
    assert work == Executable(
        ("echo", str(tmp_path), "3"), {"A": "1"}, {"in.dat": str(Path("~/x").expanduser())}, ("out.dat",)
    )
    g.task(Mpi(["namd", "{steps}"], ranks=8, cores_per_rank=2), a, name="b", nodes=2, steps=100)
    edit = last(g)
    assert edit.spec.resources == Resources(cores=8, nodes=2) and edit.spec.parameters == {"steps": 100}
    assert edit.edges == (Edge("a[0]", "b"),) and edit.spec.args is None
    g.map(Executable(["echo", "{item}", "{seed}"]), ["x", {"item": "y", "seed": 2}, a], name="c")
    edit = last(g)
    assert edit.spec.members == (
        Member(parameters={"item": "x"}),
        Member(parameters={"item": "y", "seed": 2}),
        Member(),
    )
    assert edit.edges == (Edge("a[0]", "c[2]"),)
    accepted(g.edits)


def test_taskset_is_the_same_declaration(tmp_path: Path) -> None:
    def declare(g: Growth, by_value: bool) -> tuple[e.Edit, ...]:
        a = g.add(TaskSet("a", strict, args=(1,), cores=2)) if by_value else g.task(strict, 1, name="a", cores=2)
        assert isinstance(a, TaskHandle)
        if by_value:
            g.add(TaskSet("b", simulate, n=3, args=(a,), keywords={"lr": 1}, memory="1 GB"))
            g.add(TaskSet("c", simulate, items=[1, 2], after=a))
        else:
            g.tasks(simulate, a, n=3, name="b", lr=1, memory="1 GB")
            g.map(simulate, [1, 2], name="c", after=a)
        return g.edits

    assert declare(Growth(tmp_path, "s[0]"), True) == declare(Growth(tmp_path, "s[0]"), False)


def test_names_are_made_from_functions_and_are_unique(tmp_path: Path) -> None:
    g = Growth(tmp_path, "")
    handles = [g.tasks(simulate, n=1) for _ in range(2)] + [g.tasks(lambda: 1, n=1) for _ in range(2)]
    handles += [g.tasks(functools.partial(strict, 1), n=1), g.tasks(Executable(["/bin/echo"]), n=1)]
    assert [h.name for h in handles] == ["simulate", "simulate-2", "task", "task-2", "strict", "echo"]
    inside = [Growth(tmp_path, t).tasks(simulate, n=1).name for t in ("sim[3]", "sim[13]")]
    assert inside == ["simulate.sim.3", "simulate.sim.13"]


def test_stage_is_shared_by_what_is_declared_inside(g: Growth) -> None:
    with g.stage(4) as number:
        g.task(simulate, name="a")
        g.task(simulate, name="b", stage=9)
    g.task(simulate, name="c")
    stages = [edit.spec.stage for edit in g.edits if isinstance(edit, e.AddSet)]
    assert number == 4 and stages == [4, 9, None]
    with pytest.raises(BadValue, match="say the number"), g.stage():
        pass
    with g.stage(1), pytest.raises(BadValue, match="inside another"), g.stage(2):
        pass


def test_existing_sets_are_named_in_a_growth(g: Growth) -> None:
    g.map(simulate, g.handle("sim", n=2), g.handle("old"), g.handle("train[7]"), name="new")
    assert last(g).edges == (
        Edge("sim", "new", "each", True),
        Edge("old", "new", "all", True),
        Edge("train[7]", "new", "all", True),
    )
    with pytest.raises(BadValue, match=r'g\.handle\("sim", n=96\)'):
        g.map(simulate, g.handle("sim"))
    with pytest.raises(BadValue, match="inside a task"):
        g.handle("sim[3]").result()
    for wrong in ("sim[", "sim[x]", "3", "", "a b"):
        with pytest.raises(UnknownName):
            g.handle(wrong)


def test_extend(g: Growth) -> None:
    a = g.task(simulate, name="a")
    sim = g.map(simulate, [1, 2], name="sim")
    g.extend(sim, [3, [a]])
    add, edges = g.edits[-2:]
    assert isinstance(add, e.AddTasks) and add.set == "sim" and len(add.members) == 2
    assert edges == e.AddEdges((Edge("a[0]", "sim[3]", "all", True),))
    g.extend("a", n=2)
    assert g.edits[-1] == e.AddTasks("a", n=2)
    accepted(g.edits)
    with pytest.raises(BadValue, match="how many"):
        g.extend(sim)


def test_100_000_items_declare_with_little_more_than_their_pickles(g: Growth) -> None:
    g.map(simulate, range(100_000), name="many")
    assert last(g).spec.n == 100_000 and last(g).edges == ()


# --- edits -----------------------------------------------------------------------------------------------------------


def test_edits_are_what_their_methods_say(g: Growth) -> None:
    sim = g.tasks(Synthetic(), n=3, name="sim", cores=2, gpus=1)
    end = g.task(Synthetic(), name="end")
    done = len(g.edits)
    g.connect(sim, end)
    g.disconnect(sim, end)
    g.connect([sim[0], sim[1]], "end[0]")
    g.connect("sim", "other", kind="each")
    g.hold(sim, end)
    g.release([sim[0], sim[0]], "end")
    g.cancel(sim[1], grace_s=0)
    g.retry(end)
    g.invalidate("sim")
    g.prioritize(sim, 5)
    g.steer(sim, lr=0.1)
    g.request_stop(sim[2])
    g.set_mode("sequential")
    g.set_policy("fifo")
    g.scale("local", 3)
    g.scale("local", 1, drain=False)
    g.replace(sim, gpus=0, estimate=None, retries=2)
    g.replace(sim, memory="1 KiB")
    g.replace(sim[0], parameters={"a": 1}, estimate=3)
    g.remove(end, sim[0], sim[1])
    assert g.edits[done:] == (
        e.AddEdges((Edge("sim", "end[0]"),)),
        e.RemoveEdges((Edge("sim", "end[0]"),)),
        e.AddEdges((Edge("sim[0]", "end[0]"), Edge("sim[1]", "end[0]"))),
        e.AddEdges((Edge("sim", "other", "each"),)),
        e.Hold(("sim", "end[0]")),
        e.Release(("sim[0]", "end")),
        e.Cancel(("sim[1]",), 0.0),
        e.Retry(("end[0]",)),
        e.Invalidate(("sim",)),
        e.SetPriority("sim", 5),
        e.Steer("sim", {"lr": 0.1}),
        e.Steer("sim[2]", stop=True),
        e.SetMode("sequential"),
        e.SetPolicy("fifo"),
        e.ScalePool("local", 3),
        e.ScalePool("local", 1, drain=False),
        e.ReplaceSpec("sim", resources=Resources(2, 0), estimate=None, retries=2),
        e.ReplaceSpec("sim", resources=Resources(2, 0, 1024)),
        e.ReplaceSpec("sim[0]", parameters={"a": 1}, estimate=Constant(3.0)),
        e.RemoveTasks(("end[0]", "sim[0]", "sim[1]")),
    )


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda g, h: g.hold(), "at least one task or set"),
        (lambda g, h: g.hold([]), "at least one task or set"),
        (lambda g, h: g.hold(3), "neither a handle nor a name"),
        (lambda g, h: g.hold("no such name"), "names nothing"),
        (lambda g, h: g.steer(h), "at least one parameter"),
        (lambda g, h: g.steer(h, f=print), "cannot be kept as JSON"),
        (lambda g, h: g.prioritize(h, 1.5), "whole number"),
        (lambda g, h: g.prioritize(h, math.nan), "whole number"),
        (lambda g, h: g.cancel(h, grace_s=-1), "zero or more seconds"),
        (lambda g, h: g.set_mode("parallel"), "sequential, asynchronous, adaptive"),
        (lambda g, h: g.set_policy("best"), "fifo"),
        (lambda g, h: g.connect(h, "b", kind="some"), "all, each"),
        (lambda g, h: g.replace(h), "changes nothing"),
        (lambda g, h: g.replace(h[0], cores=3), "replace them on sim"),
        (lambda g, h: g.replace("elsewhere", cores=3), "known here"),
        (lambda g, h: g.replace(h, timeout_s=0), "more than zero"),
        (lambda g, h: g.scale("local", -1), "at least 0"),
        (lambda g, h: g.scale("local", 1, drain=0), "drain must be True or False"),
        (lambda g, h: g.add(strict), "takes a TaskSet"),
    ],
)
def test_a_meaningless_edit_says_why_and_leaves_nothing(g: Growth, edit: Any, says: str) -> None:
    sim = g.tasks(Synthetic(), n=3, name="sim")
    before = g.edits
    with pytest.raises((BadValue, UnknownName), match=says) as caught:
        edit(g, sim)
    assert "\n" not in str(caught.value) and g.edits == before


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"cores": 0}, "cores must be a whole number of at least 1"),
        ({"cores": 1.5}, "cores"),
        ({"cores": True}, "cores"),
        ({"gpus": -1}, "gpus"),
        ({"nodes": 2}, "Mpi or Synthetic"),
        ({"memory": "2 gigs"}, "gigs"),
        ({"memory": -1}, "memory"),
        ({"estimate": -1}, "zero or more"),
        ({"estimate": math.nan}, "finite"),
        ({"estimate": math.inf}, "finite"),
        ({"estimate": "long"}, "Constant, Normal"),
        ({"estimate": Normal(1, math.nan)}, "estimate.std"),
        ({"estimate": Uniform(2, 1)}, "smaller number first"),
        ({"estimate": LogNormal(0, 1)}, "log-normal"),
        ({"estimate": [1, 2]}, "2 estimates for 1 tasks"),
        ({"retries": -1}, "retries"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"timeout_s": math.inf}, "timeout_s"),
        ({"priority": "high"}, "priority"),
        ({"tags": ["a"]}, "tags"),
        ({"tags": {"a": object()}}, "tags map text to text"),
        ({"stage": -1}, "stage"),
        ({"parameters": {"f": print}}, "cannot be kept as JSON"),
        ({"parameters": {"x": math.nan}}, "JSON has no nan"),
        ({"parameters": {"x": 2**70}}, "64 bits"),
        ({"parameters": {"not a name": 1}}, "no name that a function can receive"),
        ({"parameters": 3}, "dictionary"),
        ({"parameters": {"lr": 1}, "lr": 2}, "given twice"),
        ({"isolation": "container"}, "child, thread"),
        ({"preload": "no-module!"}, "names of modules"),
        ({"dask": 1}, "True or False"),
        ({"on_failed_input": "ignore"}, "skip, hold"),
        ({"name": "a b"}, "no name for a task set"),
        ({"name": ""}, "no name for a task set"),
        ({"name": "x" * 81}, "no name for a task set"),
        ({"name": 3}, "no name for a task set"),
        ({"after": 3}, "neither a handle nor a name"),
        ({"core": 2}, "unexpected keyword argument 'core'.*cores="),
        ({"labels": "ab"}, "one text for each task"),
    ],
)
def test_a_bad_option_is_named_with_the_way_out(g: Growth, given: dict[str, Any], says: str) -> None:
    with pytest.raises(BadValue, match=says) as caught:
        g.task(strict, 1, **given)
    assert "\n" not in str(caught.value) and g.edits == ()


@pytest.mark.parametrize(
    ("declare", "error", "says"),
    [
        (lambda g: g.task(3), BadValue, "3 is no task"),
        (lambda g: g.task(Executable), BadValue, r"write Executable\(\.\.\.\)"),
        (lambda g: g.task(Executable("echo hi")), BadValue, "no shell"),
        (lambda g: g.task(Executable([])), BadValue, "names no program"),
        (lambda g: g.task(Executable(["a", None])), BadValue, "text, paths and numbers"),
        (lambda g: g.task(Executable(["a"], outputs=["../x"])), BadValue, "scratch directory"),
        (lambda g: g.task(Executable(["a"], outputs="x")), BadValue, "list of file names"),
        (lambda g: g.task(Executable(["a"], env={"A=B": "1"})), BadValue, "environment variable"),
        (lambda g: g.task(Executable(["a"]), 3), BadValue, "receives no Python value"),
        (lambda g: g.task(Executable(["a"]), isolation="thread"), BadValue, "for Python functions"),
        (lambda g: g.task(Mpi(["a"], ranks=0)), BadValue, "ranks"),
        (lambda g: g.task(Mpi(["a"], ranks=8), cores=4), BadValue, "too few for 8 ranks"),
        (lambda g: g.tasks(strict, 1, n=0), BadValue, "n must be"),
        (lambda g: g.map(simulate, []), BadValue, "at least one task"),
        (lambda g: g.map(simulate, "abc"), BadValue, "one item for each task"),
        (lambda g: g.map(simulate, 3), BadValue, "one item for each task"),
        (lambda g: g.task(strict), BadValue, "missing a required argument"),
        (lambda g: g.task(strict, 1, 2, 3), BadValue, "too many positional"),
        (lambda g: g.task(_coroutine), BadValue, "returns its result"),
        (lambda g: g.task(simulate, threading.Lock()), NotSerializable, "argument 0"),
        (lambda g: g.map(simulate, [1, threading.Lock()]), NotSerializable, "cannot be sent"),
        (lambda g: g.tasks(strict, 1, n=2, parameters=[{}]), BadValue, "one dictionary for each"),
        (lambda g: g.add(TaskSet("x", strict, n=2, items=[1])), BadValue, "either n or items"),
    ],
)
def test_a_bad_declaration_is_one_sentence(g: Growth, declare: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        declare(g)
    assert "\n" not in str(caught.value) and g.edits == ()


async def _coroutine() -> int:
    return 1


def test_a_function_that_cannot_be_sent_is_named(g: Growth) -> None:
    lock = threading.Lock()

    def locked() -> bool:
        return lock.locked()

    with pytest.raises(NotSerializable, match="locked"):
        g.task(locked)
    handle = g.task(simulate, name="a")

    def captures() -> Any:
        return handle

    with pytest.raises(NotSerializable, match=r"uses the handle of a\[0\].*pass it as an argument"):
        g.task(captures)


def test_a_name_can_be_used_once(g: Growth) -> None:
    g.task(simulate, name="a")
    with pytest.raises(DuplicateName, match="already a task set 'a'"):
        g.task(simulate, name="a")


def test_a_handle_is_no_value(g: Growth) -> None:
    task, many = g.task(simulate, name="a"), g.tasks(simulate, n=2, name="b")
    misuse: list[Any] = [
        lambda: bool(task),
        lambda: list(task),
        lambda: len(task),
        lambda: task[0],
        lambda: task + 1,
        lambda: 2 * task,
        lambda: task < 3,
        lambda: float(task),
        lambda: np.mean(task),
        lambda: 1 + many,
        lambda: np.sum(many),
    ]
    for wrong in misuse:
        with pytest.raises(BadValue, match=r"is a handle, not a value: ask \.results?\(\)"):
            wrong()
    with pytest.raises(BadValue, match="pass it as an argument"):
        pickle.dumps(task)
    assert many and task == g.handle("a[0]") and task in {g.handle("a[0]")} and task != many and "a[0]" in repr(task)


def test_a_handle_of_another_campaign_is_refused(tmp_path: Path) -> None:
    here, there = Growth(tmp_path / "a", "s[0]"), Growth(tmp_path / "b", "s[0]")
    foreign = there.tasks(simulate, n=2, name="far")
    for wrong in (
        lambda: here.task(simulate, foreign),
        lambda: here.task(simulate, {"deep": [foreign[0]]}),
        lambda: here.map(simulate, foreign),
        lambda: here.map(simulate, [foreign[0]]),
        lambda: here.task(simulate, after=foreign),
        lambda: here.task(simulate, model=foreign[1]),
        lambda: here.hold(foreign),
        lambda: here.task(Executable(["a"]), foreign),
        lambda: here.map(Executable(["a"]), [foreign[0]]),
    ):
        with pytest.raises(BadValue, match="belongs to another campaign"):
            wrong()
    assert here.edits == ()


def test_help_lists_the_options() -> None:
    import inspect

    for method in (Growth.task, Growth.tasks, Growth.map):
        shown = inspect.signature(method).parameters
        assert set(OPTIONS) <= set(shown)
        assert shown["cores"].default is None and shown["tags"].default == {}


# --- nested structures -----------------------------------------------------------------------------------------------

leaves = st.one_of(
    st.integers(), st.text(max_size=3), st.tuples(st.just("task"), st.integers(0, 3)), st.just(("set",)), st.none()
)
nested = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)


def _plant(value: Any, sim: SetHandle, found: set[str]) -> Any:
    if value == ("set",):
        found.add("sim")
        return sim
    if isinstance(value, tuple) and len(value) == 2 and value[0] == "task" and isinstance(value[1], int):
        found.add(f"sim[{value[1]}]")
        return sim[value[1]]
    if isinstance(value, list):
        return [_plant(v, sim, found) for v in value]
    if isinstance(value, tuple):
        return tuple(_plant(v, sim, found) for v in value)
    if isinstance(value, dict):
        return {k: _plant(v, sim, found) for k, v in value.items()}
    return value


@given(shared=st.lists(nested, max_size=3), items=st.lists(nested, min_size=1, max_size=4))
def test_every_handle_in_the_arguments_is_an_edge_and_nothing_else_is(
    tmp_path_factory: pytest.TempPathFactory, shared: list[Any], items: list[Any]
) -> None:
    g = Growth(tmp_path_factory.getbasetemp(), "s[0]")
    sim = g.tasks(simulate, n=4, name="sim")
    of_set: set[str] = set()
    of_task: list[set[str]] = [set() for _ in items]
    args = [_plant(v, sim, of_set) for v in shared]
    planted = [_plant(v, sim, found) for v, found in zip(items, of_task, strict=True)]
    g.map(simulate, planted, *args, name="next")
    edges = last(g).edges
    expected = {(src, "next") for src in of_set} | {(src, f"next[{i}]") for i, f in enumerate(of_task) for src in f}
    assert {(x.src, x.dst) for x in edges} == expected and len(edges) == len(expected)
    assert all(x.kind == "all" and x.data for x in edges)
    accepted(g.edits)


def _positional(a: int, /, b: int, c: int = 1, *, d: int = 2) -> None: ...


class _Callable:
    def __call__(self, x: int, rate: float = 1.0) -> None: ...


@pytest.mark.parametrize(
    ("fn", "n_args", "names"),
    [
        (_positional, 2, ("c", "d")),
        (_positional, 1, ("b", "c", "d")),
        (_Callable(), 1, ("rate",)),
        (functools.partial(_positional, 1, d=3), 1, ("c", "d")),
        (lambda *xs: None, 3, ()),
        (lambda **options: None, 0, None),
        (dict, 0, None),
    ],
)
def test_what_a_function_takes_beside_its_arguments(fn: Any, n_args: int, names: tuple[str, ...] | None) -> None:
    assert works.takes(fn, n_args) == names
