"""Forecasts, and what policy ``auto`` chooses, made beside a running engine and journalled like reports.

Again whenever the graph, what is known of durations, or the progress has changed, but never so often that looking ahead
becomes a noticeable part of the work.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from workbench.core import State
from workbench.core.policies import AUTO, work_left
from workbench.model.events import Event, ForecastMade
from workbench.model.states import TaskState

from .aside import aside
from .choice import Choices
from .fork import LARGE

log = logging.getLogger("workbench.engine")

FIRST_S = 0.1  # before the first, so that a burst of commands, and of nodes that join, is one forecast
LEAST_S = 1.0  # between two
PARTS = 20  # of the tasks: each that is done is worth another forecast


class Forecaster(Protocol):
    """Predicts the makespan from a state; may take its time, on a copy, in another thread or process."""

    def __call__(self, state: State, at: float) -> ForecastMade | None: ...


class Foresight:
    """Looks ahead for one engine.

    Parameters
    ----------
    state : State
        The engine's.
    forecaster, choices : callable, Choices or None
        What predicts the makespan, and what chooses for policy ``auto``.
    clock : callable
        The engine's.
    deliver : callable
        Takes the events that come of it.
    """

    def __init__(
        self,
        state: State,
        forecaster: Forecaster | None,
        choices: Choices | None,
        clock: Callable[[], float],
        deliver: Callable[[Sequence[Event]], None],
    ) -> None:
        self._state, self._forecaster, self._choices = state, forecaster, choices
        self._clock, self._deliver = clock, deliver
        self._version = (-1, -1, -1)  # of the graph, estimates and progress that the last forecast was made for
        self._chosen = (-1, -1)  # the first two of them, when policy auto chose last
        self._choose_from = 0.0  # no choice before
        self._forecasting: asyncio.Task[None] | None = None
        self._ending = False

    def begin(self) -> None:
        """Look ahead if there is reason to, and nobody does so already."""
        state = self._state
        asked = self._forecaster is not None or (self._choices is not None and state.policy == AUTO)
        if asked and self._forecasting is None and self._wanted:
            self._forecasting = asyncio.create_task(self._forecast())

    async def end(self) -> None:
        """Look no further; wait for what is under way."""
        self._ending = True
        if self._forecasting is not None:
            self._forecasting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._forecasting

    @property
    def _wanted(self) -> bool:
        return self._version != self._known and not self._state.ended and not self._ending

    @property
    def _known(self) -> tuple[int, int, int]:
        state = self._state
        return state.graph_version, state.learned, PARTS * state.counts[TaskState.done] // max(state.size, 1)

    async def _forecast(self) -> None:
        """Choose and predict beside the engine, and journal both."""
        state = self._state
        try:
            estimated = any(x.spec.estimate is not None for x in state.sets.values())
            await asyncio.sleep(FIRST_S if estimated else LEAST_S)
            while self._wanted:
                if self._choices is not None:
                    await self._choices.settle()
                if not (estimated or state.forecasts) and work_left(state) < LEAST_S:
                    self._version = self._known
                    break  # it would be over before it is foretold
                await self._choose()
                began = time.monotonic()
                self._version = self._known
                made = await aside(self._foretell, state, self._clock())
                if made:
                    self._deliver(made)
                await asyncio.sleep(LEAST_S + self._rest(began))
        except Exception:
            log.exception("the forecast failed; the campaign goes on without it")
        finally:
            self._forecasting = None

    async def _choose(self) -> None:
        """Choose again where the graph or the estimates changed; as it takes longer than a forecast, less often."""
        if self._choices is None or self._chosen == self._known[:2] or time.monotonic() < self._choose_from:
            return
        began = time.monotonic()
        self._chosen = self._known[:2]
        made = await aside(self._rechoose, self._state, self._clock())
        if made:
            self._deliver(made)
            await asyncio.sleep(0.01)  # for the forecast is to be made by what was chosen
        self._choose_from = time.monotonic() + self._rest(began)

    def _rest(self, began: float) -> float:
        """How long to wait after what took since `began`.

        Predicting must stay a small part of the work: of this process, or of what others leave idle.
        """
        return (20 if self._state.size < LARGE else 5) * (time.monotonic() - began)

    def _rechoose(self, copy: State, at: float) -> list[Event]:
        chosen = None if self._choices is None else self._choices.again(copy, at)
        return [] if chosen is None else [chosen]

    def _foretell(self, copy: State, at: float) -> list[Event]:
        made = None if self._forecaster is None else self._forecaster(copy, at)
        return [] if made is None else [made]
