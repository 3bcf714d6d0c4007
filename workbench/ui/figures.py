"""Bokeh figures that stay live in a notebook, offline, without an extension to install and while a cell runs.

One widget carries all figures of a dashboard as one Bokeh document. BokehJS comes from the installed bokeh package,
compressed, as part of the widget, so that it always fits the Python side and nothing is loaded over the network.
Changes of the document go out as numbered patches; a whole document follows now and then, for pages that missed one.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol

import bokeh
import traitlets as t
from bokeh.core.json_encoder import serialize_json
from bokeh.core.serialization import Serializer
from bokeh.document import Document
from bokeh.util.paths import bokehjs_path

from workbench.report.tables import Tables

from .live import LiveWidget, current

_WHOLE_S = (1.0, 3.0, 10.0, 30.0)
"""A whole document follows this long after the first, the second ... one: soon at first, when pages are opening.

Making one takes ten times as long as a patch, and only a page that missed a patch while the kernel was busy needs it.
"""


class Drawing(Protocol):
    """A Bokeh figure or layout that can show tables."""

    figure: Any

    def update(self, tables: Tables) -> None: ...


@cache
def bokehjs() -> bytes:
    """BokehJS of the installed bokeh package, gzipped: about 350 kB."""
    return gzip.compress((bokehjs_path() / "js" / "bokeh.min.js").read_bytes(), 9, mtime=0)


class FiguresView(LiveWidget):
    """Figures side by side in a grid of twelve columns.

    Parameters
    ----------
    drawings : sequence of (Drawing, int)
        The drawings, made with `plots.themed` so that the browser can give them the colours of its theme, and how many
        columns each takes.
    """

    document = current(lambda self: self._whole())
    bokehjs = t.Bytes().tag(sync=True)
    bokeh_version = t.Unicode().tag(sync=True)
    hz = 2.0

    def __init__(self, drawings: Sequence[tuple[Drawing, int]], clock: Callable[[], float] = time.monotonic) -> None:
        self._drawings = [drawing for drawing, _ in drawings]
        self._spans = [span for _, span in drawings]
        self._doc = Document()
        with self._doc.models.freeze():  # its models are counted once, not again for each root
            for drawing in self._drawings:
                self._doc.add_root(drawing.figure)
        self._events: list[Any] = []
        self._doc.on_change_dispatch_to(self)
        self._version = 0
        self._sent = 0
        self._wholes = 0
        self._size = 0
        self._clock = clock
        self._whole_at = clock()
        super().__init__("plot", bokehjs=bokehjs(), bokeh_version=bokeh.__version__)

    def _document_patched(self, event: Any) -> None:
        """Bokeh calls this for each change of the document."""
        self._events.append(event)

    def _whole(self) -> dict[str, Any]:
        with self.lock:
            json = serialize_json(self._doc.to_json())
            self._size = len(json)
            return {"version": self._version, "json": json, "spans": self._spans}

    def show(self, tables: Tables, phase: str) -> int:
        """Update the drawings and send what changed; give the number of bytes that were sent."""
        with self.lock:
            self._doc.hold("combine")
            try:
                for drawing in self._drawings:
                    drawing.update(tables)
            finally:
                self._doc.unhold()
            events, self._events = self._events, []
            size = self._patch(events) if events else 0
            if phase == "closed" and self._sent:
                # The last word is a complete one, for pages that missed something: no patch will come to tell them.
                size += self._refresh()
            return size

    def _patch(self, events: list[Any]) -> int:
        serializer = Serializer(references=self._doc.models.synced_references)
        json = serialize_json({"events": serializer.encode(events)})
        self._doc.models.flush_synced(lambda model: not serializer.has_ref(model))
        self._version += 1
        self._sent += 1
        buffers = [buffer.to_bytes() for buffer in serializer.buffers]
        ids = [buffer.id for buffer in serializer.buffers]
        self.send({"type": "patch", "version": self._version, "patch": json, "ids": ids}, buffers)
        return len(json) + sum(map(len, buffers))

    def _pause(self) -> float:
        return _WHOLE_S[min(self._wholes, len(_WHOLE_S) - 1)]

    def _refresh(self) -> int:
        self._whole_at = self._clock()
        self._wholes += 1
        self._sent = 0
        self.again("document")
        return self._size

    def beat(self, phase: str) -> None:
        """Make up for patches that a page may have missed, once there is a pause."""
        with self.lock:
            if self._sent and self._clock() - self._whole_at >= self._pause():
                self._refresh()

    def complain(self, text: str) -> None:
        """Show `text` above the figures; ``""`` takes it away."""
        self.send({"type": "trouble", "text": text})

    def _handle_custom_msg(self, content: Any, buffers: Any) -> None:
        # A page found a gap between patches.
        if isinstance(content, dict) and content.get("type") == "whole":
            with self.lock:
                self._refresh()
        super()._handle_custom_msg(content, buffers)
