"""Every edit has words."""

from __future__ import annotations

from typing import get_args

import pytest

from workbench.model import edits as e
from workbench.model.resources import NodeShape, Pool, Resources
from workbench.model.specs import Constant, Edge, LogNormal, Normal, SetSpec, Synthetic, Uniform
from workbench.report.history import describe, estimate, resources, summary

SAID: list[tuple[e.Edit, str]] = [
    (e.AddPool(Pool("p", 16, NodeShape(168, 6))), "add pool p (16 nodes of 168 cores, 6 GPUs)"),
    (e.ScalePool("p", 1), "scale pool p to 1 node"),
    (e.ScalePool("p", 0, drain=False), "scale pool p to 0 nodes at once"),
    (e.AddSet(SetSpec("sim", Synthetic(), n=96)), "add set sim (96 tasks)"),
    (e.RemoveSet("sim"), "remove set sim"),
    (e.AddTasks("sim", n=4), "add 4 tasks to sim"),
    (e.RemoveTasks(("sim[1]", "sim[2]")), "remove sim[1], sim[2]"),
    (e.RestoreTasks(("sim[1]",)), "restore sim[1]"),
    (e.AddEdges((Edge("a", "b"),)), "connect a → b"),
    (e.RemoveEdges((Edge("a", "b"), Edge("a", "c"))), "disconnect a → b, a → c"),
    (e.ReplaceSpec("sim", resources=Resources(8), estimate=None), "change sim: 8 cores, estimate learned"),
    (e.ReplaceSpec("sim"), "change sim: nothing"),
    (e.SetPriority("sim", 5), "set priority of sim to 5"),
    (e.Hold(("sim",)), "hold sim"),
    (e.Release(("sim",)), "release sim"),
    (e.Cancel(tuple(f"sim[{i}]" for i in range(9))), "cancel sim[0], sim[1], sim[2] and 6 more"),
    (e.Retry(("sim",)), "retry sim"),
    (e.Invalidate(("sim",)), "invalidate sim"),
    (e.Steer("sim", {"lr": 0.1}, stop=True), "steer sim: lr=0.1, stop early"),
    (e.SetMode("adaptive"), "set mode to adaptive"),
    (e.SetPolicy("fifo"), "set policy to fifo"),
]


@pytest.mark.parametrize(("edit", "words"), SAID)
def test_words(edit: e.Edit, words: str) -> None:
    assert describe(edit) == words


def test_no_edit_is_left_out() -> None:
    assert {type(edit) for edit, _ in SAID} == set(get_args(e.Edit))


def test_a_long_command_says_how_much_it_leaves_out() -> None:
    assert summary([e.Hold((f"s{i}",)) for i in range(7)]) == "hold s0; hold s1; hold s2; hold s3; and 3 more"
    assert summary([e.Hold(("a",)), e.Hold(("a",))]) == "hold a"


def test_resources_and_estimates() -> None:
    assert resources(Resources(1, 2, 3 * 2**30, 4)) == "1 core, 2 GPUs, 3 GiB, on 4 nodes"
    assert [estimate(x) for x in (None, Constant(340), Normal(340, 8.5), Uniform(1, 2), LogNormal(3, 1))] == [
        "learned",
        "340 s",
        "340 ± 8.5 s",
        "1 to 2 s",
        "3 ± 1 s",
    ]
