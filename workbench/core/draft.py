"""The campaign as it would be after the first edits of a command, without touching the state.

A command holds several edits and is accepted or refused as a whole, so later edits must be judged as if the earlier
ones had happened. A `Draft` lays what they add and take away over the state, and answers the few questions that the
rules ask.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from workbench.model.edits import Edit
from workbench.model.errors import AlreadyEnded, AlreadyRunning, NeverFits, UnknownName, WouldCycle
from workbench.model.ids import is_task, set_of, split_task, task_id
from workbench.model.resources import Pool
from workbench.model.specs import Edge, SetSpec
from workbench.model.states import ACTIVE, ENDED, TaskState

from .graph import stage_of
from .state import FUNCTION, State, Task, least_need, need_of

# What takes an edit back; None where nothing can
Inverse = tuple[Edit, ...] | None


def close_to(name: str, known: Iterable[str]) -> str:
    """A hint for a name that is not known: `` (did you mean 'sim'?)``, or nothing."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f" (did you mean {near[0]!r}?)" if near else ""


class Draft:
    """State plus the edits looked at so far."""

    def __init__(self, state: State, lenient: bool = False) -> None:
        self.state = state
        self.lenient = lenient  # an edit that comes too late for all of its targets means nothing, in place of an error
        self.specs: dict[str, SetSpec] = {}  # added or changed sets
        self.new: set[str] = set()
        self.gone: set[str] = set()
        self.length: dict[str, int] = {}
        self.gone_tasks: set[str] = set()
        self.back_tasks: set[str] = set()
        self._new_out: dict[str, list[Edge]] = {}  # edges added by the draft, by the set that they leave
        self._new_in: dict[str, list[Edge]] = {}  # and by the set that they lead to
        self._known: dict[str, set[tuple[str, str, str]]] = {}  # every edge into a set
        self.gone_edges: set[Edge] = set()
        self.pools: dict[str, Pool] = dict(state.pools)
        self.stages: dict[str, int] = {}
        self.bars_functions = False  # the first real pool comes: functions may no longer use virtual nodes

    # --- sets and tasks ---
    def names(self) -> list[str]:
        return [n for n in self.state.sets if n not in self.gone] + [n for n in self.new if n not in self.gone]

    def has(self, name: str) -> bool:
        return name not in self.gone and (name in self.new or name in self.state.sets)

    def spec(self, name: str) -> SetSpec:
        """The set's spec; raises `UnknownName`."""
        if not self.has(name):
            raise UnknownName(f"there is no task set {name!r}{close_to(name, self.names())}", name)
        return self.specs[name] if name in self.specs else self.state.sets[name].spec

    def n(self, name: str) -> int:
        """Number of indices of a set, removed tasks included."""
        self.spec(name)
        return self.length[name] if name in self.length else len(self.state.sets[name].tasks)

    def require(self, target: str) -> None:
        """Raise `UnknownName` unless `target` is a set or a task."""
        if not is_task(target):
            self.spec(target)
            return
        try:
            name, index = split_task(target)
        except ValueError as e:
            raise UnknownName(str(e), target) from None
        n = self.n(name)
        if index >= n:
            raise UnknownName(f"there is no task {target!r}; set {name!r} has tasks 0 to {n - 1}", target)
        live = name in self.new or target in self.back_tasks or self.state.task(target) is not None
        if (not live and index < len(self.state.sets[name].tasks)) or target in self.gone_tasks:
            raise UnknownName(f"task {target!r} was removed; undo the removal to get it back", target)

    def existing(self, target: str) -> list[Task]:
        """The tasks behind a target that the state already knows (those that a draft adds have not started)."""
        self.require(target)
        if is_task(target):
            task = self.state.task(target)
            return [] if task is None else [task]
        if target in self.new:
            return []
        return [t for t in self.state.sets[target].live() if t.id not in self.gone_tasks]

    def not_started(self, target: str, what: str) -> None:
        """Raise unless nothing behind `target` has started."""
        for t in self.existing(target):
            if t.state in ACTIVE:
                raise AlreadyRunning(f"{t.id} is {t.state}: too late to {what}; cancel it first", t.id)
            if t.state in ENDED and t.state is not TaskState.skipped:
                raise AlreadyEnded(f"{t.id} is {t.state}: too late to {what}; retry or invalidate it first", t.id)

    # --- edges ---
    def out_of(self, name: str) -> Iterator[Edge]:
        """Edges that leave the set or one of its tasks."""
        if name in self.state.sets and name not in self.new:
            for link in self.state.sets[name].links():
                if link.edge not in self.gone_edges and link.dst.name not in self.gone:
                    yield link.edge
        for e in self._new_out.get(name, ()):
            if e not in self.gone_edges:
                yield e

    def into(self, name: str) -> Iterator[Edge]:
        """Edges that lead to the set or one of its tasks."""
        if name in self.state.sets and name not in self.new:
            for link in self.state.sets[name].into:
                if link.edge not in self.gone_edges and link.src.name not in self.gone:
                    yield link.edge
        for e in self._new_in.get(name, ()):
            if e not in self.gone_edges:
                yield e

    def has_out(self, name: str) -> bool:
        """Whether any edge leaves the set or one of its tasks."""
        return any(True for _ in self.out_of(name))

    def has_edge(self, edge: Edge) -> bool:
        name = set_of(edge.dst)
        if name not in self._known:
            self._known[name] = {(e.src, e.dst, e.kind) for e in self.into(name)}
        return (edge.src, edge.dst, edge.kind) in self._known[name]

    def add_edge(self, edge: Edge) -> None:
        """Lay an edge over the state; it was judged."""
        name = set_of(edge.dst)
        self._new_out.setdefault(set_of(edge.src), []).append(edge)
        self._new_in.setdefault(name, []).append(edge)
        self.gone_edges.discard(edge)
        if name in self._known:
            self._known[name].add((edge.src, edge.dst, edge.kind))
        self.stages.pop(name, None)

    def drop_edges(self, edges: Iterable[Edge]) -> None:
        """Take edges away."""
        for edge in edges:
            self.gone_edges.add(edge)
            name = set_of(edge.dst)
            self._known.pop(name, None)
            if edge in self._new_in.get(name, ()):  # added by this very command
                self._new_in[name].remove(edge)
                self._new_out[set_of(edge.src)].remove(edge)

    def check_acyclic(self, edge: Edge) -> None:
        """Raise `WouldCycle`, naming the path, if `edge` lets a task wait for itself. O(edges)."""
        if edge.kind == "each":
            if edge.src == edge.dst:
                raise WouldCycle(f"{edge.src} cannot depend on itself task by task", edge.src)
        elif set_of(edge.src) == set_of(edge.dst) and not (is_task(edge.src) and is_task(edge.dst)):
            raise WouldCycle(f"{edge.dst} cannot depend on {edge.src}, which holds or is itself", edge.dst)
        came: dict[str, str] = {edge.dst: edge.src}
        todo = [edge.dst]
        while todo:
            at = todo.pop()
            if self._meets(at, edge):
                path = [at]
                while path[-1] != edge.dst:
                    path.append(came[path[-1]])
                path.append(edge.src)
                path.reverse()
                middle = path if len(path) < 12 else [*path[:6], "...", *path[-5:]]
                raise WouldCycle("this would close a cycle: " + " > ".join(middle), edge.dst)
            for step in self._after(at):
                if step not in came:
                    came[step] = at
                    todo.append(step)

    def _meets(self, at: str, edge: Edge) -> bool:
        """Whether the tasks of `at` include one that `edge` makes others wait for."""
        if edge.kind == "each":
            return set_of(at) == edge.src
        if is_task(edge.src):
            return at in (edge.src, set_of(edge.src))
        return set_of(at) == edge.src

    def _after(self, at: str) -> Iterator[str]:
        name = set_of(at)
        index = split_task(at)[1] if is_task(at) else -1
        for e in self.out_of(name):
            if e.kind == "each":
                yield e.dst if index < 0 else task_id(e.dst, index)
            elif not is_task(e.src) or index < 0 or e.src == at:
                yield e.dst

    # --- stages ---
    def stage(self, name: str) -> int:
        """Stage of a set; of one that the draft adds, as it will be."""
        todo, seen = [name], {name}
        while todo:  # no recursion: one command may declare a chain of thousands of sets
            at = todo[-1]
            if at in self.stages or at not in self.new:
                todo.pop()
                continue
            before = [p for p in {set_of(e.src) for e in self.into(at)} - {at} if self.has(p)]
            first = [p for p in before if p in self.new and p not in self.stages and p not in seen]
            if first:
                todo += first
                seen.update(first)
                continue
            # What is still open here lies on a cycle of sets, which are in one stage anyway.
            known = [self.stages[p] if p in self.new else self.state.sets[p].stage for p in before if self._staged(p)]
            self.stages[at] = stage_of(self.specs[at], known)
            todo.pop()
        return self.stages[name] if name in self.stages else self.state.sets[name].stage

    def _staged(self, name: str) -> bool:
        return name in self.stages or name not in self.new

    # --- pools ---
    def add_pool(self, pool: Pool) -> None:
        """Declare a pool; it was judged."""
        if self.pools and pool.kind != "virtual" and all(p.kind == "virtual" for p in self.pools.values()):
            self.bars_functions = True
        self.pools[pool.name] = pool

    def check_whole(self) -> None:
        """What can only be judged once all edits are known: whether functions fit into the pools that they may use."""
        if self.bars_functions:
            for s in self.state.sets.values():
                if s.n_open and s.name not in self.gone and need_of(s.spec) == FUNCTION:
                    self.check_fits(self.spec(s.name))

    def check_fits(self, spec: SetSpec) -> None:
        """Raise `NeverFits` if pools are declared and none of them can ever hold a task of `spec`."""
        if not self.pools:
            return
        r = spec.resources
        need = need_of(spec)
        pools = self.pools.values()
        able = [p for p in pools if need >= least_need(p, pools)]
        if not able:
            raise NeverFits(
                f"task set {spec.name!r} runs a program, but every declared pool is virtual and only keeps time; "
                "declare a pool of real nodes, e.g. LocalPool()",
                spec.name,
            )
        if any(p.can_ever_hold(r) for p in able):
            return
        ask = f"{r.cores} cores, {r.gpus} GPUs" + (f", {r.memory} bytes of memory" if r.memory else "")
        have = "; ".join(
            f"pool {p.name!r} has {p.nodes} nodes of {p.shape.cores} cores, {p.shape.gpus} GPUs"
            + (f", {p.shape.memory} bytes" if p.shape.memory else "")
            for p in able
        )
        which, real = "no declared pool", ""
        if len(able) < len(self.pools):
            what = "a function" if need == FUNCTION else "a program"
            which, real = "no real pool", f", and {what} does not run on virtual nodes where there are real ones"
        raise NeverFits(
            f"task set {spec.name!r} asks for {r.nodes} node(s) with {ask} each, which {which} can ever hold "
            f"({have}){real}; ask for less or declare a larger pool",
            spec.name,
        )
