"""How often a view may speak: a message each tenth of a second at most, a byte budget, and little of the kernel's time.

Jupyter's server drops what comes faster than 1 MB/s or 1000 messages/s; one view stays far below either. Pure.
"""

from __future__ import annotations

BYTES_PER_S = 100_000.0
SHARE = 0.15
"""Part of one core that making updates of a view may take."""


class Pacer:
    """When the next update is due.

    Parameters
    ----------
    hz : float
        Most updates per second.
    bytes_per_s : float
        Most bytes per second, in the long run.
    """

    def __init__(self, hz: float, bytes_per_s: float = BYTES_PER_S) -> None:
        if not 0 < hz <= 10:
            raise ValueError(f"a view may speak up to 10 times per second, not {hz}")
        self._gap = 1.0 / hz
        self._bytes_per_s = bytes_per_s
        self.due = 0.0

    def sent(self, now: float, size: int, cost_s: float = 0.0) -> None:
        """Note that `size` bytes went out at `now`, and that making them took `cost_s` seconds."""
        self.due = now + max(self._gap, size / self._bytes_per_s, cost_s / SHARE)

    def failed(self, now: float) -> None:
        """Note that an update failed at `now`: leave time for the cause to go away."""
        self.due = now + max(1.0, self._gap)
