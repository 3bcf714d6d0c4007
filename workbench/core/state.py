"""The state of a campaign as the fold of its events, with the indexes that make decisions cheap.

Everything here is derived from the journal and can be rebuilt from it. Only `core.evolve` (and the modules that it
calls) changes a `State`; everyone else reads. Objects are mutable with slots because a campaign has up to 10^6
tasks: a fold that copied would be two orders of magnitude slower. `State.digest` covers what is meaningful and
leaves out caches (heaps, versions), so "replay equals live" can be checked at every prefix.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

from workbench.model.causes import Cause
from workbench.model.edits import Edit
from workbench.model.events import ForecastMade, Share
from workbench.model.ids import split_task
from workbench.model.resources import NodeShape, Pool
from workbench.model.specs import Edge, Function, Member, Plan, Result, SetSpec, Synthetic
from workbench.model.states import STATES, TaskState

from .policies import AUTO, Scheduling

# What a task needs of the nodes that it runs on. Programs need real ones. Functions run on virtual nodes where a
# campaign has no other (their agent lets them share this machine's cores), but real work is never given to a node that
# only keeps time while there are real pools. Synthetic tasks run anywhere.
PROGRAM, FUNCTION, SYNTHETIC = range(3)

# (cores, gpus, memory, nodes, one of the three above): tasks of one shape compete for the same slots
Shape = tuple[int, int, int, int, int]

# An attempt shorter than this may be queued behind another on its node, to hide the round trip to the engine.
QUICK_S = 0.05


class Task:
    """One task. `number` is the last attempt's; `node`... describe that attempt while it is under way."""

    __slots__ = (
        "assigned_at",
        "broken",
        "burned",
        "cause",
        "cores",
        "crashes",
        "detail",
        "ended",
        "gpus",
        "held",
        "index",
        "input_hold",
        "member",
        "memory",
        "metrics",
        "missing",
        "node",
        "number",
        "order",
        "others",
        "priority",
        "progress",
        "progress_at",
        "queued",
        "result",
        "set",
        "started",
        "state",
        "steered",
        "stopping",
    )

    def __init__(self, owner: SetState, index: int, member: Member | None) -> None:
        self.set = owner
        self.index = index
        self.member = member
        self.state: TaskState = TaskState.waiting
        self.number = 0
        self.missing = 0  # unsatisfied dependencies of this task alone (those of its set are counted in the set)
        self.broken = 0  # dependencies of this task alone that ended without a result
        self.held = False  # a person's hold
        self.input_hold = False  # held because an input failed, or the disk was full
        self.priority: int | None = None
        self.burned = 0
        self.crashes = 0
        self.order = 0
        self.node = ""
        self.cores = 0
        self.gpus: tuple[int, ...] = ()
        self.memory = 0
        self.others: tuple[Share, ...] = ()
        self.queued = False
        self.assigned_at = 0.0
        self.started = 0.0
        self.ended = 0.0
        self.result: Result | None = None
        self.cause: Cause | None = None
        self.detail = ""
        self.steered: dict[str, object] | None = None
        self.stopping = False
        self.progress: float | None = None
        self.progress_at = 0.0  # when it was reported
        self.metrics: dict[str, float | int | str | bool] | None = None

    @property
    def id(self) -> str:
        return f"{self.set.name}[{self.index}]"

    @property
    def rank_priority(self) -> int:
        return self.set.spec.priority if self.priority is None else self.priority

    def __repr__(self) -> str:
        return f"<Task {self.id} {self.state} #{self.number}>"


class Link:
    """An edge with its ends resolved and what it currently means for `dst`."""

    __slots__ = ("broken", "di", "dst", "each", "edge", "missing", "si", "src")

    def __init__(self, edge: Edge, src: SetState, si: int, dst: SetState, di: int) -> None:
        self.edge, self.src, self.si, self.dst, self.di = edge, src, si, dst, di
        self.each = edge.kind == "each"
        self.missing = False
        self.broken = False


class SetState:
    """One task set."""

    __slots__ = (
        "blockers",
        "broken",
        "changed",
        "component",
        "counts",
        "into_task",
        "into_whole",
        "known_s",
        "missing",
        "n_broken",
        "n_done",
        "name",
        "out",
        "out_each",
        "out_task",
        "preds",
        "quick",
        "removed",
        "seen",
        "shape",
        "size",
        "spec",
        "stage",
        "succs",
        "sum_s",
        "sum_sq",
        "tasks",
    )

    def __init__(self, spec: SetSpec) -> None:
        self.name = spec.name
        self.tasks: list[Task | None] = []  # None: removed
        self.removed: dict[int, Task] = {}
        self.size = 0  # tasks that are not removed
        self.counts: dict[TaskState, int] = dict.fromkeys(STATES, 0)
        self.n_done = 0
        self.n_broken = 0
        self.missing = 0  # unsatisfied dependencies of the set as a whole
        self.broken = 0
        self.out: list[Link] = []  # from the whole set
        self.out_each: list[Link] = []  # from the i-th to the i-th
        self.out_task: dict[int, list[Link]] = {}  # from one task
        self.into_whole: list[Link] = []  # to the whole set, and to the i-th from the i-th
        self.into_task: dict[int, list[Link]] = {}  # to one task
        self.preds: dict[str, int] = {}  # predecessor set -> number of edges
        self.succs: dict[str, int] = {}
        self.component = 0  # sets on one cycle of the set graph share it (their tasks are still acyclic)
        self.blockers = 0  # predecessor sets that have not ended (asynchronous mode)
        self.stage = 0
        self.changed = -1  # sequence number of the last command that touched the set
        self.seen = 0  # finished attempts, for learned durations
        self.sum_s = 0.0
        self.sum_sq = 0.0
        self.quick = False  # attempts may queue behind one another on a node
        self.known_s: float | None = None
        self.set_spec(spec)

    def set_spec(self, spec: SetSpec) -> None:
        self.spec = spec
        r = spec.resources
        self.shape: Shape = (r.cores, r.gpus, r.memory, r.nodes, need_of(spec))
        self.known_s = self.mean_s
        self.judge_quick()

    def learn(self) -> bool:
        """Whether the learned mean moved by a tenth (and 10 ms) since ranks were last computed with it."""
        mean, known = self.mean_s, self.known_s
        if mean is None or (known is not None and abs(mean - known) <= max(0.01, 0.1 * known)):
            return False
        self.known_s = mean
        return True

    def judge_quick(self) -> None:
        """Whether attempts of this set may queue on a node: small functions known to be short."""
        spec, r = self.spec, self.spec.resources
        if isinstance(spec.work, Function) and r.cores == 1 and not r.gpus and not r.memory and r.nodes == 1:
            mean = self.mean_s
            self.quick = mean is not None and mean < QUICK_S and not spec.work.dask
        else:
            self.quick = False

    @property
    def n_open(self) -> int:
        return self.size - self.n_done - self.n_broken

    @property
    def mean_s(self) -> float | None:
        """Mean TX in seconds: learned from finished tasks, else the estimate, else None."""
        if self.seen:
            return self.sum_s / self.seen
        return None if self.spec.estimate is None else self.spec.estimate.mean

    def live(self) -> Iterator[Task]:
        return (t for t in self.tasks if t is not None)

    def links_from(self, index: int) -> list[Link]:
        return self.out_task.get(index, [])

    def links_to(self, index: int) -> list[Link]:
        """The edges that one task waits for, those of its whole set included."""
        own = self.into_task.get(index)
        return self.into_whole + own if own else self.into_whole

    @property
    def into(self) -> list[Link]:
        """All edges that lead to the set or one of its tasks."""
        return [*self.into_whole, *chain.from_iterable(self.into_task.values())]

    def links(self) -> Iterator[Link]:
        """All edges that leave the set or one of its tasks."""
        yield from self.out
        yield from self.out_each
        for links in self.out_task.values():
            yield from links


def need_of(spec: SetSpec) -> int:
    """What the tasks of a set need of their nodes: `PROGRAM`, `FUNCTION` or `SYNTHETIC`."""
    if isinstance(spec.work, Synthetic):
        return SYNTHETIC
    return FUNCTION if isinstance(spec.work, Function) else PROGRAM


def least_need(pool: Pool | None, pools: Iterable[Pool]) -> int:
    """The least need that nodes of `pool` serve, beside `pools`."""
    if pool is None or pool.kind != "virtual":
        return PROGRAM
    return FUNCTION if all(p.kind == "virtual" for p in pools) else SYNTHETIC


class Accepted(NamedTuple):
    """What undo needs to know of a command; its edits stay in the journal."""

    seq: int
    author: str
    inverse: tuple[Edit, ...] | None
    undoes: str
    reason: str


class NodeState:
    """A node and what is free on it."""

    __slots__ = (
        "cores",
        "draining",
        "free_cores",
        "free_gpus",
        "free_memory",
        "gpus",
        "holding",
        "ix",
        "least",
        "memory",
        "name",
        "pool",
        "prefetch",
        "queue",
    )

    def __init__(
        self, name: str, ix: int, pool: str, cores: int, gpus: int, memory: int, prefetch: int, least: int
    ) -> None:
        self.name, self.ix, self.pool = name, ix, pool
        self.least = least  # tasks whose need is below it cannot run here: `PROGRAM` on a real node, so all can
        self.cores, self.gpus, self.memory, self.prefetch = cores, gpus, memory, prefetch
        self.free_cores = cores
        self.free_gpus = list(range(gpus))
        self.free_memory = memory
        self.holding: dict[Task, None] = {}  # insertion order = order of assignment
        self.queue: deque[Task] = deque()
        self.draining = False  # gets nothing new, and leaves once it is empty (see `core.drain`)

    @property
    def takes_queue(self) -> bool:
        """Whether a quick attempt may queue here: only behind others that are quick themselves."""
        return (
            len(self.queue) < self.prefetch
            and bool(self.holding)
            and not self.draining
            and all(t.set.quick for t in self.holding)
        )


# In a queue of ready tasks: (minus the priority, the policy's key, order of becoming ready, task)
Entry = tuple[int, Any, int, Task]


class State:
    """A campaign."""

    def __init__(self) -> None:
        self.seq = -1
        self.id = ""
        self.name = ""
        self.seed = 0
        self.mode = "adaptive"
        self.policy = "upward-rank"
        self.plan: Plan | None = None  # what policy "auto" chose last; means nothing under another policy
        self.time_scale = 1.0
        self.epoch = 0
        self.at = 0.0
        self.first_assigned_at: float | None = None
        self.last_ended_at: float | None = None
        self.sets: dict[str, SetState] = {}
        self.pools: dict[str, Pool] = {}
        self.nodes: dict[str, NodeState] = {}
        self.node_count = 0
        self.most = (0, 0, 0)  # cores, GPUs and memory of all nodes together, at their most
        self.counts: dict[TaskState, int] = dict.fromkeys(STATES, 0)
        self.commands: dict[str, Accepted] = {}
        self.undo_stack: list[str] = []
        self.redo_stack: list[str] = []
        self.growths: dict[str, tuple[str, tuple[Edit, ...]]] = {}  # asked for by tasks, not yet answered
        self.refused: dict[str, str] = {}
        self.numbers: dict[str, int] = {}  # the last attempt number in sets that were removed: none is ever given again
        self.forecasts: list[ForecastMade] = []
        self.fenced = 0  # late, repeated or unknown reports that changed nothing
        # --- indexes; not part of the digest ---
        self.stage_open: dict[int, int] = {}  # stage -> sets in it that have not ended
        self.stage_heap: list[int] = []  # of the stages in `stage_open`; may hold more
        self.by_stage: dict[int, dict[str, None]] = {}
        self.barrier = 0
        self.orders = 0
        self.queues: dict[Shape, list[Entry]] = {}
        self.graph_version = 0  # of the graph, the nodes and the estimates that ranks are computed from
        self.learned = 0  # how often a mean TX moved
        self.queued_version = -1
        self.upward_version = -1
        self.upward: dict[str, float] = {}
        self.after: dict[str, float | list[float]] | None = None  # see `graph.paths_after`; None: to be computed
        self.pressure_version = -1
        self.pressure: tuple[float, float, float] = (0.0, 0.0, 0.0)
        self.planned: tuple[Plan, Scheduling] | None = None  # a plan, and what it means (see `policies.scheduling`)
        self.visited: set[tuple[str, TaskState]] | None = None  # transitions seen, where a test asks for them

    # ------------------------------------------------------------------ reading
    def task(self, task_id: str) -> Task | None:
        """The task of that id, or None if there is none (any more)."""
        try:
            name, index = split_task(task_id)
        except ValueError:
            return None
        owner = self.sets.get(name)
        if owner is None or index >= len(owner.tasks):
            return None
        return owner.tasks[index]

    def tasks(self) -> Iterator[Task]:
        """Every task, set by set."""
        for s in self.sets.values():
            yield from s.live()

    @property
    def gate(self) -> str:
        """The mode whose barriers hold: the campaign's, or a stricter one that policy "auto" chose inside adaptive."""
        if self.mode == "adaptive" and self.plan is not None and self.plan.mode and self.policy == AUTO:
            return self.plan.mode
        return self.mode

    @property
    def size(self) -> int:
        return sum(self.counts.values())

    @property
    def ended(self) -> bool:
        """Whether every task has ended and nothing asks to grow."""
        c = self.counts
        return not self.growths and self.size == (
            c[TaskState.done] + c[TaskState.failed] + c[TaskState.cancelled] + c[TaskState.skipped]
        )

    @property
    def stuck(self) -> bool:
        """Whether nothing is under way or ready: only a person can bring the rest (held tasks) forward."""
        c = self.counts
        busy = c[TaskState.ready] + c[TaskState.assigned] + c[TaskState.running] + c[TaskState.cancelling]
        return not busy and not self.growths

    def shape_of_pool(self, node: NodeState) -> NodeShape:
        return NodeShape(node.cores, node.gpus, node.memory)

    def digest(self) -> str:
        """Hash of everything meaningful; equal for a live state and its replay."""
        h = hashlib.blake2b(digest_size=16)

        def put(*values: object) -> None:
            h.update(repr(values).encode())

        put(self.seq, self.id, self.name, self.seed, self.mode, self.policy, self.plan)
        put(self.epoch, self.first_assigned_at)
        put(sorted((k, repr(v)) for k, v in self.pools.items()), list(self.undo_stack), list(self.redo_stack))
        put(sorted(self.growths), sorted(self.refused), sorted(self.numbers.items()), self.fenced, self.last_ended_at)
        for s in self.sets.values():
            put(s.name, repr(s.spec), s.size, s.n_done, s.n_broken, s.missing, s.broken, s.stage, s.seen, s.sum_s)
            put(sorted(s.removed), [(k.value, v) for k, v in s.counts.items() if v])
            put(sorted((repr(x.edge), x.missing, x.broken) for x in s.into))
            for t in s.live():
                put(t.index, t.state.value, t.number, t.missing, t.broken, t.held, t.input_hold, t.priority, t.burned)
                put(t.crashes, t.node, t.cores, t.gpus, t.memory, t.others, t.queued, t.started, t.ended, t.result)
                put(t.cause and t.cause.value, t.steered, t.stopping, t.member)
        for n in self.nodes.values():
            put(n.name, n.free_cores, n.free_gpus, n.free_memory, n.draining)
            put([t.id for t in n.holding], [t.id for t in n.queue])
        return h.hexdigest()
