"""Declarations become exactly these edits, and the core accepts them."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.api.conftest import accepted, arguments, last, simulate, strict
from workbench.api import works
from workbench.api.growth import Growth
from workbench.api.handles import SetHandle, TaskHandle
from workbench.api.taskset import TaskSet
from workbench.model import edits as e
from workbench.model.errors import BadValue, UnknownName
from workbench.model.resources import Resources
from workbench.model.specs import (
    Constant,
    Edge,
    Executable,
    Function,
    Member,
    Mpi,
    Normal,
    SetSpec,
    Synthetic,
)
from workbench.store import Store, codec

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
    assert work.name == f"{strict.__module__}:strict" and work.isolation == "thread" and work.preload == ("numpy",)
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
    for nothing in (None, (), []):
        g.task(simulate, after=nothing)
        assert last(g).edges == ()
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
