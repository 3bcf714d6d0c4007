"""The executor conformance suite: the rules of `executors.port`, as tests that run against any implementation.

```python
class TestMyExecutor(conformance(without={"mpi": "it has one node"})):
    def make(self, layout):
        return MyExecutor(POOLS, layout)
```

The rules are grouped by what an executor must be able to do (`SUITES`). What it cannot do is declared with a reason;
the tests of that group are then not part of the class at all, so nothing is skipped in silence. The executor under
test provides `POOLS`: two real nodes of 2 cores and 2 GPUs (their indices need not exist), and three virtual ones of
4 cores. Only `make` must be given; an executor with processes also says how to `break_node`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.testing.conformance.base import POOLS, REAL, VIRTUAL, Base
from workbench.testing.conformance.functions import FunctionRules
from workbench.testing.conformance.processes import ProcessRules
from workbench.testing.conformance.programs import ExecutableRules, MpiRules
from workbench.testing.conformance.timed import NodeRules, SyntheticRules

__all__ = ["POOLS", "REAL", "SUITES", "VIRTUAL", "Base", "conformance"]

SUITES: dict[str, type[Base]] = {
    "synthetic": SyntheticRules,
    "functions": FunctionRules,
    "processes": ProcessRules,
    "executables": ExecutableRules,
    "mpi": MpiRules,
    "nodes": NodeRules,
}


def conformance(without: Mapping[str, str] | None = None) -> Any:
    """A base class for the tests of one executor.

    Parameters
    ----------
    without : mapping
        Group of rules that the executor does not claim -> why.

    Raises
    ------
    ValueError
        If there is no such group, or no reason.
    """
    missing = dict(without or {})
    for group, reason in missing.items():
        if group not in SUITES or not reason:
            raise ValueError(f"{group!r}: give one of {', '.join(SUITES)} and the reason why it is missing")
    bases = tuple(suite for group, suite in SUITES.items() if group not in missing)
    return type("Conformance", bases, {"without": missing})
