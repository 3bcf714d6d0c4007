"""Campaigns on the cluster in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench.api.campaign import Campaign
from workbench.api.growth import Growth
from workbench.core import State, evolve
from workbench.core.edits import validate
from workbench.executors.fake import FakeCluster
from workbench.model import edits as e
from workbench.model.events import CampaignCreated, CommandAccepted
from workbench.model.resources import NodeShape, Pool
from workbench.model.specs import SetSpec
from workbench.store import Layout, Store, codec

FAKE = Pool("fake", 2, NodeShape(4, 1), "fake")
Make = Callable[..., Campaign]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes campaigns on a fake pool, and stops them after the test."""
    made: list[Campaign] = []

    def one(name: str = "test", **options: Any) -> Campaign:
        options.setdefault("dir", tmp_path / f"c{len(made)}")
        options.setdefault("pool", FAKE)
        made.append(Campaign(name, **options))
        return made[-1]

    yield one
    for campaign in made:
        campaign.stop("the test is over")


def until(campaign: Campaign, holds: Callable[[], bool]) -> None:
    """Wait, record by record, until `holds`; the test's timeout is the limit."""
    while True:
        seen = campaign.tables().next_seq
        if holds():
            return
        campaign.session.wait(seen, 60.0)


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


def double(x: Any) -> Any:
    return x * 2


def total(xs: list[int], extra: int = 0) -> int:
    return sum(xs) + extra


def fails() -> None:
    raise ValueError("no such luck")


def cluster(c: Campaign, **options: Any) -> FakeCluster:
    return FakeCluster(pools=[FAKE], layout=Layout(c.directory), **options)
