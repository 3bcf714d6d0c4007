"""What a new engine settles before it goes on with a campaign that an earlier one left."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

from workbench.core.state import State
from workbench.model.causes import Cause
from workbench.model.events import EngineStarted, Event, NodeLeft


def takeover(state: State, epoch: int, version: str, at: float) -> Iterator[Event]:
    """Events with which engine `epoch` begins.

    The nodes of an engine that lives in a kernel or a command die with it, so the attempts that it left there are
    over: they end with cause `EngineLost`, burn no retries, and run again with the next attempt number. Should one of
    them have outlived its engine after all, its report carries an old attempt number and changes nothing.
    """
    yield EngineStarted(at=at, epoch=epoch, host=socket.gethostname(), pid=os.getpid(), version=version)
    for node in state.nodes:
        yield NodeLeft(at=at, node=node, cause=Cause.EngineLost, detail="the engine that held the node ended")
