"""Two processes beside this one that follow a campaign and answer what-ifs of it.

One looks at how things go on, the other at what edits would do, both at a time. They are forked from this process, so
that they have the state as it was then, and are sent the records that came since with every question. What they think
about takes the interpreter from nobody, least of all from an engine in this process. They end by themselves when they
were not asked anything for a while, and new ones are made when somebody asks again.
"""

from __future__ import annotations

import contextlib
import functools
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

IDLE_S = 60.0  # after which they end by themselves
PATIENCE_S = 60.0  # after which they are given up, if they have no answer
BEHIND = 20_000  # records: where they lack more than these, new ones are made faster


class Question(msgspec.Struct, array_like=True):
    """What is asked: the effect of `edits` at time `at`, after the records that who is asked does not have yet."""

    records: Sequence[Event]
    edits: tuple[Edit, ...]
    at: float | None
    samples: int | None


_encoded = msgspec.msgpack.Encoder().encode
_question = msgspec.msgpack.Decoder(Question)


class Foreseer:
    """Asks those processes, and makes them where there are none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # one question at a time
        self._children: tuple[Child, ...] = ()
        self._next = 0  # sequence number of the first record that they lack

    def ask(self, results: Results, edits: tuple[Edit, ...], samples: int | None, at: float | None) -> WhatIf:
        """The effect of `edits` at time `at` (None: that of the last record).

        Raises
        ------
        ChildFailed, OSError
            If there is no answer to be had this way.
        """
        with self._lock:
            had = self._children
            try:
                return self._asked(results, edits, samples, at)
            except (ChildFailed, OSError):
                self._end()
                if not had:
                    raise
                return self._asked(results, edits, samples, at)  # they had ended meanwhile

    def close(self) -> None:
        """End the processes."""
        with self._lock:
            self._end()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # the interpreter may be ending, and the children end with it
            self._end()

    def _end(self) -> None:
        children, self._children = self._children, ()
        for child in children:
            child.close()

    def _asked(self, results: Results, edits: tuple[Edit, ...], samples: int | None, at: float | None) -> WhatIf:
        from workbench.predict.courtesy import answering
        from workbench.predict.whatif import Changed, Future, compared

        records: list[Event] = []
        if self._children and results.next_seq - self._next > BEHIND:
            self._end()
        if not self._children:
            self._make(results)
        else:
            while more := results.session.events(self._next):
                records += [r.event for r in more]
                self._next = more[-1].seq + 1
        question = _encoded(Question(records, edits, at, samples))
        with answering():
            for child in self._children:
                child.line.say(question)
            before, after = (child.said(PATIENCE_S) for child in self._children)
        return compared(
            self._next - 1,
            msgspec.msgpack.decode(before, type=Future),
            msgspec.msgpack.decode(after, type=Changed),
        )

    def _make(self, results: Results) -> None:
        from workbench.predict import replay, whatif  # noqa: F401  here, as a child must not import

        with results.still() as state:
            self._next = state.seq + 1
            for answer in (_unchanged, _changed):
                self._children += (Child(functools.partial(answer, state)),)


def _unchanged(state: State, line: Line) -> None:
    """In one child: how things go on as they are."""
    from workbench.predict.whatif import ground, unchanged

    _own()
    while (question := _heard(line)) is not None:
        with collector_waiting():
            for event in question.records:
                evolve(state, event)
            line.say(_encoded(unchanged(state, ground(state, question.at, question.samples))))


def _changed(state: State, line: Line) -> None:
    """In the other: what the edits do."""
    from workbench.predict.whatif import changed, ground

    _own()
    while True:
        spare = copy_state(state)  # for the edits of the next question, before somebody waits for it
        question = _heard(line)
        if question is None:
            return
        with collector_waiting():
            for event in question.records:
                evolve(state, event)
                evolve(spare, event)
            line.say(_encoded(changed(spare, question.edits, ground(state, question.at, question.samples))))
        discard(spare)


def _own() -> None:
    gc.freeze()  # what is there now stays; a collection that wrote to it would copy it
    gc.enable()


def _heard(line: Line) -> Question | None:
    """The next question; None if nobody asks any more, or did not for a while."""
    try:
        return _question.decode(line.hear(IDLE_S)[1])
    except OSError:
        return None
