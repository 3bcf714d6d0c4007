"""Editing methods become exactly these edits."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.api.conftest import strict
from workbench.api.growth import Growth
from workbench.model import edits as e
from workbench.model.errors import BadValue, UnknownName
from workbench.model.resources import Resources
from workbench.model.specs import (
    Constant,
    Edge,
    Synthetic,
)


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
