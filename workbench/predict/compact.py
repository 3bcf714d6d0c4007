"""The scheduler on counts: the same schedule as driving the core, several times faster.

`compile_state` reads a `State` once into lists of ints; `Compact.run` then plays it to its end, as often as wanted
(samples of TX, plans, modes). `predict.simulate` stays the reference: this module makes the same decisions, and
differential tests hold it to that (``tests/predict/test_compact*.py``: same finish of every set, bit for bit, from
random states under every policy, packing rule and mode).

How the rules stay the core's
-----------------------------
* *Order of the queue*: keys come from `core.policies` themselves, evaluated on a shadow `State` that has sets, edges,
  nodes and learned means but no tasks; at the same moments as in the core (when tasks become ready, and when ranks or
  estimates changed), and what is learned goes through `SetState.learn`.
* *Plans and modes*: what they mean is asked of `core.policies.scheduling` and `State.gate`.
* *Packing, backfill, reservation, barriers*: said again in `predict.replay` and its parts, in terms of counts. A rule
  that is registered in `core.placement` and not known there makes `compile_state` refuse.

What makes it fast
------------------
Tasks of one set that become ready together are one entry of the queue; where they have one TX, those that start
together are one end. Only the nodes on which something ended are looked at for shapes that fitted nowhere before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from workbench.core.drain import full
from workbench.core.graph import components, paths_after, tx_of
from workbench.core.policies import scheduling
from workbench.core.state import NodeState, SetState, State, Task, least_need
from workbench.model.specs import Function, Member, Plan
from workbench.model.states import TaskState

from .simulate import no_pause

WAITING, HELD, READY, CANCELLING = TaskState.waiting, TaskState.held, TaskState.ready, TaskState.cancelling
ENDED_BY_ATTEMPT = (TaskState.done, TaskState.failed, TaskState.cancelled)

PACKINGS = ("first", "best", "spread", "balance")  # of `core.placement`, as `predict.replay` knows them
UNLIMITED = 1 << 62  # free memory of a node that does not count it
BARRED = 1 << 30  # missing inputs of a task that is held: none that arrives lets it go
NOWHERE = 1 << 30  # least need of a node that drains: it serves none

# TX in unscaled seconds for each set by name: one for all of its tasks, or one for each by index.
Tx = Mapping[str, "float | Sequence[float]"]


class NotCompact(RuntimeError):
    """What happens in this run cannot be reproduced by counts; use `predict.simulate` on a copy of the state."""


@dataclass(frozen=True)
class Outcome:
    """What a run of `Compact` came to.

    Attributes
    ----------
    finish_s : float
        From the campaign's first assignment to its last end, unscaled seconds (`Simulated.makespan_s`).
    ended : bool
        Whether every task ended; False if some are held or nothing can ever run them.
    sets : dict of str to float
        Last end of an attempt of each set that has no open tasks left, on the clock of `finish_s`. Empty unless
        asked for; without sets of which nothing ever ran.
    used : dict of str to float
        Core-, GPU- and byte-seconds (``"cores"``, ``"gpus"``, ``"memory"``) spent from the state's present on,
        unscaled.
    """

    finish_s: float
    ended: bool
    sets: dict[str, float] = field(default_factory=dict)
    used: dict[str, float] = field(default_factory=dict)


@dataclass
class Attempt:
    """An attempt that is counted by itself: under way at the start, over several nodes, or beside reservations."""

    set: int
    index: int
    started: float
    cores: int
    memory: int
    places: tuple[tuple[int, int], ...]  # (node, GPUs on it), the attempt's own node first
    cancelling: bool = False
    member: Member | None = None


@dataclass
class Links:
    """Edges that leave a set, by number of set: from the whole of it, from the i-th to the i-th, from one task."""

    whole: list[tuple[int, int]] = field(default_factory=list)  # (set, index or -1)
    each: list[int] = field(default_factory=list)
    task: dict[int, list[tuple[int, int]]] = field(default_factory=dict)


# An entry of a queue: (minus the priority, the policy's key, the first's order, (set, indexes))
Ready = tuple[int, object, int, tuple[int, Sequence[int]]]


@dataclass
class Compact:
    """A state in lists of ints; `run` plays it to its end without changing it. Made by `compile_state`."""

    at: float
    origin: float | None  # first assignment so far
    last: float  # last end so far
    shadow: State  # what policies look at
    names: list[str] = field(default_factory=list)
    shapes: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    shape_of: list[int] = field(default_factory=list)
    negated: list[int] = field(default_factory=list)  # minus the priority
    special: list[dict[int, tuple[int, Member | None]] | None] = field(default_factory=list)
    open: list[int] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    blockers: list[int] = field(default_factory=list)
    waiting: list[Sequence[int]] = field(default_factory=list)
    own_missing: list[list[int] | None] = field(default_factory=list)  # of each task, where inputs differ
    # Only where attempts are being cancelled, so that inputs may still break: broken inputs of each set, and of each
    # task, and whether the set's tasks are held then, not skipped
    hurt: list[int] = field(default_factory=list)
    own_hurt: list[list[int]] | None = None
    holds: list[bool] = field(default_factory=list)
    links: list[Links] = field(default_factory=list)
    after: list[list[int]] = field(default_factory=list)  # sets whose blockers count this one
    stages: dict[int, list[int]] = field(default_factory=dict)
    # components of the set graph, latest first: names and numbers of its sets, and of the sets after them
    groups: list[tuple[list[str], list[int], set[int]]] = field(default_factory=list)
    ended_at: list[float] = field(default_factory=list)  # last end of an attempt so far, 0.0: none
    tx: list[float | list[float]] = field(default_factory=list)  # expected TX, unscaled seconds
    known: bool = True  # whether any TX is known: without, `run` needs `tx`
    ready: list[list[Ready]] = field(default_factory=list)  # sorted, for each shape
    cores: list[int] = field(default_factory=list)  # free, for each node
    gpus: list[int] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    size: list[tuple[int, int]] = field(default_factory=list)  # cores and memory of a node
    least: list[int] = field(default_factory=list)
    draining: list[int] = field(default_factory=list)
    prefetch: list[int] = field(default_factory=list)  # nodes on which attempts may queue
    attempts: list[Attempt] = field(default_factory=list)
    holding: list[list[int]] = field(default_factory=list)  # places in `attempts`, for each node, in order

    def run(
        self,
        tx: Tx | None = None,
        plan: Plan | None = None,
        mode: str = "",
        want_sets: bool = False,
        pause: Callable[[], None] = no_pause,
    ) -> Outcome:
        """Play the campaign to its end.

        Parameters
        ----------
        tx : mapping or None
            Set name to unscaled seconds: one float, or one for each task by index (removed ones included). For
            attempts under way it is the whole TX. Sets that it lacks, or None, take what is expected.
        plan : Plan or None
            Schedule as policy ``auto`` would with this plan.
        mode : str
            In this mode in place of the campaign's.
        want_sets : bool
            Give the finish of each set.
        pause : callable
            Called now and then; lets other threads run.

        Raises
        ------
        NotCompact
            Functions turned out so short that they would queue behind one another on a node.
        ValueError
            No TX is known at all and `tx` does not give one for every set.
        """
        from .replay import Replay

        return Replay(self, tx, plan, mode).run(want_sets, pause)


def compile_state(state: State, at: float | None = None, provide: bool = True) -> Compact | None:
    """Read `state` for `Compact.run`; None where counts cannot reproduce it (`why_not` says why).

    Parameters
    ----------
    state : State
        Not changed, and not looked at any more afterwards.
    at : float or None
        Present time on the state's clock; None: the time of its last event.
    provide : bool
        Count nodes that the declared pools still lack as if they were there (`simulate.provide_nodes`).

    Notes
    -----
    O(sets + edges + ready tasks), and one short look at each task.
    """
    if why_not(state):
        return None
    now = state.at if at is None else at
    c = Compact(now, state.first_assigned_at, state.last_ended_at or now, _shadow(state))
    place = _nodes(c, state, provide)
    number = {name: i for i, name in enumerate(state.sets)}
    shape_id: dict[tuple[int, int, int, int, int], int] = {}
    means = [s.mean_s for s in state.sets.values() if s.size]
    known = [m for m in means if m is not None]
    c.known = bool(known)
    fallback = sum(known) / len(known) if known else 1.0
    c.own_hurt = [] if state.counts[CANCELLING] else None
    for s in state.sets.values():
        c.names.append(s.name)
        c.shape_of.append(shape_id.setdefault(s.shape, len(shape_id)))
        c.negated.append(-s.spec.priority)
        c.open.append(s.n_open)
        c.broken.append(s.n_broken)
        c.missing.append(s.missing)
        c.blockers.append(s.blockers)
        c.hurt.append(s.broken)
        c.holds.append(s.spec.on_failed_input == "hold")
        c.links.append(_links(s, number))
        c.after.append([number[n] for n in s.succs if state.sets[n].component != s.component])
        _tasks(c, s, fallback)
    if any(special and any(m is not None for _, m in special.values()) for special in c.special):
        c.shadow.after = paths_after(state)  # only asked for tasks that have estimates of their own
    for group in reversed(components(state)):
        after = {number[n] for name in group for n in state.sets[name].succs}
        c.groups.append((group, [number[name] for name in group], after))
    c.stages = {stage: [number[n] for n in names] for stage, names in state.by_stage.items()}
    c.ready = [[] for _ in shape_id]
    for shape, heap in state.queues.items():
        if heap and shape in shape_id:
            c.ready[shape_id[shape]] = _ready(heap, number)
    c.shapes = list(shape_id)
    index: dict[Task, int] = {}
    for node in state.nodes.values():
        for t in node.holding:
            if t.node == node.name:
                index[t] = len(index)
                shares = ((node.name, len(t.gpus)), *((x.node, len(x.gpus)) for x in t.others))
                c.attempts.append(
                    Attempt(
                        number[t.set.name],
                        t.index,
                        t.started or t.assigned_at,
                        t.cores,
                        t.memory,
                        tuple((place[n], g) for n, g in shares if n in place),
                        t.state is CANCELLING,
                        t.member,
                    )
                )
    c.holding = [[] for _ in c.cores]
    for node in state.nodes.values():
        c.holding[place[node.name]] = [index[t] for t in node.holding]
    return c


def why_not(state: State) -> str:
    """Why counts cannot reproduce the future of `state`, in a sentence; empty if they can."""
    if any(n.queue for n in state.nodes.values()):
        return "attempts queue behind one another on a node"
    if any(n.prefetch for n in state.nodes.values()):
        short = [s.name for s in state.sets.values() if s.n_open and s.quick]
        if short:
            return f"functions of set {short[0]!r} are so short that they queue behind one another on a node"
    packing = scheduling(state).packing
    if packing not in PACKINGS:
        return f"packing rule {packing!r} has no counterpart in counts"
    for shape, heap in state.queues.items():
        for entry in heap:
            task = entry[3]
            if task.state is READY and task.order == entry[2] and task.set.shape != shape:
                return f"{task.id} stands in the queue of another shape"
    return ""


def can_be_quick(s: SetState) -> bool:
    """Whether attempts of `s` queue behind one another once they are known to be short."""
    work, r = s.spec.work, s.spec.resources
    return isinstance(work, Function) and not work.dask and (r.cores, r.gpus, r.memory, r.nodes) == (1, 0, 0, 1)


# ---------------------------------------------------------------------------------------------------- inside


def copy_set(s: SetState) -> SetState:
    """What policies may look at, and what is learned; no tasks and no edges."""
    new = SetState.__new__(SetState)
    new.name, new.spec, new.shape, new.size = s.name, s.spec, s.shape, s.size
    new.preds, new.succs, new.component, new.stage = s.preds, s.succs, s.component, s.stage
    new.seen, new.sum_s, new.known_s, new.quick = s.seen, s.sum_s, s.known_s, s.quick
    return new


def _shadow(state: State) -> State:
    new = State()
    for name, value in vars(state).items():
        if not isinstance(value, (dict, list, set)):
            setattr(new, name, value)
    new.visited = None
    new.upward = state.upward  # replaced as a whole where ranks change
    new.after = {}
    new.pools = state.pools.copy()
    for name, s in state.sets.items():
        own = new.sets[name] = copy_set(s)
        own.preds, own.succs = s.preds.copy(), s.succs.copy()
    return new


def _nodes(c: Compact, state: State, provide: bool) -> dict[str, int]:
    """Count the nodes; returns the place of each."""
    nodes = [_copy_node(n) for n in state.nodes.values()]
    c.shadow.nodes = {n.name: n for n in nodes}
    if provide:
        for pool in state.pools.values():
            shape = pool.shape
            have = sum(n.pool == pool.name and not n.draining for n in nodes)
            for i in range(pool.nodes - have if shape.cores > 0 else 0):
                name = f"{pool.name}?{i}"
                if name not in c.shadow.nodes:
                    least = least_need(pool, state.pools.values())
                    node = NodeState(
                        name, c.shadow.node_count, pool.name, shape.cores, shape.gpus, shape.memory, 0, least
                    )
                    node.draining = full(c.shadow, pool.name)
                    c.shadow.nodes[name] = node
                    c.shadow.node_count += 1
                    c.shadow.graph_version += 1
    place: dict[str, int] = {}
    for i, n in enumerate(c.shadow.nodes.values()):
        place[n.name] = i
        c.cores.append(n.free_cores)
        c.gpus.append(len(n.free_gpus))
        c.memory.append(n.free_memory if n.memory else UNLIMITED)
        c.size.append((n.cores, n.memory))
        c.least.append(NOWHERE if n.draining else n.least)
        if n.draining:
            c.draining.append(i)
        if n.prefetch:
            c.prefetch.append(i)
    return place


def _copy_node(n: NodeState) -> NodeState:
    new = NodeState(n.name, n.ix, n.pool, n.cores, n.gpus, n.memory, n.prefetch, n.least)
    new.free_cores, new.free_gpus, new.free_memory, new.draining = n.free_cores, n.free_gpus, n.free_memory, n.draining
    return new


def _links(s: SetState, number: dict[str, int]) -> Links:
    out = Links([(number[x.dst.name], x.di) for x in s.out if x.di < 0 or x.dst.tasks[x.di] is not None])
    out.each = [number[x.dst.name] for x in s.out_each]
    for i, links in s.out_task.items():
        ends = [(number[x.dst.name], x.di) for x in links if x.di < 0 or x.dst.tasks[x.di] is not None]
        if ends and s.tasks[i] is not None:
            out.task[i] = ends
    return out


def _tasks(c: Compact, s: SetState, fallback: float) -> None:
    """What the tasks of `s` wait for, and how they differ from their set."""
    tasks, counts = s.tasks, s.counts
    waiting: Sequence[int] = ()
    if counts[WAITING] == len(tasks):
        waiting = range(len(tasks))
    elif counts[WAITING] or counts[HELD]:
        waiting = [i for i, t in enumerate(tasks) if t is not None and _waits(t)]
    c.waiting.append(waiting)
    own: list[int] | None = None
    if c.own_hurt is not None:
        c.own_hurt.append([0 if t is None else t.broken for t in tasks])
    if c.own_hurt is not None or any(x.each or x.di >= 0 for x in s.into):
        own = [-1] * len(tasks)
        for i, t in enumerate(tasks):
            if t is not None and t.state is HELD:
                own[i] = BARRED
        for i in waiting:
            own[i] = tasks[i].missing  # type: ignore[union-attr]
    c.own_missing.append(own)
    special: dict[int, tuple[int, Member | None]] | None = None
    expected: float | list[float] = fallback if s.mean_s is None else s.mean_s
    if s.n_open and any(t is not None and (t.member is not None or t.priority is not None) for t in tasks):
        for i, t in enumerate(tasks):
            if t is None:
                continue
            estimated = t.member is not None and t.member.estimate is not None
            if estimated:
                if not isinstance(expected, list):
                    expected = [expected] * len(tasks)
                expected[i] = tx_of(s, t.member)
            if estimated or t.priority is not None:
                special = {} if special is None else special
                special[i] = (-t.rank_priority, t.member if estimated else None)
    c.special.append(special)
    c.tx.append(expected)
    tried = any(counts[x] for x in ENDED_BY_ATTEMPT)
    c.ended_at.append(max((t.ended for t in s.live()), default=0.0) if tried else 0.0)


def _waits(t: Task) -> bool:
    """Whether the task only waits for inputs or a barrier; also one whose broken input was mended since."""
    if t.state is not HELD:
        return t.state is WAITING
    return t.input_hold and not t.held and t.cause is None and not t.broken and not t.set.broken


def _ready(heap: list[tuple[int, object, int, Task]], number: dict[str, int]) -> list[Ready]:
    """A queue, sorted; tasks that follow one another in all respects become one entry. Stale entries have no tasks."""
    found: list[Ready] = []
    indexes: list[int] = []
    before: tuple[int, object, SetState | None, int] = (0, None, None, -1)
    for negated, key, order, task in sorted(heap, key=lambda e: e[:3]):
        s = task.set
        if task.state is not READY or task.order != order:
            found.append((negated, key, order, (-1, ())))
            before = (0, None, None, -1)
            continue
        alone = task.member is not None and task.member.estimate is not None  # its key changes by itself
        if before == (negated, key, s, order - 1) and not alone:
            indexes.append(task.index)
        else:
            indexes = [task.index]
            found.append((negated, key, order, (number[s.name], indexes)))
        before = (0, None, None, -1) if alone else (negated, key, s, order)
    return found
