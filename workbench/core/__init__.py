"""The pure core: events into state (`evolve`), state into decisions (`decide`), commands into events (`validate`).

No clock, no input or output, no randomness. Time enters as an event's `at`, randomness as a seed in the state. The
engine, a replay and the predictor's simulation drive the same functions.

Where to look
-------------
transitions   the table of task states
state         what is known; indexes
evolve, apply events and edits into state          flow, graph   inputs, barriers, ranks
decide        which ready task starts where        placement, policies, retry
edits         rules that a command must keep, and its inverse
invariants    what must always hold                story, explain, sample
"""

from .decide import decide
from .evolve import evolve
from .state import State

__all__ = ["State", "decide", "evolve"]
