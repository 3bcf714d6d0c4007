"""Which node takes a task, in which order tasks are offered, and who may pass whom."""

from __future__ import annotations

import dataclasses

import pytest

from workbench.core import evolve
from workbench.core.explain import why
from workbench.core.placement import PACKINGS, choose
from workbench.core.policies import POLICIES, Policy, pressure, register
from workbench.core.state import FUNCTION, PROGRAM, SYNTHETIC, NodeState
from workbench.model import edits as ed
from workbench.model.errors import NeverFits
from workbench.model.events import NodeJoined
from workbench.model.resources import NodeShape, Pool, Resources
from workbench.model.specs import Constant, Executable, SetSpec, Synthetic

from .campaigns import FUNCTION as FUNCTION_WORK
from .campaigns import Campaign


def node(
    name: str, ix: int, cores: int, gpus: int, used_cores: int = 0, used_gpus: int = 0, least: int = PROGRAM
) -> NodeState:
    n = NodeState(name, ix, "p", cores, gpus, 0, 0, least)
    n.free_cores -= used_cores
    n.free_gpus = n.free_gpus[used_gpus:]
    return n


NODES = [node("a", 0, 8, 2, 4, 0), node("b", 1, 8, 2, 2, 2), node("c", 2, 8, 2, 0, 1)]


@pytest.mark.parametrize(
    "packing, cpu, gpu",
    [("first", "a", "a"), ("best", "b", "c"), ("spread", "c", "c"), ("balance", "b", "c")],
)
def test_packing_rules(packing: str, cpu: str, gpu: str) -> None:
    assert choose(NODES, (1, 0, 0, 1, SYNTHETIC), packing)[0].name == cpu  # type: ignore[index]
    assert choose(NODES, (1, 1, 0, 1, SYNTHETIC), packing)[0].name == gpu  # type: ignore[index]


@pytest.mark.parametrize("packing", list(PACKINGS))
def test_several_nodes_are_all_or_nothing(packing: str) -> None:
    chosen = choose(NODES, (4, 0, 0, 3, SYNTHETIC), packing)
    assert chosen is not None and {n.name for n in chosen} == {"a", "b", "c"}
    assert choose(NODES, (5, 0, 0, 3, SYNTHETIC), packing) is None


def test_each_kind_of_work_goes_to_the_nodes_that_serve_it() -> None:
    nodes = [node("v", 0, 8, 0, least=SYNTHETIC), node("f", 1, 4, 0, least=FUNCTION), node("r", 2, 2, 0)]
    for need, names in ((PROGRAM, "r"), (FUNCTION, "fr"), (SYNTHETIC, "vfr")):
        found = [choose([n], (1, 0, 0, 1, need), "first") for n in nodes]
        assert [x[0].name for x in found if x] == list(names)


def mixed() -> Campaign:
    """A real node of 2 cores and a virtual one of 64; the virtual one joined first."""
    c = Campaign(nodes=0, cores=2)
    c.do(ed.AddPool(Pool("v", 1, NodeShape(64), "virtual")))
    evolve(c.state, NodeJoined(c.tick(), "v0", "v", 64))
    c.join()
    return c


@pytest.mark.parametrize("policy", list(POLICIES))
def test_beside_real_nodes_functions_never_go_to_virtual_ones(policy: str) -> None:
    c = mixed()
    c.do(ed.SetPolicy(policy))
    c.add("f", 5)
    c.add("s", 5, work=Synthetic())
    c.add("wide", 1, work=Synthetic(), cores=40)
    placed = {d.task: d.node for d in c.go()}
    functions = {task: node for task, node in placed.items() if task.startswith("f[")}
    assert functions and set(functions.values()) == {"n1"}, "the real one"
    assert placed["wide[0]"] == "v0" and "f[4]" not in placed and c["f[4]"].state == "ready"
    assert "waits for 1 cores" in why(c.state, c["f[4]"])
    c.finished(*functions)
    again = {d.task: d.node for d in c.go()}
    assert {node for task, node in again.items() if task.startswith("f[")} <= {"n1"}


@pytest.mark.parametrize("work", [FUNCTION_WORK, Executable(("true",))])
def test_real_work_that_no_real_pool_can_hold_is_refused_when_declared(work: object) -> None:
    c = mixed()
    what = "function" if work is FUNCTION_WORK else "program"
    with pytest.raises(
        NeverFits,
        match=rf"'f' asks for 1 node\(s\) with 8 cores, 0 GPUs each, which no real pool can ever hold \(pool 'p' has "
        rf"1 nodes of 2 cores, 0 GPUs\), and a {what} does not run on virtual nodes where there are real ones; ask",
    ):
        c.add("f", work=work, cores=8)
    c.add("f", work=work, cores=2)
    with pytest.raises(NeverFits, match="no real pool"):
        c.do(ed.ReplaceSpec("f", resources=Resources(8)))
    with pytest.raises(NeverFits, match="no real pool"):
        c.do(ed.ScalePool("p", 0))
    c.add("s", work=Synthetic(), cores=64)
    with pytest.raises(NeverFits, match="no declared pool"):
        c.add("t", work=Synthetic(), cores=65)


def virtual_only() -> Campaign:
    c = Campaign(nodes=0)
    c.state.pools.clear()
    c.do(ed.AddPool(Pool("v", 1, NodeShape(64), "virtual")))
    evolve(c.state, NodeJoined(c.tick(), "v0", "v", 64))
    return c


def test_where_all_nodes_are_virtual_functions_run_on_them_until_a_real_pool_comes() -> None:
    c = virtual_only()
    c.add("f", 3)
    c.go()
    c.finished("f[0]")
    assert c.states("f") == ["done", "assigned", "assigned"]
    c.do(ed.AddTasks("f", n=1))
    c.do(ed.AddPool(Pool("p", 1, NodeShape(1))))
    assert not c.go() and c.states("f")[3] == "ready", "what runs goes on; what is new waits for the real node"
    c.join()
    assert [(d.task, d.node) for d in c.go()] == [("f[3]", "n1")]


def test_the_first_real_pool_must_hold_the_functions_that_are_open() -> None:
    c = virtual_only()
    c.add("f", 1, cores=8)
    small, large = Pool("small", 1, NodeShape(4)), Pool("large", 1, NodeShape(8))
    with pytest.raises(NeverFits, match=r"'f' asks for .* no real pool"):
        c.do(ed.AddPool(small))
    c.do(ed.AddPool(small), ed.AddPool(large))
    c.add("s", 1, work=Synthetic(), cores=64)
    assert [d.task for d in c.go()] == ["s[0]"]


def test_gpus_are_given_by_index_and_come_back() -> None:
    c = Campaign(cores=4, gpus=3)
    c.add("g", 3, gpus=1)
    assert [d.gpus for d in c.go()] == [(0,), (1,), (2,)]
    c.finished("g[1]")
    c.add("again", 1, gpus=1)
    assert c.go()[0].gpus == (1,)


def test_a_task_may_want_a_gpu_and_no_core() -> None:
    c = Campaign(cores=1, gpus=1)
    c.add("cpu", 1)
    c.add("gpu", 1, cores=0, gpus=1)
    assert [d.task for d in c.go()] == ["cpu[0]", "gpu[0]"]


def order(policy: str) -> list[str]:
    """Sets of one task each, offered to one slot, by `policy`: short with a long tail, long, urgent, gpu."""
    c = Campaign(policy=policy, nodes=0, cores=1, gpus=1)
    c.add("short", tx=1.0)
    c.add("tail", 1, "short", tx=50.0)
    c.add("long", tx=20.0)
    c.add("gpu", tx=5.0, gpus=1)
    c.add("urgent", tx=2.0, priority=9)
    c.join()
    taken = []
    while made := c.go():
        taken += [d.task.partition("[")[0] for d in made]
        c.finished(made[0].task, took=c[made[0].task].set.spec.estimate.mean)
    return taken


def test_each_policy_offers_in_its_order_and_priority_comes_first() -> None:
    assert order("fifo") == ["urgent", "short", "long", "gpu", "tail"]
    assert order("upward-rank") == ["urgent", "short", "tail", "long", "gpu"]
    assert order("longest-first") == ["urgent", "long", "gpu", "short", "tail"]
    assert order("resource-aware") == ["urgent", "short", "tail", "long", "gpu"], "cores are the scarce resource here"


def test_the_scarce_resource_goes_first() -> None:
    c = Campaign(policy="resource-aware", nodes=1, cores=4, gpus=1)
    c.add("cpu", 4, tx=100.0)
    c.add("gpu", 8, tx=60.0, cores=1, gpus=1)
    cores, gpus, _ = pressure(c.state)
    assert gpus == 480.0 and cores == (400.0 + 480.0) / 4
    assert [d.task for d in c.go()] == ["gpu[0]", "cpu[0]", "cpu[1]", "cpu[2]"]


def test_a_large_task_is_not_starved_by_small_ones_where_the_policy_reserves() -> None:
    """Four cores; a large task waits for all of them while a stream of small ones could slip in for ever."""

    def start(policy: str) -> list[str]:
        c = Campaign(policy=policy, nodes=1, cores=4)
        c.add("now", 2, tx=10.0)
        c.go()
        c.add("large", 1, tx=10.0, cores=4, priority=1)
        c.add("quick", 1, tx=1.0)
        c.add("slow", 3, tx=100.0)
        return [d.task for d in c.go()]

    assert start("resource-aware") == ["quick[0]"], "what ends before the large task can start may pass; others wait"
    assert len(start("upward-rank")) == 2


def test_a_policy_can_be_added() -> None:
    mine = Policy("shortest-first", "shortest TX first", lambda state, s: s.mean_s or 0.0)
    register(mine)
    try:
        with pytest.raises(ValueError, match="exists"):
            register(dataclasses.replace(mine))
        assert order("shortest-first") == ["urgent", "short", "gpu", "long", "tail"]
    finally:
        del POLICIES["shortest-first"]


def test_keys_follow_what_is_learned_and_changed() -> None:
    c = Campaign(policy="longest-first", nodes=1, cores=1)
    c.add("a", 1, tx=5.0)
    c.add("b", 1, tx=3.0)
    c.do(ed.ReplaceSpec("b", estimate=Constant(9.0)))
    assert [d.task for d in c.go()] == ["b[0]"]
    c.finished("b[0]")
    c.do(ed.SetPriority("a", -1))
    c.add("late", 1, tx=1.0)
    assert [d.task for d in c.go()] == ["late[0]"]


def test_several_nodes_for_one_task() -> None:
    c = Campaign(nodes=3, cores=4, gpus=2)
    c.do(ed.AddSet(SetSpec("wide", Synthetic(), resources=Resources(4, 2, nodes=3))))
    (made,) = c.go()
    assert [made.node, *(x.node for x in made.others)] == ["n0", "n1", "n2"]
    assert made.gpus == (0, 1) and all(x.gpus == (0, 1) for x in made.others)
    assert all(n.free_cores == 0 and not n.free_gpus for n in c.state.nodes.values())
    c.finished("wide[0]")
    assert all(n.free_cores == 4 and n.free_gpus == [0, 1] for n in c.state.nodes.values())
    c.do(ed.Invalidate(("wide",)))
    c.go()
    c.leave("n1")
    assert c["wide[0]"].state == "ready", "a node of several that leaves ends the attempt on all"
    assert all(n.free_cores == 4 for n in c.state.nodes.values())


def test_pools_of_different_shapes() -> None:
    c = Campaign(nodes=1, cores=2)
    c.do(ed.AddPool(Pool("gpu", 1, NodeShape(1, 1))))
    c.add("g", 1, gpus=1)
    assert c.go() == []
    from workbench.core import evolve
    from workbench.model.events import NodeJoined

    evolve(c.state, NodeJoined(c.tick(), "big", "gpu", 1, 1))
    assert [(d.task, d.node) for d in c.go()] == [("g[0]", "big")]
