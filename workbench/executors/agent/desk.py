"""What launchers ask; `runner.Runner` is the only implementation outside tests."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from workbench.executors.agent.attempts import Attempt, Spent
from workbench.executors.agent.nursery import Nursery
from workbench.executors.agent.slots import Ledger
from workbench.model.causes import Cause
from workbench.model.specs import Result
from workbench.store.layout import Layout

UNKNOWN = Spent()


class Desk(Protocol):
    """Where launchers report, and what they share."""

    loop: asyncio.AbstractEventLoop
    nursery: Nursery
    layout: Layout
    id: str

    def ledger(self, a: Attempt) -> Ledger:
        """The slots of the attempt's node."""

    def began(self, a: Attempt) -> None:
        """The attempt has its slots and runs."""

    def announce(self, a: Attempt) -> None:
        """Tell the engine that it runs, if it was not told yet."""

    def said(self, a: Attempt, metrics: dict[str, Any], progress: float | None) -> None:
        """The attempt reported something."""

    def finished(self, a: Attempt, result: Result, spent: Spent, growth: bytes = b"") -> None:
        """The attempt ended with a result (which is dropped if the attempt was doomed)."""

    def ended(
        self, a: Attempt, cause: Cause, detail: str, spent: Spent = UNKNOWN, exit_code: int | None = None
    ) -> None:
        """The attempt ended without a result (a doom set earlier wins over `cause`)."""

    def free(self, a: Attempt) -> None:
        """Give the attempt's slots back, and start who waits for them."""

    def pump(self, node: str) -> None:
        """Start who can be started on `node`."""


class Launcher(Protocol):
    """Runs attempts of one kind of work."""

    def start(self, a: Attempt) -> None:
        """Begin; the attempt holds its slots. Ends in `Desk.finished` or `Desk.ended`, and then `Desk.free`."""

    def tell(self, a: Attempt, parameters: dict[str, Any], stop: bool) -> None:
        """Steer the running attempt."""

    def ask(self, a: Attempt) -> None:
        """Ask the running attempt to end; it is going to be killed soon."""

    def kill(self, a: Attempt) -> None:
        """End it and all that it started, now."""
