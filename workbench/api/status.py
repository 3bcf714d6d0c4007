"""How a campaign stands, small enough to print."""

from __future__ import annotations

import msgspec

from workbench.core.policies import AUTO
from workbench.model.states import TaskState
from workbench.report.tables import Tables

_REFUSED = 3


class Status(msgspec.Struct, frozen=True):
    """Counts of a campaign and of its sets.

    Attributes
    ----------
    name, directory : str
        Of the campaign.
    phase : str
        ``"declared"``, ``"running"``, ``"stopped"``, ``"ended"``, or ``"stuck"`` when what is left waits for a person.
    mode, policy : str
        As they are now.
    counts : dict
        Number of tasks in each state that occurs.
    sets : dict of dict
        The same for each set.
    makespan_s : float
        Unscaled seconds since the first assignment, up to the end or now.
    trouble : str
        Why the engine cannot make progress now (a full disk), or nothing.
    refused : tuple of str
        What tasks asked for and did not get, one sentence each: growth that broke a rule.
    chosen : str
        What policy ``auto`` chose last, and why; nothing under another policy, and until it has.
    """

    name: str
    directory: str
    phase: str
    mode: str
    policy: str
    counts: dict[str, int]
    sets: dict[str, dict[str, int]]
    makespan_s: float
    trouble: str = ""
    refused: tuple[str, ...] = ()
    chosen: str = ""

    @property
    def total(self) -> int:
        """Number of tasks."""
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        """Number of tasks with a result."""
        return self.counts.get(TaskState.done.value, 0)

    def __repr__(self) -> str:
        head = f"{self.name}: {self.phase}, {self.done} of {self.total} tasks done, {self.makespan_s:.6g} s"
        width = max((len(name) for name in self.sets), default=0)
        shown = list(self.sets.items())[:20]
        lines = [f"  {name:<{width}}  {_told(counts)}" for name, counts in shown]
        if len(shown) < len(self.sets):
            lines.append(f"  and {len(self.sets) - len(shown)} more sets")
        lines += [f"  {text}" for text in self.refused[:_REFUSED]]
        if len(self.refused) > _REFUSED:
            lines.append(f"  and {len(self.refused) - _REFUSED} more refusals, in history()")
        chosen = [f"  chosen: {self.chosen}"] if self.chosen else []
        if self.trouble:
            lines.append(f"  in trouble: {self.trouble}")
        return "\n".join([head, f"  mode {self.mode}, policy {self.policy}, in {self.directory}", *chosen, *lines])


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {state}" for state, n in counts.items()) or "no tasks"


def occurring(counts: dict[TaskState, int]) -> dict[str, int]:
    """Counts under the names of their states, without zeros."""
    return {state.value: n for state, n in counts.items() if n}


def status_of(tables: Tables, directory: str, running: bool, started: bool, trouble: str = "") -> Status:
    """The status that `tables` show; `running`, `started` and `trouble` are what the journal cannot tell."""
    state = tables.state
    if state.size and state.ended:
        phase = "ended"
    elif started and running:
        phase = "stuck" if state.stuck else "running"
    else:
        phase = "stopped" if state.first_assigned_at is not None else "declared"
    sets = {name: occurring(s.counts) for name, s in state.sets.items()}
    return Status(
        tables.name,
        directory,
        phase,
        tables.mode,
        tables.policy,
        occurring(state.counts),
        sets,
        tables.makespan(),
        trouble,
        tuple(
            f"growth of {row.author.removeprefix('task:')} was refused, {row.refused}: {row.message}"
            for row in tables.commands
            if row.refused
        ),
        tables.choices[-1].reason if tables.policy == AUTO and tables.choices else "",
    )
