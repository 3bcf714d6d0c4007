"""The one table of task states. Everything that changes a task's state goes through a row of it.

Rows are (trigger, state before, state after). A trigger that has no row for a state is illegal there and changes
nothing. Triggers come from events (`assign`, `start`, `finish`, `end_*`), from edits (`hold`, `release`, `cancel`,
`retry`, `invalidate`) or follow from them inside the fold (`unblock`, `block`, `break_*`, `mend`).

| trigger        | meaning                                                                     |
|----------------|-----------------------------------------------------------------------------|
| unblock, block | the last missing input arrived or the barrier opened; or the reverse         |
| hold, release  | a person keeps the task from starting, or lets it go                         |
| break_skip     | an input ended without a result and the set says "skip"                      |
| break_hold     | the same where the set says "hold"                                           |
| mend           | the input that had failed is going to run again                              |
| assign, start  | slots were given; the process runs                                           |
| finish         | the attempt's result is published                                            |
| end_again      | the attempt ended without a result and the task may run again                |
| end_hold       | the same, but a person must look first (disk full)                           |
| end_fail       | the attempt ended without a result and the task has no retries left          |
| end_cancel     | the attempt ended because it was cancelled                                   |
| cancel         | a person ends the task: at once, or when its attempt has ended               |
| retry          | a person wants a task that ended without a result to run again               |
| invalidate     | a person, or an invalidated input, takes a result back                       |
"""

from __future__ import annotations

from workbench.model.states import TaskState

W, R, H = TaskState.waiting, TaskState.ready, TaskState.held
A, U, C = TaskState.assigned, TaskState.running, TaskState.cancelling
D, F, X, S = TaskState.done, TaskState.failed, TaskState.cancelled, TaskState.skipped

ROWS: tuple[tuple[str, tuple[TaskState, ...], TaskState], ...] = (
    ("unblock", (W,), R),
    ("block", (R,), W),
    ("hold", (W, R), H),
    ("release", (H,), W),
    ("break_skip", (W, H), S),
    ("break_hold", (W,), H),
    ("mend", (S,), W),
    ("assign", (R,), A),
    ("start", (A,), U),
    ("finish", (A, U), D),
    ("finish", (C,), X),
    ("end_again", (A, U), W),
    ("end_hold", (A, U), H),
    ("end_fail", (A, U), F),
    ("end_cancel", (A, U, C), X),
    ("cancel", (W, R, H), X),
    ("cancel", (A, U), C),
    ("retry", (F, X), W),
    ("invalidate", (D, F, X), W),
)

TABLE: dict[str, dict[TaskState, TaskState]] = {}
for _trigger, _before, _after in ROWS:
    for _state in _before:
        TABLE.setdefault(_trigger, {})[_state] = _after

# What a task's state means to those who depend on it.
OPEN, DONE, BROKEN = 0, 1, 2
KIND: dict[TaskState, int] = dict.fromkeys(TaskState, OPEN) | {D: DONE, F: BROKEN, X: BROKEN, S: BROKEN}
