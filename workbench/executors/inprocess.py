"""Calling a task's function in this process, with the code that a worker's children use: what the fake cluster does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workbench import task
from workbench.executors.agent.calls import Caller
from workbench.executors.agent.context import TaskContext
from workbench.executors.agent.pipe import Call, Plan, Raised, Returned
from workbench.model.actions import Launch
from workbench.model.specs import Function
from workbench.task import Metric

Say = Callable[[dict[str, Metric], float | None], None]


class _Context(TaskContext):
    """What the function reports goes to `say` at once; it cannot be told anything once it runs."""

    def __init__(self, say: Say, *identity: Any) -> None:
        super().__init__(*identity)
        self._tell = say

    def _say(self, metrics: dict[str, Metric], progress: float | None) -> None:
        self._tell(metrics, progress)


class InProcess:
    """Runs functions of the campaign in `directory`, one at a time, in the calling thread."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._caller = Caller(directory, task.enter, mark=False)

    def call(self, launch: Launch, say: Say, steered: dict[str, Any], stop: bool = False) -> Returned | Raised:
        """Run one attempt of a `Function` to its end.

        Parameters
        ----------
        launch : Launch
            What to run.
        say : callable
            Gets metrics and progress that the function reports.
        steered, stop : dict, bool
            What the attempt was told before it runs.
        """
        work = launch.plan.work
        assert isinstance(work, Function)
        placed = launch.placed
        plan = Plan(launch.plan.key, launch.plan.set, work, launch.plan.args, launch.plan.parameters)
        call = Call(plan.key, placed.task, placed.number, launch.index, launch.member, launch.inputs, steered)

        def context(parameters: dict[str, Any]) -> TaskContext:
            made = _Context(say, placed.task, placed.number, launch.index, self.directory, parameters, None)
            made.steer({}, stop)
            return made

        return self._caller.run(plan, call, context)
