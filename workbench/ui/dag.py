"""The live task graph, collapsed by task set: an anywidget whose browser side is ``extensions/src/dag``."""

from __future__ import annotations

from typing import Any

import traitlets as t

from workbench.report.tables import Tables

from .collapse import MOST_CARDS
from .live import LiveWidget, current, size_of
from .wire import Board

_WHOLE_S = 2.0


class DagView(LiveWidget):
    """Cards of task sets and the edges between them, up to date while cells run.

    Parameters
    ----------
    most : int
        Cards that it shows; larger graphs are grouped, and the view says so.

    Attributes
    ----------
    positions, direction : dict, str
        Where the browser put the cards, so that they lie there again after a reload.
    """

    graph = current(lambda self: self._graph())
    status = current(lambda self: self._status())
    positions = t.Dict().tag(sync=True)
    direction = t.Unicode("LR").tag(sync=True)
    hz = 10.0

    def __init__(self, most: int = MOST_CARDS) -> None:
        self._board = Board(most)
        self._phase = "closed"
        self._trouble = ""
        self._deltas = 0
        super().__init__("dag")

    def _graph(self) -> dict[str, Any]:
        with self.lock:
            return self._board.graph

    def _status(self) -> dict[str, Any]:
        with self.lock:
            return {**self._board.status(self._phase), "trouble": self._trouble}

    def show(self, tables: Tables, phase: str) -> int:
        """Send what changed; give the number of bytes that were sent."""
        with self.lock:
            turned = phase != self._phase
            self._phase = phase
            changed, rows = self._board.update(tables)
            size = 0
            if changed:
                self.again("graph")
                size += size_of(self._board.graph)
            if changed or turned or self._deltas * len(rows) > 50 * len(self._board.rows):
                # Counts are absolute, so that a whole status now and then heals whatever was lost.
                self.again("status")
                self._deltas = 0
                size += size_of(self._status())
            elif rows:
                message = {"type": "delta", "seq": self._board.seq, "rows": rows}
                self.send(message)
                self._deltas += 1
                size += size_of(message)
            return size

    def beat(self, phase: str) -> None:
        """Say that the campaign is heard of; with a whole status when messages went out that may have been lost."""
        with self.lock:
            self._phase = phase
            if self._deltas:
                self._deltas = 0
                self.again("status")
            else:
                self.send({"type": "beat", "seq": self._board.seq, "phase": phase})

    def complain(self, text: str) -> None:
        """Show `text` in the view; ``""`` takes it away."""
        with self.lock:
            self._trouble = text
            self.send({"type": "trouble", "text": text})
