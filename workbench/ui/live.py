"""What the live widgets have in common.

A widget here holds no state worth keeping: its traits are numbers that only say "look again", and what travels under
their names is made from the newest tables whenever the browser asks (`current`). So a page that is loaded again, or a
second one, starts from now and not from what was true when the cell ran.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anywidget
import msgspec
import traitlets as t

from .bundle import bundle


def current(make: Callable[[Any], Any]) -> t.Int:
    """A trait whose value in the browser is ``make(widget)`` at the time of sending; count it up to send it."""
    return t.Int(0).tag(sync=True, to_json=lambda _, widget: make(widget))


def size_of(content: Any) -> int:
    """Bytes that a message takes, near enough for a budget."""
    return len(msgspec.json.encode(content))


class LiveWidget(anywidget.AnyWidget):
    """A widget fed from another thread.

    Parameters
    ----------
    script : str
        Name of its bundle.
    """

    _esm = t.Unicode().tag(sync=True)
    hz = 10.0

    def __init__(self, script: str, **traits: Any) -> None:
        # Reentrant: sending under the lock makes the traits' values, which takes it again. The feed's thread sends,
        # and the kernel's main thread does when a page asks for everything.
        self.lock = threading.RLock()
        super().__init__(_esm=bundle(script), **traits)

    @property
    def closed(self) -> bool:
        """Whether the widget was closed, here or with its kernel's front end."""
        return self.comm is None

    def again(self, *names: str) -> None:
        """Send these traits anew."""
        for name in names:
            self.set_trait(name, getattr(self, name) + 1)
