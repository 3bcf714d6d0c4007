"""The real thing on the real engine: OpenMM in child processes, an agent that grows the graph, one result."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("openmm")
pytest.importorskip("torch")
pytest.importorskip("sklearn")

from workbench import Campaign, LocalPool
from workbench.gallery import resolve
from workbench.model.events import CommandAccepted, CommandRefused


@pytest.mark.timeout(300)
def test_all_modes_on_the_engine(tmp_path: Path) -> None:
    campaign = Campaign("villin", pool=LocalPool(cores=2), dir=tmp_path / "c")
    small = "iterations=2&simulations=4&steps=1000&every=100&heat_steps=500&first_epochs=1&epochs=1"
    resolve(f"deepdrivemd?mode=compare&{small}").build(campaign)
    declared = {s.name for s in campaign.sets}
    try:
        status = campaign.run()
        assert status.done == status.total, campaign
        outcome = campaign["outcome[0]"].result()
        assert {r["steps"] for r in outcome["runs"]} == {2 * 4 * 1000}
        assert [m["mode"] for m in outcome["modes"]] == ["plain", "lof", "rmsd", "both"]
        records = [record.event for record in campaign.session.events(0)]
    finally:
        campaign.stop()
    authors = {e.author for e in records if isinstance(e, CommandAccepted)}
    assert {f"task:agent-{k}[0]" for k in range(3)} <= authors, "the agents did not grow the graph"
    grown = {s.name for s in campaign.sets} - declared
    assert {"sim-2", "agg-3", "infer-3", "agent-3", "outcome"} <= grown
    refused = [e for e in records if isinstance(e, CommandRefused)]
    # The only command that may come too late is a request to stop simulations that have all ended meanwhile.
    assert all(e.author.startswith("task:stop-") and e.rule == "AlreadyEnded" for e in refused), refused
