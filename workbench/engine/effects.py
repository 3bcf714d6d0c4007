"""Events into actions: what an executor has to do so that the world agrees with the state."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from workbench.core.apply import targets
from workbench.core.drain import draining
from workbench.core.edits import effective_parameters
from workbench.core.sample import draw_tx
from workbench.core.state import SetState, State, Task
from workbench.model import edits as ed
from workbench.model.actions import Action, Launch, Provide, SetPlan, Stop, Tell
from workbench.model.events import AttemptAssigned, CommandAccepted
from workbench.model.specs import Member, Result, SetSpec, Synthetic
from workbench.model.states import ACTIVE, TaskState


def provide(state: State, pool: str, now: bool = False) -> Provide:
    """Bring `pool` to what the state says, its nodes that drain included."""
    return Provide(pool, state.pools[pool].nodes, retire=draining(state, pool), now=now)


class Effects:
    """Builds actions; remembers what all attempts of a set share."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._plans: dict[str, tuple[SetSpec, SetPlan]] = {}
        self._version = 0
        self._whole: dict[str, tuple[Result, ...]] = {}  # results of sets that are done

    def launch(self, event: AttemptAssigned) -> Launch | None:
        """Start the attempt that was assigned; None if the task was taken away since."""
        state = self._state
        task = state.task(event.task)
        if task is None or task.number != event.number:
            return None
        s = task.set
        member = task.member
        if task.steered:
            own = {k: v for k, v in effective_parameters(s, task).items() if s.spec.parameters.get(k, ...) != v}
            member = msgspec.structs.replace(member or Member(), parameters=own)
        duration = 0.0
        if isinstance(s.spec.work, Synthetic):
            estimate = member.estimate if member is not None and member.estimate is not None else s.spec.estimate
            duration = draw_tx(estimate, state.seed, event.task) * state.time_scale
        return Launch(
            plan=self._plan(s),
            index=task.index,
            placed=event,
            member=member,
            inputs=self._inputs(task) if s.into_whole or s.into_task else {},
            duration_s=duration,
        )

    def after_command(self, event: CommandAccepted) -> Iterator[Action]:
        """What an accepted command asks of running attempts and pools."""
        self._whole.clear()
        state = self._state
        for edit in event.edits:
            if isinstance(edit, ed.Cancel):
                for t in targets(state, edit.targets):
                    if t.state is TaskState.cancelling:
                        yield Stop(t.id, t.number, t.node, edit.grace_s)
            elif isinstance(edit, ed.Steer):
                for t in targets(state, (edit.target,)):
                    if t.state in ACTIVE:
                        yield Tell(t.id, t.number, t.node, edit.parameters, edit.stop)
            elif isinstance(edit, ed.AddPool):
                yield Provide(edit.pool.name, edit.pool.nodes, edit.pool)
            elif isinstance(edit, ed.ScalePool):
                # As the whole command left it: it may scale a pool twice.
                yield provide(state, edit.pool, now=not edit.drain)

    def _plan(self, s: SetState) -> SetPlan:
        known = self._plans.get(s.name)
        if known is not None and known[0] is s.spec:
            return known[1]
        self._version += 1
        spec = s.spec
        plan = SetPlan(
            key=f"{s.name}@{self._version}",
            set=s.name,
            n=len(s.tasks),
            work=spec.work,
            args=spec.args,
            resources=spec.resources,
            parameters=spec.parameters,
            timeout_s=spec.timeout_s,
            time_scale=self._state.time_scale if isinstance(spec.work, Synthetic) else 1.0,
        )
        self._plans[s.name] = (spec, plan)
        return plan

    def _inputs(self, task: Task) -> dict[str, tuple[Result, ...]]:
        found: dict[str, tuple[Result, ...]] = {}
        for link in task.set.links_to(task.index):
            if not link.edge.data:
                continue
            if link.each:
                src = link.src.tasks[task.index] if task.index < len(link.src.tasks) else None
                if src is not None and src.result is not None:
                    found[f"{link.src.name}/each"] = (src.result,)
            elif link.si >= 0:
                src = link.src.tasks[link.si]
                if src is not None and src.result is not None:
                    found[link.edge.src] = (src.result,)
            else:
                found[link.src.name] = self._of_set(link.src)
        return found

    def _of_set(self, s: SetState) -> tuple[Result, ...]:
        known = self._whole.get(s.name)
        if known is None:
            known = self._whole[s.name] = tuple(t.result for t in s.live() if t.result is not None)
        return known
