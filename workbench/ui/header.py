"""The line above the views: name, mode, policy, counts, elapsed time and predicted end."""

from __future__ import annotations

from typing import Any

from workbench.report.tables import Tables

from .live import LiveWidget, current, size_of
from .wire import head


class HeaderView(LiveWidget):
    """A line of facts about the campaign; every text in it is shown letter for letter."""

    head = current(lambda self: self._now())
    hz = 4.0

    def __init__(self) -> None:
        self._head = head(Tables(), "closed")
        super().__init__("header")

    def _now(self) -> dict[str, Any]:
        with self.lock:
            return self._head

    def show(self, tables: Tables, phase: str) -> int:
        """Send the line if it reads differently now; give the number of bytes that were sent."""
        with self.lock:
            return self._say(head(tables, phase, self._head["trouble"]))

    def beat(self, phase: str) -> None:
        """Say that the campaign is heard of."""
        with self.lock:
            if phase != self._head["phase"]:
                self._say({**self._head, "phase": phase})
            else:
                self.send({"type": "beat"})

    def complain(self, text: str) -> None:
        """Show `text` below the line; ``""`` takes it away."""
        with self.lock:
            self._say({**self._head, "trouble": text})

    def _say(self, line: dict[str, Any]) -> int:
        if line == self._head:
            return 0
        self._head = line
        self.again("head")
        return size_of(line)
