"""What `workbench.task.grow` gives a task: the declaring methods, collected as edits that travel with its result."""

from __future__ import annotations

import os
from typing import Any, NoReturn

from workbench.model.edits import Edit
from workbench.model.errors import BadValue
from workbench.model.ids import is_task, split_task
from workbench.model.specs import SetSpec
from workbench.store import Store

from . import options
from .declare import Declarer
from .handles import Owner
from .payloads import StorePacker


class Growth(Declarer):
    """Edits that a running task asks for; the engine judges them when the task's result is there.

    It knows no state of the campaign: sets that exist already are named (``g.handle("sim")``, ``g.handle("sim[3]")``),
    and nothing here can be asked for results.

    Parameters
    ----------
    directory : path
        The campaign's; large payloads go to its store.
    task : str
        Id of the task that grows, for names.
    """

    def __init__(self, directory: str | os.PathLike[str], task: str) -> None:
        super().__init__()
        self._packer_ = StorePacker(Store(directory))
        self._directory = os.path.realpath(directory)
        self._task = task
        self._edits: list[Edit] = []

    @property
    def edits(self) -> tuple[Edit, ...]:
        """What was asked for so far, in order."""
        return tuple(self._edits)

    @property
    def key(self) -> str:
        return f"{self._directory}+{self._task}"

    @property
    def _as_owner(self) -> Owner:
        return self

    def _submit(self, edits: tuple[Edit, ...]) -> None:
        self._local.collected = self._edits
        self._local.collect(edits)

    # ------------------------------------------------------------------ what is known
    def _exists(self, name: str) -> bool:
        return False

    def _may_exist(self, name: str) -> bool:
        return True

    def _existing_spec(self, name: str) -> SetSpec | None:
        return None

    def _next_stage(self) -> int:
        raise BadValue("a task does not know which stages are taken: say the number, as in g.stage(7)", "stage")

    def _free_name(self, label: str) -> str:
        # Two tasks that grow the graph with the same function must not choose the same name.
        if is_task(self._task):
            name, index = split_task(self._task)
            label = f"{options.name_from(label)[:30]}.{name[-20:]}.{index}"
        return super()._free_name(label)

    # ------------------------------------------------------------------ what handles ask
    def _set_indices(self, name: str, declared: int | None) -> range | list[int]:
        if declared is None:
            raise BadValue(f'a task cannot know the size of {name}: say it, as in g.handle("{name}", n=96)', name)
        return range(declared)

    def _set_has(self, name: str, index: int, declared: int | None) -> bool:
        return declared is not None and index < declared

    def _refuse(self, target: str) -> NoReturn:
        raise BadValue(
            f"{target} cannot be asked from inside a task: pass its handle to a task that is declared here",
            target,
        )

    def _task_result(self, task: str, timeout_s: float | None) -> Any:
        self._refuse(task)

    def _task_state(self, task: str) -> Any:
        self._refuse(task)

    def _set_results(self, name: str, timeout_s: float | None) -> list[Any]:
        self._refuse(name)

    def _set_counts(self, name: str) -> dict[str, int]:
        self._refuse(name)

    def _story(self, target: str) -> str:
        self._refuse(target)
