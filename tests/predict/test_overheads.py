"""Overheads lengthen a simulation as they say, and are read back from a campaign that had them."""

from __future__ import annotations

import math

import pytest

from tests.data import DATA, needs_data
from workbench.core import State, evolve
from workbench.model.edits import AddPool, AddSet
from workbench.model.events import AttemptAssigned, AttemptFinished, CampaignCreated, CommandAccepted, NodeJoined
from workbench.model.resources import NodeShape, Pool, Resources
from workbench.model.specs import Constant, Edge, SetSpec, Synthetic
from workbench.predict.overheads import Overheads, TooLittleData, calibrate
from workbench.predict.simulate import simulate

TX = 10.0


def campaign(
    sets: dict[str, tuple[int, tuple[str, ...]]], cores: int = 8, scale: float = 1.0, mode: str = "adaptive"
) -> State:
    """`sets`: name -> (tasks of one core and TX seconds, the sets before it)."""
    state = State()
    evolve(state, CampaignCreated(0.0, "c", "c", 0, mode, "fifo", scale))
    evolve(state, CommandAccepted(0.0, "pool", (AddPool(Pool("p", 1, NodeShape(cores), "virtual")),)))
    for name, (n, before) in sets.items():
        spec = SetSpec(name, Synthetic(), n, resources=Resources(1), estimate=Constant(TX))
        evolve(state, CommandAccepted(0.0, name, (AddSet(spec, tuple(Edge(b, name, "all") for b in before)),)))
    evolve(state, NodeJoined(0.0, "n", "p", cores))
    return state


def makespan(state: State, overheads: Overheads) -> float:
    run = simulate(state, 0.0, lambda t: TX, overheads=overheads)
    assert run.ended
    return run.makespan_s


def test_without_overheads_nothing_changes() -> None:
    assert makespan(campaign({"a": (8, ()), "b": (8, ("a",))}), Overheads()) == 20.0


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_each_overhead_counts_as_it_says(scale: float) -> None:
    two = {"a": (8, ()), "b": (8, ("a",))}
    assert makespan(campaign(two, scale=scale), Overheads(launch_s=0.5)) == pytest.approx(21.0)
    assert makespan(campaign(two, scale=scale), Overheads(transition_s=3.0)) == pytest.approx(23.0)
    # Eight launches at two a second: the last begins 3.5 s after the first, in both sets.
    assert makespan(campaign(two, scale=scale), Overheads(rate=2.0)) == pytest.approx(27.0)


def test_slots_are_free_for_others_while_a_set_is_on_its_way() -> None:
    sets = {"a": (1, ()), "other": (2, ()), "b": (1, ("a",))}
    # One core: a, then the two others while b is on its way, then b; the transition costs nothing.
    assert makespan(campaign(sets, cores=1), Overheads(transition_s=15.0)) == 40.0


def test_a_barrier_is_a_transition_too() -> None:
    sets = {"a": (1, ()), "b": (1, ()), "c": (1, ("a",))}
    assert makespan(campaign(sets, mode="sequential"), Overheads(transition_s=4.0)) == 24.0


@pytest.mark.parametrize("mode", ["sequential", "asynchronous", "adaptive"])
def test_what_was_simulated_is_calibrated(mode: str) -> None:
    given = Overheads(launch_s=0.25, transition_s=3.0, rate=20.0)
    state = campaign({"a": (20, ()), "b": (20, ("a",)), "c": (20, ("b",))}, cores=32, scale=0.5, mode=mode)
    simulate(state, 0.0, lambda t: TX, overheads=given)
    found = calibrate(state)
    assert found.launch_s == pytest.approx(given.launch_s)
    assert found.transition_s == pytest.approx(given.transition_s)
    assert found.rate == pytest.approx(given.rate)


def test_too_little_data_is_said() -> None:
    state = campaign({"a": (4, ())})
    with pytest.raises(TooLittleData, match="no task of this campaign has finished"):
        calibrate(state)
    simulate(state, 5.0, lambda t: TX)
    with pytest.raises(TooLittleData, match="followed another"):
        calibrate(state)


def test_a_wait_for_slots_is_no_transition() -> None:
    state = campaign({"a": (1, ()), "long": (1, ()), "b": (2, ("a",))}, cores=2)
    ran = {"a[0]": (1.0, 10.0), "long[0]": (1.0, 50.0), "b[0]": (50.0, 60.0), "b[1]": (50.0, 60.0)}
    for task, (started, ended) in ran.items():
        evolve(state, AttemptAssigned(started, task, 1, "n", 0))
        evolve(state, AttemptFinished(ended, task, 1, started, ended))
    with pytest.raises(TooLittleData):
        calibrate(state)


@pytest.mark.parametrize("bad", [{"launch_s": -1.0}, {"transition_s": math.nan}, {"rate": 0.0}])
def test_senseless_overheads_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Overheads(**bad)


@needs_data
def test_the_runs_on_summit_are_predicted_from_one_of_them() -> None:
    from tests.benchmarks import summit

    profiles = {name: summit.read(DATA / "summit_runs" / f"{name}.json") for name in summit.RUNS}
    overheads = calibrate(summit.executed(profiles[summit.CALIBRATED]))
    for name, profile in profiles.items():
        limit = 0.02 if name == "ddmd-asynchronous" else 0.01
        assert summit.predict(profile, overheads) == pytest.approx(profile.span_s, rel=limit), name
