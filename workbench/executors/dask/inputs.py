"""What launches bring along: the results of a set travel once for each link, not with every task that takes them.

The engine gives every task that takes all results of a set the same tuple, and every task that takes the result of one
task the same result; so whether something was sent before is a question of identity, asked without looking inside.
Lists too large for a message go through the store.
"""

from __future__ import annotations

from hashlib import blake2b

from workbench.executors.agent import wire
from workbench.executors.agent.recent import Recent
from workbench.model.specs import Result
from workbench.store import Store

MOST = 8 << 20
"""Bytes of results that one message carries."""

SMALL = 512
"""Bytes of results that are not worth a message of their own, or a file."""

FEW = 8
KNOWN, KNOWN_BYTES = 256, 128 << 20

Inline = dict[str, tuple[Result, ...]]
Apart = dict[str, wire.Given]


class Inputs:
    """Tells the inputs that go with a `Run` from those that it only refers to.

    Parameters
    ----------
    directory : str
        The campaign's, whose store takes what is too large.
    """

    def __init__(self, directory: str) -> None:
        # Not durable: the bytes are in the journal, the files only spare the wire.
        self._store = Store(directory, durable=False)
        # By identity; what is held here keeps its id its own. None: seen once, as the result of a single task.
        self._known: dict[int, tuple[object, wire.Given | None]] = {}
        self._recent: Recent[int] = Recent(KNOWN, KNOWN_BYTES)

    def split(self, inputs: Inline) -> tuple[Inline, Apart]:
        """`inputs` that a `Run` carries itself, and those that it names.

        Raises
        ------
        StorageFull, StorageFailed
            If the store cannot take what is too large for a message.
        """
        inline, apart = Inline(), Apart()
        for name, results in inputs.items():
            given = self._given(results)
            if given is None:
                inline[name] = results
            else:
                apart[name] = given
        return inline, apart

    def _given(self, results: tuple[Result, ...]) -> wire.Given | None:
        if not results:
            return None
        held: object = results if len(results) > 1 else results[0]
        known = self._known.get(id(held))
        if known is not None and known[1] is not None:
            self._recent.use(id(held), len(known[1].results))
            return known[1]
        size = sum(len(r.inline) for r in results)
        if len(results) <= FEW and size <= SMALL:
            return None
        # The result of one task is most often for one other task, and shared only by the second that takes it.
        given = self._make(results, size) if len(results) > 1 or known is not None else None
        self._known[id(held)] = held, given
        self._recent.use(id(held), size)
        for one in self._recent.surplus():
            del self._known[one]
        return given

    def _make(self, results: tuple[Result, ...], size: int) -> wire.Given:
        raw = wire.encode_results(tuple(map(self._by_digest, results)) if size > MOST else results)
        return wire.Given(blake2b(raw, digest_size=16).hexdigest(), raw)

    def _by_digest(self, result: Result) -> Result:
        if len(result.inline) <= SMALL:
            return result
        digest = self._store.put(result.inline)
        return Result(result.codec, b"", digest, len(result.inline))
