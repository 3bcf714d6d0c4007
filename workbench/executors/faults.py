"""What a fake cluster can be told to do to an attempt. Each is a value; `FakeCluster.script` says whom it befalls.

Some of them break the executor's contract on purpose (`Late`, `Twice`, `Silent`): networks and zombies do, and the
engine has to stand it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.model.causes import Cause


@dataclass(frozen=True)
class Takes:
    """The attempt takes `seconds`, whatever its launch says."""

    seconds: float


@dataclass(frozen=True)
class Returns:
    """The attempt finishes with `value`; nothing is called."""

    value: Any


@dataclass(frozen=True)
class Ends:
    """The attempt ends with `cause` after `after_s` seconds (None: when it would have finished)."""

    cause: Cause = Cause.UserError
    detail: str = "scripted"
    after_s: float | None = None
    exit_code: int | None = None


@dataclass(frozen=True)
class Silent:
    """The attempt starts and is never heard of again, unless its node goes."""


@dataclass(frozen=True)
class Late:
    """The attempt cannot be ended: it outlives stops and the loss of its node, and says it finished `by_s` later."""

    by_s: float = 1.0


@dataclass(frozen=True)
class Twice:
    """The attempt's end is told again `gap_s` later."""

    gap_s: float = 0.0


@dataclass(frozen=True)
class Stubborn:
    """A stop takes effect only when its grace is over."""


Fault = Takes | Returns | Ends | Silent | Late | Twice | Stubborn
