"""What the agent knows of one attempt."""

from __future__ import annotations

import enum
import math
import signal
from typing import Any, NamedTuple

from workbench.executors.agent.wire import Given, Run, decode_results
from workbench.model.actions import SetPlan
from workbench.model.causes import Cause
from workbench.model.ids import attempt_id
from workbench.model.specs import Result

Key = tuple[str, int]


class Phase(enum.IntEnum):
    """queued: waits for a slot. piped: handed to a busy child, holds no slot. running: holds one. ended: reported."""

    queued = 0
    piped = 1
    running = 2
    ended = 3


class Spent(NamedTuple):
    """When an attempt began and ended by the wall clock (0: as its `Attempt` says, and now), and what it used."""

    started: float = 0.0
    ended: float = 0.0
    cpu_s: float = 0.0
    max_rss: int = 0


class Attempt:
    """One attempt, from its `Run` until its end is acknowledged.

    Attributes
    ----------
    started : float
        Wall clock at which it got its slot.
    began, deadline, grace_at : float
        Event loop clock: got its slot; overruns its timeout; is killed after a polite request.
    doom : tuple or None
        Cause and detail that its end will have, once somebody decided to end it.
    long : bool
        Has had its slots for too long to be a micro-task.
    holds : bool
        Whether it has its slots.
    pid : int
        Of its process (of the worker, for a thread); 0 until it is known.
    tries : int
        How many children died before they had begun it.
    parameters, stop
        Steering that came before it began.
    place : int
        Its place in the order in which this agent was sent its `Run`s.
    shared : dict
        Inputs that other attempts take too, by name.
    owner : object
        What runs it; the launcher's own business.
    """

    __slots__ = (
        "announced", "began", "cpus", "deadline", "doom", "exit_code", "grace_at", "holds", "killed", "limit", "long",
        "number", "owner", "parameters", "peak", "phase", "pid", "place", "plan", "run", "shared", "started", "stop",
        "task", "tries",
    )  # fmt: skip

    def __init__(self, run: Run, plan: SetPlan, place: int = 0) -> None:
        self.run, self.plan, self.place = run, plan, place
        self.task, self.number = run.task, run.number
        self.phase = Phase.queued
        self.started = self.began = 0.0
        self.deadline = self.grace_at = math.inf
        self.announced = self.killed = self.stop = self.holds = self.long = False
        self.doom: tuple[Cause, str] | None = None
        self.parameters: dict[str, Any] | None = None
        self.shared: dict[str, Given] = {}
        self.limit = run.memory
        self.peak = self.tries = 0
        self.pid = 0
        self.exit_code: int | None = None
        self.cpus: tuple[int, ...] = ()
        self.owner: Any = None

    @property
    def key(self) -> Key:
        return self.task, self.number

    @property
    def id(self) -> str:
        return attempt_id(self.task, self.number)

    def inputs(self) -> dict[str, tuple[Result, ...]]:
        """All results that it takes, by name."""
        own = self.run.inputs or {}
        if not self.shared:
            return own
        return {**own, **{name: decode_results(given.results) for name, given in self.shared.items()}}

    def effective(self) -> dict[str, Any]:
        """Parameters as they are at the start."""
        member = self.run.member
        return {**self.plan.parameters, **(member.parameters if member else {}), **(self.parameters or {})}


def how_it_died(status: int) -> tuple[int | None, str]:
    """Exit code (negative: a signal) and a phrase for a wait status."""
    if status < 0:
        return None, "disappeared with its keeper"
    code = status >> 8 if status & 0x7F == 0 else -(status & 0x7F)
    if code >= 0:
        return code, f"exited with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    hint = "; the kernel also sends it when memory runs out" if -code == signal.SIGKILL else ""
    return code, f"killed by signal {-code} ({name}){hint}"
