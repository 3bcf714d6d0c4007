"""Launches whose inputs are too large for one message: the results among them go through the store."""

from __future__ import annotations

import msgspec

from workbench.model.actions import Launch
from workbench.model.specs import Result
from workbench.store import Store

MOST = 8 << 20
SMALL = 512


class Spill:
    """Replaces inline results by files of the store where a launch carries more than `MOST` bytes of them.

    A task that takes the results of a whole set carries them all. Each result is written once, however many tasks
    take it.
    """

    def __init__(self, directory: str) -> None:
        # Not durable: the bytes are in the journal, the files only spare the wire.
        self._store = Store(directory, durable=False)
        self._written: dict[int, tuple[Result, Result]] = {}

    def slim(self, launch: Launch) -> Launch:
        """The launch as it can be sent.

        Raises
        ------
        StorageFull, StorageFailed
            If the store cannot take the results.
        """
        if sum(len(r.inline) for results in launch.inputs.values() for r in results) <= MOST:
            return launch
        inputs = {name: tuple(map(self._by_digest, results)) for name, results in launch.inputs.items()}
        return msgspec.structs.replace(launch, inputs=inputs)

    def _by_digest(self, result: Result) -> Result:
        if len(result.inline) <= SMALL:
            return result
        known = self._written.get(id(result))  # which keeps `result`, so that its id stays its own
        if known is None:
            digest = self._store.put(result.inline)
            known = self._written[id(result)] = (result, Result(result.codec, b"", digest, len(result.inline)))
        return known[1]
