"""What must hold after every event; `check` recounts everything from scratch and compares."""

from __future__ import annotations

from collections import Counter

from workbench.model.events import AttemptAssigned
from workbench.model.states import ACTIVE, TaskState

from .flow import facts, gate_open
from .state import SetState, State
from .transitions import BROKEN, DONE, KIND


def check(state: State) -> list[str]:
    """Sentences about everything that is wrong; empty for a sound state. O(tasks + edges + nodes)."""
    wrong: list[str] = []
    total: Counter[TaskState] = Counter()
    queued = {id(e[3]) for heap in state.queues.values() for e in heap if e[3].order == e[2]}
    on_nodes: Counter[str] = Counter()
    for n in state.nodes.values():
        for t in n.holding:
            on_nodes[t.id] += 1
        for t in n.queue:
            on_nodes[t.id] += 1
    for s in state.sets.values():
        wrong += _check_set(state, s)
        for t in s.live():
            total[t.state] += 1
            if t.state is TaskState.ready and id(t) not in queued:
                wrong.append(f"{t.id} is ready but in no queue")
            spread = 1 + len(t.others)
            if t.state in ACTIVE:
                if on_nodes[t.id] != (1 if t.queued else spread):
                    wrong.append(f"{t.id} is {t.state} but counted on {on_nodes[t.id]} nodes, not {spread}")
            elif on_nodes[t.id]:
                wrong.append(f"{t.id} is {t.state} but still counted on a node")
            if (t.result is not None) != (t.state is TaskState.done):
                wrong.append(f"{t.id} is {t.state} and {'has' if t.result else 'lacks'} a result")
    for st in TaskState:
        if state.counts[st] != total[st]:
            wrong.append(f"the campaign counts {state.counts[st]} {st} tasks, there are {total[st]}")
    wrong += _check_nodes(state)
    for s in state.sets.values():
        wrong += [f"{s.name} of stage {s.stage} waits for {p}" for p in s.preds if state.sets[p].stage > s.stage]
    open_stages = Counter(s.stage for s in state.sets.values() if s.n_open)
    if {k: v for k, v in state.stage_open.items() if v} != dict(open_stages):
        wrong.append(f"open stages are {dict(open_stages)}, counted {state.stage_open}")
    if open_stages and state.barrier != min(open_stages):
        wrong.append(f"the barrier is at {state.barrier}, the earliest open stage is {min(open_stages)}")
    return wrong


def check_decision(state: State, decision: AttemptAssigned) -> list[str]:
    """Sentences about what is wrong with a decision that is about to be folded; empty for a sound one.

    Not part of `check`, because journals of versions that knew no draining hold assignments onto nodes that drain now.
    """
    wrong: list[str] = []
    for name in (decision.node, *(share.node for share in decision.others)):
        node = state.nodes.get(name)
        if node is None:
            wrong.append(f"{decision.task} is given to {name}, which is not there")
        elif node.draining:
            wrong.append(f"{decision.task} is given to {name}, which is draining")
    return wrong


def _check_set(state: State, s: SetState) -> list[str]:
    wrong: list[str] = []
    tasks = list(s.live())
    counts = Counter(t.state for t in tasks)
    if {k: v for k, v in s.counts.items() if v} != dict(counts):
        wrong.append(f"set {s.name} counts {s.counts}, there are {dict(counts)}")
    kinds = Counter(KIND[t.state] for t in tasks)
    if (s.size, s.n_done, s.n_broken) != (len(tasks), kinds[DONE], kinds[BROKEN]):
        wrong.append(f"set {s.name}: size, done, broken are {(s.size, s.n_done, s.n_broken)}, not {kinds}")
    missing = broken = 0
    for link in s.into:
        if link.each:
            continue
        done, hurt, _ = facts(link.src)
        if link.si >= 0:
            src = link.src.tasks[link.si]
            done, hurt = (True, False) if src is None else (src.state is TaskState.done, KIND[src.state] == BROKEN)
        if (link.missing, link.broken) != (not done, hurt):
            wrong.append(f"edge {link.edge.src} > {link.edge.dst} says {(link.missing, link.broken)}")
        if link.di < 0:
            missing += not done
            broken += hurt
    if (s.missing, s.broken) != (missing, broken):
        wrong.append(f"set {s.name} counts {s.missing} missing, {s.broken} broken inputs, not {missing}, {broken}")
    blockers = sum(state.sets[p].n_open > 0 for p in s.preds if state.sets[p].component != s.component)
    if s.blockers != blockers:
        wrong.append(f"set {s.name} counts {s.blockers} sets before it that have not ended, there are {blockers}")
    for t in tasks:
        mine = [x for x in s.links_to(t.index) if x.each or x.di >= 0]
        need = hurt_n = 0
        for x in mine:
            src = (x.src.tasks[t.index] if t.index < len(x.src.tasks) else None) if x.each else None
            if x.each:
                need += src is not None and src.state is not TaskState.done
                hurt_n += src is not None and KIND[src.state] == BROKEN
            else:
                need += x.missing
                hurt_n += x.broken
        if (t.missing, t.broken) != (need, hurt_n):
            wrong.append(f"{t.id} counts {t.missing} missing, {t.broken} broken inputs, not {need}, {hurt_n}")
        whole = need + missing == 0
        if t.state is TaskState.held and not (t.held or t.input_hold):
            wrong.append(f"{t.id} is held by nobody")
        if t.state is TaskState.ready and not (whole and gate_open(state, s) and not t.held):
            wrong.append(f"{t.id} is ready although an input is missing, its barrier is closed or it is held")
        if t.state is TaskState.waiting and whole and gate_open(state, s) and not t.held and not hurt_n + broken:
            wrong.append(f"{t.id} waits for nothing")
        if t.state in (TaskState.waiting, TaskState.ready) and hurt_n + broken:
            wrong.append(f"{t.id} is {t.state} although an input failed")
        if t.state is TaskState.skipped and not hurt_n + broken:
            wrong.append(f"{t.id} is skipped although no input failed")
    return wrong


def _check_nodes(state: State) -> list[str]:
    wrong: list[str] = []
    for n in state.nodes.values():
        cores, memory = n.cores, n.memory
        gpus = set(range(n.gpus))
        for t in n.holding:
            cores -= t.cores
            memory -= t.memory
            mine = t.gpus if t.node == n.name else next((x.gpus for x in t.others if x.node == n.name), ())
            if not gpus.issuperset(mine):
                wrong.append(f"{t.id} holds GPUs {mine} of {n.name}, which are not all its own")
            gpus -= set(mine)
            if t.state not in ACTIVE or t.queued:
                wrong.append(f"{t.id} holds slots of {n.name} while it is {t.state}")
        if cores < 0 or (n.memory and memory < 0):
            wrong.append(f"{n.name} is overbooked: {cores} cores, {memory} bytes left")
        if (n.free_cores, n.free_memory, n.free_gpus) != (cores, memory, sorted(gpus)):
            wrong.append(f"{n.name} says {n.free_cores} cores and GPUs {n.free_gpus} are free, not {cores}, {gpus}")
        pool = state.pools.get(n.pool)
        staying = sum(m.pool == n.pool and not m.draining for m in state.nodes.values())
        if pool is not None and staying > pool.nodes:
            wrong.append(f"{staying} nodes of pool {n.pool} take work, it wants {pool.nodes}")
        if len(n.queue) > n.prefetch:
            wrong.append(f"{n.name} has {len(n.queue)} queued attempts, more than {n.prefetch}")
    return wrong
