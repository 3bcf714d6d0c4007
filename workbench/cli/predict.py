"""`workbench predict`: when a campaign would finish on an allocation, before it runs or while it does."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from workbench.cli import directory as folders
from workbench.cli import source
from workbench.cli.text import count, line, plain, put, put_json, seconds
from workbench.core import State, evolve
from workbench.core.apply import full_spec
from workbench.core.copying import copy_state
from workbench.core.draft import Draft
from workbench.core.edits import validate
from workbench.core.policies import AUTO
from workbench.executors.pools import parse_memory
from workbench.model import edits as ed
from workbench.model.causes import Cause
from workbench.model.errors import BadValue, WorkbenchError
from workbench.model.events import CampaignCreated, CommandAccepted, NodeLeft
from workbench.model.resources import NodeShape, Pool
from workbench.predict.fitting import Allocation
from workbench.predict.overheads import NONE, Overheads, calibrate
from workbench.predict.prediction import Prediction, measured, predict

WIDTH = 100


@dataclass(frozen=True)
class Asked:
    """The options of the command; None where the user did not say."""

    nodes: int | None = None
    cores: int | None = None
    gpus: int = 0
    memory: str = "0"
    mode: str | None = None
    policy: str | None = None
    samples: int | None = None
    calibrate: str | None = None

    def pool(self) -> Pool | None:
        """The allocation; None for the campaign's own pools.

        Raises
        ------
        WorkbenchError
            For numbers that are no allocation.
        """
        memory = parse_memory(self.memory)
        if self.nodes is None and self.cores is None:
            if self.gpus or memory:
                raise BadValue("--gpus and --memory say what each node has; give --nodes and --cores, too", "nodes")
            return None
        if self.nodes is None or self.cores is None:
            missing = "--nodes" if self.nodes is None else "--cores"
            raise BadValue(f"an allocation needs --nodes and --cores; give {missing}, too", missing)
        Allocation.of(self.nodes, self.cores, self.gpus, memory)
        return Pool("allocation", self.nodes, NodeShape(self.cores, self.gpus, memory), "local")


def run(target: str, asked: Asked, as_json: bool) -> None:
    """Print the prediction.

    Raises
    ------
    WorkbenchError
        In one sentence: for an unknown name or an unreadable file, an allocation that can never hold a task, an unknown
        mode or policy, or nothing to predict or to calibrate from.
    """
    if asked.samples is not None and asked.samples < 1:
        raise BadValue(f"--samples {asked.samples} makes no sense; give 1 or more, or leave it out", "samples")
    pool = asked.pool()
    overheads = _overheads(asked.calibrate)
    state, at = _state(target, pool)
    for edit in _wanted(asked):
        _command(state, (edit,))
    found = predict(state, at, asked.samples, overheads)
    if as_json:
        put_json(as_dict(state, found, overheads))
        return
    shown = rich(state, found, overheads)
    if sys.stdout.isatty():
        Console(highlight=False, markup=False, emoji=False).print(shown)
        return
    console = Console(width=WIDTH, color_system=None, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(shown)
    put("\n".join(part.rstrip() for part in captured.get().rstrip().splitlines()))


def _overheads(directory: str | None) -> Overheads:
    if directory is None:
        return NONE
    path = Path(directory).expanduser()
    if not path.is_dir():
        raise WorkbenchError(f"--calibrate {directory}: there is no such directory; name one of a campaign that ran")
    return calibrate(folders.state(folders.require(path)))


def _wanted(asked: Asked) -> list[ed.Edit]:
    edits: list[ed.Edit] = []
    if asked.mode is not None:
        edits.append(ed.SetMode(asked.mode))
    if asked.policy is not None:
        edits.append(ed.SetPolicy(asked.policy))
    return edits


# --- the state that is predicted --------------------------------------------------------------------------------------


def _state(target: str, pool: Pool | None) -> tuple[State, float]:
    """What `target` names, on `pool` (None: its own), and the present time on its clock.

    An ended campaign is predicted from its start, one that has begun from where it is.
    """
    path = Path(target).expanduser()
    if not path.is_dir():
        return _on(_declared(target, pool), pool), 0.0
    path = folders.require(path)
    state = folders.state(path)
    if state.size and state.ended:
        return _from_start(state, pool), 0.0
    at = max(state.at, time.time()) if folders.holder(path) is not None else state.at
    return _on(state, pool, at), at


def _declared(target: str, pool: Pool | None) -> State:
    """The campaign as declared, judged on the allocation where that is possible."""
    if pool is None:
        return source.declared(target)
    shape = pool.shape
    text = f"local,name={pool.name},nodes={pool.nodes},cores={shape.cores},gpus={shape.gpus},memory={shape.memory}"
    try:
        return source.declared(target, source.Wishes(pool=text))
    except source.Unwanted:  # a file that made its campaign itself, with pools of its own
        return source.declared(target)


def _on(state: State, pool: Pool | None, at: float = 0.0) -> State:
    """`state` on other nodes: attempts under way begin again, unless these are the nodes that it has."""
    if pool is None or _same(state, pool):
        return state
    draft = Draft(State())
    draft.pools = {pool.name: pool}
    for s in state.sets.values():
        if s.n_open:
            draft.check_fits(s.spec)
    found = copy_state(state)
    for node in list(found.nodes):
        evolve(found, NodeLeft(max(at, found.at), node, Cause.EngineLost))
    found.pools.clear()
    evolve(found, CommandAccepted(max(at, found.at), "on the allocation", (ed.AddPool(pool),)))
    found.most = (0, 0, 0)
    return found


def _same(state: State, pool: Pool) -> bool:
    own = list(state.pools.values())
    return len(own) == 1 and (own[0].nodes, own[0].shape) == (pool.nodes, pool.shape)


def _from_start(state: State, pool: Pool | None) -> State:
    """The campaign as it would be declared now: as it ended up, with durations as estimated, else as measured."""
    fresh = State()
    evolve(fresh, CampaignCreated(0.0, state.id, state.name, state.seed, state.mode, state.policy))
    pools = list(state.pools.values()) if pool is None else [pool]
    _command(fresh, tuple(ed.AddPool(p) for p in pools))
    late: list[ed.Edit] = []
    for name, s in state.sets.items():
        spec = full_spec(s)
        if spec.estimate is None:
            spec = msgspec.structs.replace(spec, estimate=measured(s, state.time_scale))
        early = tuple(x.edge for x in s.into if x.src.name in fresh.sets)
        _command(fresh, (ed.AddSet(spec, early),))
        if rest := tuple(x.edge for x in s.into if x.edge not in set(early)):
            late.append(ed.AddEdges(rest))
        if s.removed:
            late.append(ed.RemoveTasks(tuple(f"{name}[{i}]" for i in sorted(s.removed))))
        late += [ed.SetPriority(t.id, t.priority) for t in s.live() if t.priority is not None]
    if late:
        _command(fresh, tuple(late))
    return fresh


def _command(state: State, edits: tuple[ed.Edit, ...]) -> None:
    """Fold a command that keeps the rules; raises the refusal."""
    command = ed.Command(f"predict {state.seq}", edits)
    validate(state, command)
    evolve(state, CommandAccepted(state.at, command.id, edits))


# --- what is shown ----------------------------------------------------------------------------------------------------


def as_dict(state: State, p: Prediction, overheads: Overheads) -> dict[str, Any]:
    """The object of ``--json``; times in unscaled seconds from the first assignment."""
    pools = [
        {"name": x.name, "nodes": x.nodes, "cores": x.shape.cores, "gpus": x.shape.gpus, "memory": x.shape.memory}
        for x in state.pools.values()
    ]
    return {
        "name": state.name,
        "tasks": p.tasks,
        "edges": p.edges,
        "depth": p.depth,
        "open": p.open_tasks,
        "lower_bound": p.lower_bound_s,
        "makespan": p.makespan_s,
        "p10": p.p10_s,
        "p50": p.p50_s,
        "p90": p.p90_s,
        "samples": p.samples,
        "mode": p.mode,
        "policy": p.policy,
        "auto": state.policy == AUTO,
        "reason": p.reason,
        "modes": p.modes,
        "alternatives": p.alternatives,
        "core_hours": p.core_hours,
        "gpu_hours": p.gpu_hours,
        "pools": pools,
        "overheads": {
            "launch": overheads.launch_s,
            "transition": overheads.transition_s,
            "rate": overheads.rate if math.isfinite(overheads.rate) else None,
        },
    }


def rich(state: State, p: Prediction, overheads: Overheads) -> RenderableType:
    """For a terminal. Names are a user's: they go in as text, never as markup."""
    head = Text(line(state.name), style="bold")
    size = f"{count(p.tasks, 'task')}, {count(p.edges, 'edge')}, {count(p.depth, 'task')} deep"
    left = f", {p.open_tasks} still open" if p.open_tasks < p.tasks else ""
    head.append(f"  {size}{left}", style="not bold")
    parts: list[RenderableType] = [head, Text(f"on {' and '.join(_nodes(x) for x in state.pools.values())}"), Text()]
    exact = p.samples == 0
    finish = Table.grid(padding=(0, 2))
    finish.add_column()
    finish.add_column(justify="right")
    finish.add_column()
    finish.add_row("makespan", Text(seconds(p.makespan_s), style="bold"), "exact durations" if exact else "P50")
    if not exact:
        finish.add_row("P10 to P90", f"{seconds(p.p10_s)} to {seconds(p.p90_s)}", count(p.samples, "sampled future"))
    finish.add_row("lower bound", seconds(p.lower_bound_s), _above(p.makespan_s, p.lower_bound_s))
    finish.add_row("core-hours", f"{p.core_hours:.4g}", "")
    if p.gpu_hours:
        finish.add_row("GPU-hours", f"{p.gpu_hours:.4g}", "")
    parts += [finish, Text(), _modes(p)]
    told = Text(f"\npolicy {plain(p.policy)}" + (", chosen by auto" if state.policy == AUTO else ""))
    if p.reason:
        told.append(f"\n  {plain(p.reason)}", style="dim")
    parts.append(told)
    if overheads != NONE:
        rate = f", {overheads.rate:.3g} launches a second" if math.isfinite(overheads.rate) else ""
        launch, transition = seconds(overheads.launch_s), seconds(overheads.transition_s)
        parts.append(Text(f"overheads as calibrated: {launch} a task, {transition} from set to set{rate}"))
    return Group(*parts)


def _modes(p: Prediction) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    table.add_column("mode")
    table.add_column("makespan", justify="right")
    table.add_column("against sequential", justify="right")
    table.add_column("above the bound", justify="right")
    slow = p.modes["sequential"]
    for mode, makespan in p.modes.items():
        gain = 1 - makespan / slow if slow else 0.0
        less = "" if mode == "sequential" else f"{abs(gain):.1%} {'less' if gain >= 0 else 'more'}"
        style = "bold" if mode == p.mode else ""
        table.add_row(mode, seconds(makespan), less, _above(makespan, p.lower_bound_s), style=style)
    return table


def _above(makespan: float, bound: float) -> str:
    if bound <= 0:
        return ""
    over = makespan / bound - 1
    return "reached" if over < 5e-5 else f"{over:.1%}"


def _nodes(pool: Pool) -> str:
    shape = pool.shape
    gpus = f" and {count(shape.gpus, 'GPU')}" if shape.gpus else ""
    memory = f", {shape.memory / 2**30:.4g} GiB" if shape.memory else ""
    return f"{count(pool.nodes, 'node')} of {count(shape.cores, 'core')}{gpus}{memory}"
