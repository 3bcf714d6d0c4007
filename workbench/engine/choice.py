"""What policy ``auto`` chooses, and when: before the first decision, and beside each forecast.

The first decisions wait for the first choice, because a wrong start cannot be taken back - but half a second at most,
and not at all where nothing could be predicted yet. All choices are made in another thread, on a copy.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from workbench.core import State, evolve
from workbench.core.copying import copy_state
from workbench.core.policies import AUTO, work_left
from workbench.model.events import Event, PolicyChosen

log = logging.getLogger("workbench.engine")

WAIT_S = 0.5  # decisions wait so long for the first choice at most
FIRST_S = 0.4  # that it may search; the rest is for the copy and for the simulation under way
LATER_S = 1.0  # for a choice beside a running campaign
LEAST_S = 0.05  # for any
SHARE = 0.05  # of the work that is left: no choice may search for longer
WAITED = 20_000  # a first choice for more tasks than these would not be made in time
BROKEN = "policy auto could not choose; the campaign goes on as it does"


class Chooser(Protocol):
    """Chooses how policy ``auto`` schedules, within about `budget_s` seconds; None: as it does."""

    def __call__(self, state: State, at: float, budget_s: float) -> PolicyChosen | None: ...


class Choices:
    """Asks the chooser of one engine.

    Parameters
    ----------
    state : State
        The engine's.
    chooser : callable
        See `Chooser`.
    clock : callable
        The engine's.
    deliver : callable
        Takes the events that come of it.
    poke : callable
        Wants a round.
    """

    def __init__(
        self,
        state: State,
        chooser: Chooser,
        clock: Callable[[], float],
        deliver: Callable[[Sequence[Event]], None],
        poke: Callable[[], None],
    ) -> None:
        self._state, self._chooser, self._clock, self._deliver, self._poke = state, chooser, clock, deliver, poke
        self._first: asyncio.Task[None] | None = None
        self._waiting = True

    def hold_back(self) -> bool:
        """Whether decisions have to wait for the first choice, which begins with the first call that says so."""
        state = self._state
        if state.policy != AUTO or state.plan is not None or not self._waiting or state.first_assigned_at is not None:
            return False
        known = any(s.n_open and s.spec.estimate is not None for s in state.sets.values())
        if not known or not state.pools or state.size > WAITED:
            return False
        if self._first is None:
            self._first = asyncio.get_running_loop().create_task(self._choose_first())
        return True

    async def _choose_first(self) -> None:
        late = asyncio.get_running_loop().call_later(WAIT_S, self._go_on)
        chosen: PolicyChosen | None = None
        try:
            copy = copy_state(self._state)
            chosen = await asyncio.to_thread(self._chooser, copy, self._clock(), budget(copy, FIRST_S))
        except Exception:
            log.exception(BROKEN)
        finally:
            late.cancel()
        self._waiting = False
        if chosen is not None:
            self._deliver([chosen])
        self._poke()

    async def settle(self) -> None:
        """Wait for the first choice where it is under way, so that no second one is made from the same state."""
        if self._first is not None:
            await asyncio.wait((self._first,))

    def _go_on(self) -> None:
        self._waiting = False
        self._poke()

    def again(self, copy: State, at: float) -> PolicyChosen | None:
        """Choose for a copy of the state, which then follows the choice. Runs in any thread."""
        if copy.policy != AUTO:
            return None
        try:
            chosen = self._chooser(copy, at, budget(copy, LATER_S))
        except Exception:
            log.exception(BROKEN)
            return None
        if chosen is not None:
            evolve(copy, chosen)
        return chosen

    async def end(self) -> None:
        """Wait for what is under way; it says nothing any more."""
        if self._first is not None:
            self._first.cancel()
            await asyncio.gather(self._first, return_exceptions=True)


def budget(state: State, most: float) -> float:
    """Seconds that a choice for `state` may take."""
    return min(most, max(LEAST_S, SHARE * work_left(state)))
