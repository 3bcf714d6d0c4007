"""`campaign.whatif`: what a person asks before an edit; nothing is submitted, nothing raised for what is refused."""

from __future__ import annotations

import math
import os
import threading
from typing import Any

import pytest

from tests.api.conftest import Make, cluster, until
from workbench.api import Campaign, whatif
from workbench.engine.fork import possible
from workbench.model.edits import Cancel, ScalePool, SetMode
from workbench.model.errors import BadValue
from workbench.model.specs import Normal, Synthetic
from workbench.predict.whatif import Changed, WhatIf, changed


@pytest.fixture(autouse=True, params=["child", "thread"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where futures are looked at: in a forked child, as those of large campaigns are, or on a copy."""
    if request.param == "child" and not possible():
        pytest.skip("this platform does not fork well, so that nothing is looked at in a child")
    monkeypatch.setattr(whatif, "LARGE", 0 if request.param == "child" else 1 << 60)
    return str(request.param)


def declared(make: Make) -> Campaign:
    c = make(time_scale=0.01)
    sim = c.tasks(Synthetic(), n=12, name="sim", cores=2, estimate=60)
    c.tasks(Synthetic(), n=4, name="analyse", cores=1, estimate=Normal(30.0, 3.0), after=sim)
    return c


def test_a_block_is_tried_out_and_not_submitted(make: Make) -> None:
    c = declared(make)
    seen, history = c.tables().next_seq, c.history()
    with c.whatif() as w:
        c.replace("sim", cores=4)
        c.scale("fake", 1)
    assert w.result.before is not None and w.result.after is not None and not w.result.refused
    assert w.result.after.finish_p50_s == pytest.approx(12 * 60 + 30, rel=0.05)
    assert w.result.before.finish_p50_s == pytest.approx(3 * 60 + 30, rel=0.05)
    assert w.result.after.core_hours > w.result.before.core_hours
    assert w.result.seq == seen - 1
    assert c.tables().next_seq == seen and c.history() == history, "something was submitted"
    assert c.tables().state.sets["sim"].spec.resources.cores == 2


def test_a_call_and_values_mean_the_same_as_a_block(make: Make) -> None:
    c = declared(make)
    with c.whatif() as w:
        c.scale("fake", 1)
    assert c.whatif(lambda c: c.scale("fake", 1)).after == w.result.after
    assert c.whatif(ScalePool("fake", 1)).after == w.result.after
    both = c.whatif(ScalePool("fake", 1), lambda c: c.set_mode("sequential"))
    assert both.after == c.whatif(ScalePool("fake", 1), SetMode("sequential")).after


def test_what_it_promises_is_what_the_edit_does(make: Make) -> None:
    c = declared(make)
    promised = c.whatif(lambda c: c.scale("fake", 1)).after
    c.scale("fake", 1)
    same = c.whatif(lambda c: c.prioritize("sim", 1)).before
    assert promised is not None and same is not None
    assert same.finish_p50_s == pytest.approx(promised.finish_p50_s, rel=0.03)
    assert same.bound_s == pytest.approx(promised.bound_s)


def test_declarations_can_be_tried_out(make: Make) -> None:
    c = declared(make)
    with c.whatif() as w:
        more = c.tasks(Synthetic(), n=40, name="more", estimate=100, after="sim")
        c.replace(more, cores=4)
        c.connect(more, "analyse")
    assert w.result.before is not None and w.result.after is not None
    assert w.result.after.open_tasks == w.result.before.open_tasks + 40
    assert [s.name for s in c.sets] == ["sim", "analyse"]
    c.tasks(Synthetic(), n=1, name="more", estimate=1)  # the name is free


def test_a_batch_so_far_is_part_of_a_what_if_inside_it(make: Make) -> None:
    c = declared(make)
    with c.batch():
        late = c.task(Synthetic(), name="late", estimate=1000, after="analyse")
        w = c.whatif(lambda c: c.replace(late, estimate=2000))
    assert w.after is not None and w.before is not None
    assert w.after.finish_p50_s - w.before.finish_p50_s == pytest.approx(2000.0)
    spec = c.tables().state.sets["late"].spec
    assert spec.estimate is not None and spec.estimate.mean == 1000, "the what-if became part of the batch"


def test_what_is_refused_has_a_rule_and_a_sentence(make: Make) -> None:
    c = declared(make)
    never = c.whatif(lambda c: c.scale("fake", 0))
    assert (never.refused, never.after) == ("NeverFits", None)
    assert "no declared pool can ever hold" in never.message and never.before is not None
    with c.whatif() as w:
        c.connect("analyse", "sim")
    assert w.result.refused == "WouldCycle" and "sim" in w.result.message
    with c.whatif() as w:
        c.replace("nothing", cores=3)  # refused before it is an edit
    assert w.result.refused and "nothing" in w.result.message
    with c.whatif() as w:
        pass
    assert w.result.refused == "BadValue" and "no edit" in w.result.message
    assert c.whatif(Cancel(("gone",))).refused == "UnknownName"


def test_what_is_no_edit_is_said(make: Make) -> None:
    c = declared(make)
    with pytest.raises(BadValue, match="is no edit: give a value of"):
        c.whatif("scale")  # type: ignore[call-overload]
    with pytest.raises(BadValue, match="samples"):
        c.whatif(SetMode("sequential"), samples=0)
    trial = c.whatif()
    with pytest.raises(BadValue, match="leave the with block first"):
        trial.result  # noqa: B018
    with pytest.raises(ZeroDivisionError), c.whatif():
        c.hold("sim")
        raise ZeroDivisionError
    assert not c.tables().state.sets["sim"].counts["held"]  # type: ignore[index]
    c.hold("sim")  # edits are submitted again
    assert c.status().sets["sim"] == {"held": 12}


def test_a_running_campaign_is_asked_from_several_threads(make: Make) -> None:
    c = declared(make)
    c.start(cluster(c))
    until(c, lambda: c.tables().state.sets["sim"].n_done >= 2)
    found: list[WhatIf] = []

    def ask() -> None:
        found.extend(c.whatif(lambda c: c.cancel("sim[11]")) for _ in range(5))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    status = c.wait()
    assert len(found) == 15 and all(w.before is not None for w in found)
    assert status.counts == {"done": 16}, "the campaign was disturbed"
    late = c.whatif(lambda c: c.cancel("sim[0]"))
    assert late.refused == "AlreadyEnded"
    assert late.before is not None and late.before.open_tasks == 0
    assert late.before.finish_p50_s == pytest.approx(c.makespan, rel=1e-6)


def test_a_campaign_without_durations_says_so(make: Make) -> None:
    c = make()
    c.tasks(max, 1, 2, n=3, name="f")
    w = c.whatif(lambda c: c.scale("fake", 1))
    assert w.before is None and w.after is None and not w.refused
    assert "no duration is known" in w.note and "no duration is known" in str(w) and math.isnan(w.saved_s)


def test_what_fails_in_a_child_is_found_out_here(
    make: Make, where: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    c = declared(make)
    told = c.whatif(ScalePool("fake", 1))

    here = os.getpid()

    def die(*given: Any) -> Changed:
        if os.getpid() != here:
            os._exit(3)
        return changed(*given)

    monkeypatch.setattr("workbench.predict.whatif.changed", die)
    c._asked.close()  # or it would be asked that was made before
    assert c.whatif(ScalePool("fake", 1)) == told
    assert capfd.readouterr() == ("", "")
