"""Write the sample campaign of the present format: ``python -m tests.journal.make_format``.

Run once for each released format; what it wrote is never changed afterwards, because later versions have to read it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from tests.core.machine import Machine
from workbench.journal.writer import JournalWriter
from workbench.model.events import FORMAT

T = TypeVar("T")
HERE = Path(__file__).parent / "formats"
SEEDS = range(8)


class Seeded:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def choice(self, values: Sequence[T]) -> T:
        return self.rng.choice(values)

    def integer(self, low: int, high: int) -> int:
        return self.rng.randint(low, high)


def main() -> None:
    digests = []
    for seed in SEEDS:
        machine = Machine(Seeded(seed))
        for _ in range(60):
            machine.step()
        directory = HERE / str(FORMAT) / str(seed)
        directory.mkdir(parents=True)
        with JournalWriter(directory, fsync="never") as writer:
            for event in machine.events:
                writer.append(event)
        digests.append(f"{seed} {picture(machine)}")
    (HERE / str(FORMAT) / "tasks.txt").write_text("\n".join(digests) + "\n")


def picture(machine: Machine) -> str:
    """What must come out of a replay, in words that later versions can compute as well."""
    state = machine.state
    tasks = ",".join(f"{t.id}={t.state}#{t.number}" for t in state.tasks())
    return f"seq={state.seq} mode={state.mode} policy={state.policy} {tasks}"


if __name__ == "__main__":
    main()
