"""The one interface between a campaign's users and its engine.

Views, the command line, reports, agents and the `Campaign` object see only this. `workbench.engine.local.LocalSession`
serves it from a thread of the same process; a detached service can serve the same calls over a socket, which is why
everything here is a value from `workbench.model` and nothing is a live object of the engine's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from workbench.model.edits import Ack, Command
from workbench.model.events import Record


class Session(Protocol):
    """A connection to one campaign's engine. Safe to use from any thread."""

    @property
    def directory(self) -> str:
        """The campaign's directory."""

    def submit(self, command: Command, timeout_s: float = 60.0) -> Ack:
        """Validate and apply a command; returns once it is on disk (or refused)."""

    def events(self, since: int, limit: int = 100_000) -> Sequence[Record]:
        """Records from sequence number `since` on, oldest first; empty when there are none yet."""

    def wait(self, since: int, timeout_s: float) -> bool:
        """Block until there is a record `since` or later; False on timeout or when the session is closed."""

    def wait_ended(self, timeout_s: float | None = None) -> bool:
        """Block until no task can make progress any more (all ended, or the rest is held); False on timeout."""

    def story(self, target: str) -> str:
        """What happened to a task, set or attempt, in sentences, oldest first."""

    def close(self, reason: str = "") -> None:
        """Stop the engine in good order: attempts are ended, the journal is closed, the campaign can be resumed."""

    @property
    def alive(self) -> bool:
        """Whether the engine still serves."""
