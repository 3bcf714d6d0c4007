"""A campaign's directory as the commands see it: is it one, who runs it, what do its tables say."""

from __future__ import annotations

from pathlib import Path

from workbench.core import State, evolve
from workbench.journal import Holder, Lease, read
from workbench.report.tables import Tables
from workbench.store.layout import Layout


def require(directory: str | Path) -> Path:
    """`directory`, absolute, if it holds a campaign.

    Raises
    ------
    NoCampaign, NewerFormat, StorageFailed
        As `store.layout.Layout.open`.
    """
    return Layout.open(Path(directory).expanduser()).directory.resolve()


def holder(directory: Path) -> Holder | None:
    """Who runs the campaign, as far as can be seen from here; None if nobody does."""
    return Lease.holder(directory)


def state(directory: Path) -> State:
    """What everything that is in the journal amounts to; about half the time of `tables`."""
    result = State()
    for record in read(directory):
        evolve(result, record.event)
    return result


def tables(directory: Path) -> Tables:
    """The tables of everything that is in the journal."""
    result = Tables()
    result.fold(read(directory))
    return result
