"""Campaigns on the cluster in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench.api.campaign import Campaign
from workbench.model.resources import NodeShape, Pool

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
