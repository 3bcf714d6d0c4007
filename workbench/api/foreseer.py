"""A process beside this one that follows a campaign and answers what-ifs of it.

It is forked from this one, so that it has the state as it was then, and is sent the records that came since with every
question. What it thinks about takes the interpreter from nobody, least of all from an engine in this process. It ends
by itself when it was not asked anything for a while, and a new one is made when somebody asks again.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from workbench.core import State, evolve
from workbench.core.copying import collector_waiting, copy_state, discard
from workbench.engine.fork import Child, ChildFailed, Line
from workbench.model.edits import Edit
from workbench.model.events import Event

from .results import Results

if TYPE_CHECKING:
    from workbench.predict.whatif import WhatIf

IDLE_S = 60.0  # after which it ends by itself
PATIENCE_S = 60.0  # after which it is given up, if it has no answer
BEHIND = 20_000  # records: where it lacks more than these, a new one is made faster


class Question(msgspec.Struct, array_like=True):
    """What is asked: the effect of `edits` at time `at`, after the records that the process does not have yet."""

    records: Sequence[Event]
    edits: tuple[Edit, ...]
    at: float | None
    samples: int | None


_encoded = msgspec.msgpack.Encoder().encode
_question = msgspec.msgpack.Decoder(Question)


class Foreseer:
    """Asks that process, and makes it where there is none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # one question at a time
        self._child: Child | None = None
        self._next = 0  # sequence number of the first record that it lacks

    def ask(self, results: Results, edits: tuple[Edit, ...], samples: int | None, at: float | None) -> WhatIf:
        """The effect of `edits` at time `at` (None: that of the last record).

        Raises
        ------
        ChildFailed, OSError
            If there is no answer to be had this way.
        """
        from workbench.predict.whatif import WhatIf

        with self._lock:
            had = self._child is not None
            try:
                words = self._asked(results, edits, samples, at)
            except (ChildFailed, OSError):
                self._end()
                if not had:
                    raise
                words = self._asked(results, edits, samples, at)  # it had ended meanwhile
            return msgspec.msgpack.decode(words, type=WhatIf)

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # the interpreter may be ending, and the child ends with it
            self._end()

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.close()

    def _asked(self, results: Results, edits: tuple[Edit, ...], samples: int | None, at: float | None) -> bytes:
        records: list[Event] = []
        if self._child is not None and results.next_seq - self._next > BEHIND:
            self._end()
        if self._child is None:
            self._child, self._next = _made(results)
        else:
            while more := results.session.events(self._next):
                records += [r.event for r in more]
                self._next = more[-1].seq + 1
        self._child.line.say(_encoded(Question(records, edits, at, samples)))
        return self._child.said(PATIENCE_S)


def _made(results: Results) -> tuple[Child, int]:
    from workbench.predict import replay, whatif  # noqa: F401  here, as a child must not import

    with results.still() as state:
        return Child(lambda line: _answer(line, state)), state.seq + 1


def _answer(line: Line, state: State) -> None:
    """In the child: answer until nobody asks any more."""
    from workbench.predict.whatif import changed, compared, ground, unchanged

    gc.freeze()  # what is there now stays; a collection that wrote to it would copy it
    gc.enable()
    while True:
        spare = copy_state(state)  # for the edits of the next question, before somebody waits for it
        try:
            _, words = line.hear(IDLE_S)
        except OSError:  # hushed, or not asked for a while
            return
        question = _question.decode(words)
        for event in question.records:
            evolve(state, event)
            evolve(spare, event)
        with collector_waiting():
            base = ground(state, question.at, question.samples)
            found = compared(base.seq, unchanged(state, base), changed(spare, question.edits, base))
        line.say(_encoded(found))
        discard(spare)
