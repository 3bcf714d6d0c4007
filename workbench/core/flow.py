"""How a change of one task reaches the others: inputs that arrive, fail or are mended, and the modes' barriers.

Rules
-----
* A task is ready when it waits, nobody holds it, no dependency of it or of its set is unsatisfied, and its mode's
  barrier is open.
* `missing` and `broken` are counters, on the task for what concerns it alone and on its set for what concerns all of
  it, so that an edge between two sets of 10^4 tasks costs one step, not 10^8.
* Changes spread through a work list, in order, never by recursion: a chain may be 10^5 tasks long.
* Barriers: ``adaptive`` has none; ``asynchronous`` opens a set when every set before it has ended; ``sequential``
  opens a stage when every set of earlier stages has ended. "Ended" includes failed and skipped tasks.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush

from workbench.model.causes import Cause
from workbench.model.states import TaskState

from .graph import count_stage
from .policies import Key, key_of, scheduling
from .state import Entry, Link, SetState, State, Task
from .transitions import BROKEN, DONE, KIND, TABLE

WAITING, READY, HELD, SKIPPED = TaskState.waiting, TaskState.ready, TaskState.held, TaskState.skipped
NO_STAGE = 1 << 60

# (whole set done, some task broken, some task open) before a change of the set
Facts = tuple[bool, bool, bool]
# the set, the task and its kind before and after, and the set's facts before and after this one change
_Change = tuple[SetState, Task | None, int, int, Facts, Facts]


def facts(s: SetState) -> Facts:
    """What others depend on, of a whole set."""
    return s.n_done == s.size, s.n_broken > 0, s.n_open > 0


def move(state: State, task: Task, trigger: str) -> bool:
    """Take `task` over the row of `trigger`, and let everything that follows from it happen.

    Returns False, and changes nothing, where the table has no such row.
    """
    after = TABLE[trigger].get(task.state)
    if after is None:
        return False
    change = _take_row(state, task, trigger, after)
    if change is not None:
        _spread(state, deque((change,)))
    return True


def settle(state: State, s: SetState, before: Facts) -> None:
    """Tell the rest after the size of `s` changed (tasks added or removed)."""
    work: deque[_Change] = deque([(s, None, 0, 0, before, facts(s))])
    _spread(state, work)


def ready_if_possible(state: State, task: Task) -> None:
    """Let a waiting task become ready, held or skipped, as its inputs say."""
    work: deque[_Change] = deque()
    _judge(state, task, work)
    if work:
        _spread(state, work)


def gate_open(state: State, s: SetState) -> bool:
    """Whether the mode's barrier lets tasks of `s` start."""
    gate = state.gate
    if gate == "adaptive":
        return True
    if gate == "asynchronous":
        return s.blockers == 0
    return s.stage <= state.barrier


def regate(state: State) -> None:
    """Look at every waiting and ready task again, after the mode or the structure changed."""
    for s in state.sets.values():
        _regate_set(state, s)


def regate_one(state: State, s: SetState) -> None:
    """Look at the tasks of one set again."""
    _regate_set(state, s)


def attach(state: State, link: Link) -> None:
    """Count a new edge's meaning at its end."""
    work: deque[_Change] = deque()
    if link.each:
        for t in link.dst.live():
            _count_each(state, link, t, 1, work)
    else:
        missing, broken = _meaning(link)
        _apply(state, link, missing, broken, work)
    if work:
        _spread(state, work)


def detach(state: State, link: Link) -> None:
    """Take an edge's meaning away again."""
    work: deque[_Change] = deque()
    if link.each:
        for t in link.dst.live():
            _count_each(state, link, t, -1, work)
    else:
        _apply(state, link, False, False, work)
    if work:
        _spread(state, work)


def count_ith(state: State, link: Link, index: int, sign: int) -> None:
    """Count (1) or take away (-1) what the `index`-th task of ``link.src`` means to its counterpart."""
    t = link.dst.tasks[index] if index < len(link.dst.tasks) else None
    if t is not None:
        work: deque[_Change] = deque()
        _count_each(state, link, t, sign, work)
        if work:
            _spread(state, work)


def attach_task(state: State, task: Task) -> None:
    """Count what a task that is new in its set depends on by itself (edges from the i-th to it)."""
    for link in task.set.links_to(task.index):
        if link.each:
            src = _source(link, task.index)
            if src is not None:
                task.missing += src.state is not TaskState.done
                task.broken += KIND[src.state] == BROKEN
        elif link.di >= 0:
            task.missing += link.missing
            task.broken += link.broken


def push(state: State, task: Task) -> None:
    """Put a ready task into the queue of its shape."""
    state.orders += 1
    task.order = state.orders
    enqueue(state, task)


def enqueue(state: State, task: Task) -> None:
    """Insert a ready task under the current policy's key."""
    shape = task.set.shape
    heap = state.queues.get(shape)
    if heap is None:
        heap = state.queues[shape] = []
    heappush(heap, (-task.rank_priority, key_of(state, scheduling(state).policy, task), task.order, task))


def requeue(state: State) -> None:
    """Give every ready task its key under the present policy, graph and estimates."""
    policy = scheduling(state).policy
    state.queued_version = state.graph_version
    keys: dict[str, Key] = {}
    for heap in state.queues.values():
        fresh: list[Entry] = []
        for _, _, order, task in heap:
            if task.state is not READY or task.order != order:
                continue
            if task.member is not None and task.member.estimate is not None:
                key = key_of(state, policy, task)
            else:
                name = task.set.name
                if name not in keys:
                    keys[name] = policy.key(state, task.set)
                key = keys[name]
            fresh.append((-task.rank_priority, key, order, task))
        heapify(fresh)
        heap[:] = fresh


# ---------------------------------------------------------------------------------------------------- inside


def _set(state: State, task: Task, trigger: str, after: TaskState, work: deque[_Change]) -> None:
    change = _take_row(state, task, trigger, after)
    if change is not None:
        work.append(change)


def _take_row(state: State, task: Task, trigger: str, after: TaskState) -> _Change | None:
    """Change the state of one task, and give what others may have to be told of it."""
    before = task.state
    if state.visited is not None:
        state.visited.add((trigger, before))
    s = task.set
    counts = s.counts
    counts[before] -= 1
    counts[after] += 1
    counts = state.counts
    counts[before] -= 1
    counts[after] += 1
    task.state = after
    if after is READY:
        push(state, task)
    old, new = KIND[before], KIND[after]
    if old == new:
        return None
    was = (s.n_done == s.size, s.n_broken > 0, s.n_done + s.n_broken < s.size)
    s.n_done += (new == DONE) - (old == DONE)
    s.n_broken += (new == BROKEN) - (old == BROKEN)
    now = (s.n_done == s.size, s.n_broken > 0, s.n_done + s.n_broken < s.size)
    if was == now and not s.out_each and not s.out_task:
        return None  # nobody looks at single tasks of it
    return s, task, old, new, was, now


def _spread(state: State, work: deque[_Change]) -> None:
    while work:
        s, task, old, new, (was_done, was_broken, was_open), (is_done, is_broken, is_open) = work.popleft()
        if task is not None:
            need = (old == DONE) - (new == DONE)
            hurt = (new == BROKEN) - (old == BROKEN)
            for link in s.out_task.get(task.index, ()):
                _apply(state, link, new != DONE, new == BROKEN, work)
            for link in s.out_each:
                if task.index < len(link.dst.tasks):
                    t = link.dst.tasks[task.index]
                    if t is not None:
                        if need:
                            _need_task(state, t, need, work)
                        if hurt:
                            _break_task(state, t, hurt, work)
        if was_done != is_done or was_broken != is_broken:
            for link in s.out:
                _apply(state, link, not is_done, is_broken, work)
        if was_open != is_open:
            _gates_after(state, s, is_open, work)


def _count_each(state: State, link: Link, t: Task, sign: int, work: deque[_Change]) -> None:
    src = _source(link, t.index)
    if src is None:  # removed: there is nothing to wait for
        return
    if src.state is not TaskState.done:
        _need_task(state, t, sign, work)
    if KIND[src.state] == BROKEN:
        _break_task(state, t, sign, work)


def _source(link: Link, index: int) -> Task | None:
    return link.src.tasks[index] if index < len(link.src.tasks) else None


def _meaning(link: Link) -> tuple[bool, bool]:
    """(missing, broken) of an edge that is not i-th to i-th."""
    if link.si < 0:
        done, broken, _ = facts(link.src)
        return not done, broken
    src = link.src.tasks[link.si]
    if src is None:
        return False, False
    return src.state is not TaskState.done, KIND[src.state] == BROKEN


def _apply(state: State, link: Link, missing: bool, broken: bool, work: deque[_Change]) -> None:
    """Bring what `link` means for its end to (missing, broken)."""
    need, hurt = missing - link.missing, broken - link.broken
    link.missing, link.broken = missing, broken
    if link.di >= 0:
        t = link.dst.tasks[link.di]
        if t is None:
            return
        if need:
            _need_task(state, t, need, work)
        if hurt:
            _break_task(state, t, hurt, work)
        return
    s = link.dst
    if need:
        s.missing += need
        if s.missing == 0 or (need > 0 and s.missing == need):
            for t in s.live():
                _judge(state, t, work)
    if hurt:
        s.broken += hurt
        if s.broken == 0 or (hurt > 0 and s.broken == hurt):
            for t in s.live():
                _judge(state, t, work)


def _need_task(state: State, t: Task, delta: int, work: deque[_Change]) -> None:
    t.missing += delta
    if t.missing == 0 or t.missing == delta:
        _judge(state, t, work)


def _break_task(state: State, t: Task, delta: int, work: deque[_Change]) -> None:
    t.broken += delta
    if t.broken == 0 or t.broken == delta:
        _judge(state, t, work)


def _judge(state: State, t: Task, work: deque[_Change]) -> None:
    """Bring a task that has not started into the state that its inputs, its barrier and its holds ask for."""
    s = t.set
    now = t.state
    if now is not WAITING and now is not READY and now is not HELD and now is not SKIPPED:
        return
    if t.broken or s.broken:
        if now is SKIPPED:
            return
        if s.spec.on_failed_input == "hold":
            t.input_hold = True
            if now is not HELD:
                _set(state, t, "break_hold", HELD, work)
        else:
            _set(state, t, "break_skip", SKIPPED, work)
        return
    if now is SKIPPED:
        _set(state, t, "mend", WAITING, work)
        now = WAITING
    elif now is HELD and t.input_hold and not t.held and t.cause is not Cause.DiskFull:
        t.input_hold = False
        _set(state, t, "release", WAITING, work)
        now = WAITING
    if t.held:
        if now is not HELD:
            _set(state, t, "hold", HELD, work)
        return
    open_ = t.missing == 0 and s.missing == 0 and gate_open(state, s)
    if now is WAITING and open_:
        _set(state, t, "unblock", READY, work)
    elif now is READY and not open_:
        _set(state, t, "block", WAITING, work)


def _regate_set(state: State, s: SetState) -> None:
    work: deque[_Change] = deque()
    if s.counts[WAITING] or s.counts[READY]:
        for t in s.live():
            _judge(state, t, work)
    if work:
        _spread(state, work)


def _gates_after(state: State, s: SetState, is_open: bool, work: deque[_Change]) -> None:
    """Move the barriers after set `s` ended (or opened again)."""
    for name in s.succs:
        after = state.sets[name]
        if after.component == s.component:
            continue
        after.blockers += 1 if is_open else -1
        if (after.blockers == 0 or (is_open and after.blockers == 1)) and state.gate == "asynchronous":
            for t in after.live():
                _judge(state, t, work)
    if count_stage(state, s.stage, 1 if is_open else -1):
        move_barrier(state, work)


def move_barrier(state: State, work: deque[_Change] | None = None) -> None:
    """Put the sequential barrier at the earliest stage that has an open set, and judge whom that lets go or bars."""
    before = state.barrier
    heap = state.stage_heap
    while heap and heap[0] not in state.stage_open:
        heappop(heap)
    state.barrier = heap[0] if heap else NO_STAGE
    if state.gate != "sequential" or state.barrier == before:
        return
    spread = work is None
    if work is None:
        work = deque()
    low, high = sorted((before, state.barrier))
    for stage in sorted(k for k in state.by_stage if low <= k <= high):
        for name in state.by_stage[stage]:
            for t in state.sets[name].live():
                _judge(state, t, work)
    if spread:
        _spread(state, work)
