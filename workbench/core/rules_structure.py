"""Rules about the shape of a campaign: pools, sets, tasks, edges. See `core.edits`."""

from __future__ import annotations

import msgspec

from workbench.model import edits as ed
from workbench.model.errors import BadValue, DuplicateName, StillNeeded, UnknownName
from workbench.model.ids import is_task, set_of, split_task, task_id
from workbench.model.specs import Edge, Member

from .apply import full_spec
from .draft import Draft, Inverse, close_to
from .values import check_estimate, check_json, check_pool, check_spec


def add_pool(d: Draft, e: ed.AddPool) -> Inverse:
    """A pool needs a new name and at least one node with a core; the first real one, room for the open functions."""
    check_pool(e.pool)
    if e.pool.name in d.pools:
        raise DuplicateName(f"there is a pool {e.pool.name!r} already; scale it or choose another name", e.pool.name)
    d.add_pool(e.pool)
    return None


def scale_pool(d: Draft, e: ed.ScalePool) -> Inverse:
    """What still has to run must fit into what is left."""
    pool = d.pools.get(e.pool)
    if pool is None:
        known = close_to(e.pool, d.pools) or (f"; the campaign's pools are {', '.join(d.pools)}" if d.pools else "")
        raise UnknownName(f"there is no pool {e.pool!r}{known}", e.pool)
    if e.nodes < 0:
        raise BadValue(f"pool {e.pool!r}: nodes={e.nodes} makes no sense; use 0 or more", e.pool)
    d.pools[e.pool] = msgspec.structs.replace(pool, nodes=e.nodes)
    if e.nodes < pool.nodes:
        for s in d.state.sets.values():
            if s.n_open and s.name not in d.gone:
                d.check_fits(d.spec(s.name))
    return (ed.ScalePool(e.pool, pool.nodes),)


def add_set(d: Draft, e: ed.AddSet) -> Inverse:
    """A set needs a new name, values that mean something, a pool that can hold it, and edges that close no cycle."""
    spec = e.spec
    check_spec(spec)
    if d.has(spec.name):
        raise DuplicateName(f"there is a task set {spec.name!r} already; choose another name", spec.name)
    d.check_fits(spec)
    d.new.add(spec.name)
    d.gone.discard(spec.name)
    d.specs[spec.name] = spec
    d.length[spec.name] = spec.n
    for edge in e.edges:
        if set_of(edge.dst) != spec.name and set_of(edge.src) != spec.name:
            raise BadValue(f"the edge {edge.src} > {edge.dst} has nothing to do with set {spec.name!r}", spec.name)
        _add_edge(d, edge)
    return (ed.RemoveSet(spec.name),)


def remove_set(d: Draft, e: ed.RemoveSet) -> Inverse:
    """None of its tasks has started, and nobody uses their results."""
    d.spec(e.name)
    d.not_started(e.name, "remove its set")
    for edge in d.out_of(e.name):
        if edge.data and set_of(edge.dst) != e.name:
            raise StillNeeded(f"{edge.dst} uses the result of {edge.src}; remove {set_of(edge.dst)} first", edge.dst)
    back: list[ed.Edit] = []
    if e.name not in d.new:
        s = d.state.sets[e.name]
        edges = dict.fromkeys([*d.into(e.name), *d.out_of(e.name)])
        spec = full_spec(s)
        added = d.n(e.name) - spec.n  # by this very command; their own inverse, which comes later, takes them out
        if added > 0:
            members = (*spec.members, *[Member()] * added) if spec.members else ()
            spec = msgspec.structs.replace(spec, n=spec.n + added, members=members)
        back.append(ed.AddSet(spec, tuple(edges)))
        every = [*s.live(), *s.removed.values()]
        held = tuple(t.id for t in every if t.held)
        if held:
            back.append(ed.Hold(held))
        back += [ed.SetPriority(t.id, t.priority) for t in every if t.priority is not None]
        gone = {task_id(e.name, i) for i in s.removed} - d.back_tasks | {t for t in d.gone_tasks if set_of(t) == e.name}
        if gone:
            back.append(ed.RemoveTasks(tuple(sorted(gone, key=lambda t: split_task(t)[1]))))
    else:
        edges = dict.fromkeys([*d.into(e.name), *d.out_of(e.name)])
        back.append(ed.AddSet(d.specs[e.name], tuple(edges)))
    d.drop_edges(edges)
    d.new.discard(e.name)
    d.specs.pop(e.name, None)
    d.length.pop(e.name, None)
    d.gone.add(e.name)
    return tuple(back)


def _check_growable(d: Draft, name: str, what: str) -> None:
    """Whoever waits for the whole set must not have started."""
    for edge in d.out_of(name):
        if edge.src == name and edge.kind == "all":
            d.not_started(edge.dst, f"{what} {name}, which it waited for")


def add_tasks(d: Draft, e: ed.AddTasks) -> Inverse:
    """Whoever waits for the whole set must not have started."""
    spec = d.spec(e.set)
    count = len(e.members) or e.n
    if count < 1 or (e.members and e.n not in (0, len(e.members))):
        raise BadValue(f"set {e.set!r}: add at least one task, with n equal to the number of members", e.set)
    for i, m in enumerate(e.members):
        check_json(m.parameters, f"{e.set}[+{i}]")
        check_estimate(m.estimate, f"{e.set}[+{i}]")
    _check_growable(d, e.set, "add tasks to")
    first = d.n(e.set)
    for edge in d.into(e.set):
        if edge.kind == "each" and d.n(edge.src) < first + count:
            raise BadValue(
                f"{e.set!r} follows {edge.src!r} task by task, which has only {d.n(edge.src)} tasks; add to it first",
                e.set,
            )
    d.specs[e.set] = spec
    d.length[e.set] = first + count
    return (ed.RemoveTasks(tuple(task_id(e.set, first + i) for i in range(count))),)


def remove_tasks(d: Draft, e: ed.RemoveTasks) -> Inverse:
    """They have not started, and nobody uses their results."""
    for target in dict.fromkeys(e.tasks):
        if not is_task(target):
            raise BadValue(f"{target!r} is not one task; remove tasks by ids such as {target}[0]", target)
        d.not_started(target, "remove it")
        name, index = split_task(target)
        for edge in d.out_of(name):
            used = edge.src == target or (edge.kind == "each" and index < d.n(edge.dst))
            dst = task_id(edge.dst, index) if edge.kind == "each" else edge.dst
            if used and edge.data and dst not in d.gone_tasks:
                raise StillNeeded(f"{dst} uses the result of {target}; remove it first", dst)
        d.gone_tasks.add(target)
        d.back_tasks.discard(target)
    if not e.tasks:
        raise BadValue("name at least one task to remove")
    return (ed.RestoreTasks(tuple(dict.fromkeys(e.tasks))),)


def restore_tasks(d: Draft, e: ed.RestoreTasks) -> Inverse:
    """They were removed, and whoever waits for the whole set has not started."""
    for target in e.tasks:
        name, index = split_task(target) if is_task(target) else (target, -1)
        d.spec(name)
        s = d.state.sets.get(name)
        removed = target in d.gone_tasks or (s is not None and index in s.removed and target not in d.back_tasks)
        if not removed:
            raise BadValue(f"{target!r} was not removed, so there is nothing to restore", target)
        _check_growable(d, name, "restore a task of")
        d.gone_tasks.discard(target)
        d.back_tasks.add(target)
    return (ed.RemoveTasks(e.tasks),)


def _add_edge(d: Draft, edge: Edge) -> None:
    if edge.kind not in ("all", "each"):
        raise BadValue(f"edge kind {edge.kind!r} is unknown; use 'all' or 'each'", edge.dst)
    d.require(edge.src)
    d.require(edge.dst)
    if edge.kind == "each":
        if is_task(edge.src) or is_task(edge.dst):
            raise BadValue("an edge from the i-th to the i-th task joins two sets, not tasks", edge.dst)
        if d.n(edge.dst) > d.n(edge.src):
            raise BadValue(
                f"{edge.dst!r} has {d.n(edge.dst)} tasks and {edge.src!r} only {d.n(edge.src)}; the i-th of one cannot "
                "follow the i-th of the other",
                edge.dst,
            )
    if d.has_edge(edge):
        raise DuplicateName(f"there is an edge {edge.src} > {edge.dst} already", edge.dst)
    if set_of(edge.dst) not in d.new:
        d.not_started(edge.dst, f"let it wait for {edge.src}")
    a, b = set_of(edge.src), set_of(edge.dst)
    outward = b not in d.new or a == b or d.has_out(b)
    if outward:
        d.check_acyclic(edge)
    declared = d.spec(b).stage
    if a != b and declared is not None and declared < d.stage(a):
        raise BadValue(
            f"set {b!r} is declared for stage {declared} but depends on {a!r} of stage {d.stage(a)}; sequential mode "
            "could never reach it. Give it a later stage",
            b,
        )
    d.add_edge(edge)


def add_edges(d: Draft, e: ed.AddEdges) -> Inverse:
    """Their ends exist, `dst` has not started, and no cycle closes."""
    if not e.edges:
        raise BadValue("name at least one edge to add")
    for edge in e.edges:
        _add_edge(d, edge)
    return (ed.RemoveEdges(e.edges),)


def remove_edges(d: Draft, e: ed.RemoveEdges) -> Inverse:
    """They exist, `dst` has not started and does not use the result."""
    found: list[Edge] = []
    for edge in e.edges:
        d.require(edge.src)
        d.require(edge.dst)
        same = [x for x in d.into(set_of(edge.dst)) if (x.src, x.dst, x.kind) == (edge.src, edge.dst, edge.kind)]
        if not same:
            raise UnknownName(f"there is no edge {edge.src} > {edge.dst} of kind {edge.kind!r}", edge.dst)
        if same[0].data:
            raise StillNeeded(
                f"{edge.dst} uses the result of {edge.src}, so the edge cannot go; remove {edge.dst} instead", edge.dst
            )
        d.not_started(edge.dst, f"free it from {edge.src}")
        d.drop_edges(same[:1])
        found.append(same[0])
    if not found:
        raise BadValue("name at least one edge to remove")
    return (ed.AddEdges(tuple(found)),)
