"""Looking into the future beside a running engine, without being in its way.

A small campaign is copied, and a thread looks at the copy. A large one would be copied for too long, and the thread
would take the interpreter from the engine for 5 ms at a time: there a forked child of lower priority looks at the state
as it is at that moment.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import msgspec

from workbench.core import State
from workbench.core.copying import copy_state
from workbench.model.events import Event

from .fork import LARGE, Child, ChildFailed, possible, saying

NICE = 10
PATIENCE_S = 600.0

Look = Callable[[State, float], Sequence[Event]]
_found = msgspec.msgpack.Decoder(list[Event])


async def aside(look: Look, state: State, at: float) -> list[Event]:
    """Call ``look(state as it is now, at)`` and give its events, while the engine goes on.

    Parameters
    ----------
    look : callable
        May change the state that it is given; what it changes elsewhere may be lost.
    state, at : State, float
        The engine's, and the present.

    Raises
    ------
    ChildFailed
        With the traceback, where `look` failed in a child. In a thread it raises what it raises.
    """
    if state.size < LARGE or not possible():
        return list(await asyncio.to_thread(look, copy_state(state), at))
    with Child(saying(lambda: msgspec.msgpack.encode(list(look(state, at)))), NICE) as child:
        ending = asyncio.get_running_loop().run_in_executor(None, child.said, PATIENCE_S)
        try:
            return _found.decode(await asyncio.shield(ending))
        except asyncio.CancelledError:
            child.kill()
            with contextlib.suppress(ChildFailed):
                await ending
            raise
