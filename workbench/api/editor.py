"""The editing methods: each becomes the edit of its name and goes where `_submit` says.

Targets are handles, names of sets, ids of tasks, or iterables of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import msgspec

from workbench.model import edits as e
from workbench.model.errors import BadValue, UnknownName
from workbench.model.ids import SET_NAME, is_task, split_task
from workbench.model.specs import Edge, SetSpec
from workbench.model.states import MODES
from workbench.report.rows import CommandRow

from . import options
from .handles import Handle, Owner, check_owner
from .taskset import Target, Targets


class Editor(ABC):
    """Edits of what is declared. Subclasses say where they go and what a set is now."""

    @abstractmethod
    def _submit(self, edits: tuple[e.Edit, ...]) -> None:
        """Hand `edits` over together; raises the refusal."""

    @abstractmethod
    def _spec(self, name: str) -> SetSpec | None:
        """What a set is now, or None where that cannot be known."""

    def _as_declared(self, edge: Edge) -> Edge:
        """The existing edge that is meant by `edge`: a handle of a single task stands for its set, too."""
        names = [(name, split_task(name)[0]) if is_task(name) else (name,) for name in (edge.src, edge.dst)]
        for src in names[0]:
            for dst in names[1]:
                one = Edge(src, dst, edge.kind)
                if all(self._single(x) for x in (src, dst) if x not in (edge.src, edge.dst)) and self._joined(one):
                    return one
        return edge

    def _single(self, name: str) -> bool:
        spec = self._spec(name)
        return spec is not None and spec.n == 1

    def _joined(self, edge: Edge) -> bool:
        """Whether there is exactly this edge, as far as that can be known here."""
        return False

    @property
    @abstractmethod
    def _as_owner(self) -> Owner:
        """The owner of the handles that this gives out."""

    # ------------------------------------------------------------------ the graph
    def connect(self, src: Targets, dst: Targets, kind: str = "all") -> None:
        """Make `dst` wait for `src`: for all of it, or with ``kind="each"`` the i-th task for the i-th."""
        self._submit((e.AddEdges(self._edges(src, dst, kind)),))

    def disconnect(self, src: Targets, dst: Targets, kind: str = "all") -> None:
        """Undo `connect`, or drop a dependency that ``after=`` made (one that carries a result cannot be dropped)."""
        self._submit((e.RemoveEdges(tuple(self._as_declared(edge) for edge in self._edges(src, dst, kind))),))

    def remove(self, *targets: Targets) -> None:
        """Remove sets or tasks that have not started, with their edges."""
        names = self._targets(*targets)
        tasks = tuple(name for name in names if is_task(name))
        edits: list[e.Edit] = [e.RemoveSet(name) for name in names if not is_task(name)]
        if tasks:
            edits.append(e.RemoveTasks(tasks))
        self._submit(tuple(edits))

    def replace(
        self,
        target: Target,
        *,
        cores: int | None = None,
        gpus: int | None = None,
        memory: int | str | None = None,
        nodes: int | None = None,
        estimate: Any = msgspec.UNSET,
        parameters: Any = msgspec.UNSET,
        timeout_s: Any = msgspec.UNSET,
        retries: int | msgspec.UnsetType = msgspec.UNSET,
        tags: Any = msgspec.UNSET,
        stage: Any = msgspec.UNSET,
        on_failed_input: str | msgspec.UnsetType = msgspec.UNSET,
    ) -> None:
        """Change what a set is, for its attempts that have not started; of one task, its parameters and estimate.

        What is left out stays. `parameters` replaces the whole dictionary.
        """
        name = self._target(target)
        wanted = {"cores": cores, "gpus": gpus, "memory": memory, "nodes": nodes}
        wanted = {key: value for key, value in wanted.items() if value is not None}
        resources: Any = msgspec.UNSET
        if wanted:
            spec = None if is_task(name) else self._spec(name)
            if spec is None:
                raise BadValue(
                    f"{name}: resources are those of a whole set that is known here"
                    + (f": replace them on {split_task(name)[0]}" if is_task(name) else ""),
                    name,
                )
            now = spec.resources
            # An MPI set keeps its stated cores; only a declaration derives them from its ranks.
            resources = options.resources(
                spec.work,
                wanted.get("cores", now.cores),
                wanted.get("gpus", now.gpus),
                wanted.get("memory", now.memory),
                wanted.get("nodes", now.nodes),
            )
        edit = e.ReplaceSpec(
            name,
            resources=resources,
            estimate=_set(estimate, options.estimate),
            parameters=_set(parameters, options.parameters),
            timeout_s=_set(timeout_s, _timeout),
            retries=_set(retries, lambda value: options.whole(value, "retries", 0)),
            tags=_set(tags, options.tags),
            stage=_set(stage, lambda value: None if value is None else options.whole(value, "stage", 0)),
            on_failed_input=_set(
                on_failed_input, lambda value: options.choice(value, "on_failed_input", options.FAILED_INPUT)
            ),
        )
        if edit == e.ReplaceSpec(name):
            raise BadValue(f"{name}: replace changes nothing: give at least one field, such as cores=4", name)
        self._submit((edit,))

    # ------------------------------------------------------------------ the course
    def prioritize(self, target: Targets, priority: int) -> None:
        """Set the priority; higher starts first."""
        value = options.integer(priority, "priority")
        self._submit(tuple(e.SetPriority(name, value) for name in self._targets(target)))

    def hold(self, *targets: Targets) -> None:
        """Keep tasks that have not started from starting."""
        self._submit((e.Hold(self._targets(*targets)),))

    def release(self, *targets: Targets) -> None:
        """Undo `hold`."""
        self._submit((e.Release(self._targets(*targets)),))

    def cancel(self, *targets: Targets, grace_s: float = 2.0) -> None:
        """End tasks for good; running ones are killed after `grace_s` seconds. Cannot be undone, only retried."""
        self._submit((e.Cancel(self._targets(*targets), options.seconds(grace_s, "grace_s")),))

    def retry(self, *targets: Targets) -> None:
        """Run failed or cancelled tasks again, with a fresh retry budget; what was skipped for their sake follows."""
        self._submit((e.Retry(self._targets(*targets)),))

    def invalidate(self, *targets: Targets) -> None:
        """Forget results of done tasks, and of everything that depends on them, and run them again."""
        self._submit((e.Invalidate(self._targets(*targets)),))

    def steer(self, target: Targets, **parameters: Any) -> None:
        """Hand changed parameters to running attempts; they read them with `workbench.task.parameters()`."""
        if not parameters:
            raise BadValue("steer changes nothing: give at least one parameter, such as lr=0.1", "parameters")
        values = options.parameters(parameters)
        self._submit(tuple(e.Steer(name, values) for name in self._targets(target)))

    def request_stop(self, *targets: Targets) -> None:
        """Ask running attempts to end early and keep what they have (`workbench.task.should_stop()`)."""
        self._submit(tuple(e.Steer(name, stop=True) for name in self._targets(*targets)))

    def add_workflow(self, source: Any) -> None:
        """Declare the sets of a workflow of another tool, all or none: a WfFormat file, a networkx graph, pipelines.

        Raises
        ------
        BadWorkflow
            If `workbench.exchange.read` cannot make sense of `source`.
        EditRefused
            If the campaign cannot take it, for instance since a name is taken.
        """
        from workbench.exchange import read

        self._submit(read(source).edits)

    def set_mode(self, mode: str) -> None:
        """``sequential``, ``asynchronous`` or ``adaptive``."""
        self._submit((e.SetMode(options.choice(mode, "mode", MODES)),))

    def set_policy(self, policy: str) -> None:
        """Name of a policy: the order in which ready tasks start."""
        self._submit((e.SetPolicy(policy_name(policy)),))

    def scale(self, pool: str, nodes: int, *, drain: bool = True) -> None:
        """Want `nodes` nodes in `pool`.

        Parameters
        ----------
        pool : str
            Name of a declared pool.
        nodes : int
            How many. Fewer than are there: idle nodes leave first, then those with the least work left. They get
            nothing new, finish what runs on them, and then leave. More: nodes that were about to leave stay.
        drain : bool
            False: surplus nodes leave at once; attempts that run on them end (``Preempted``, which uses up no
            retries) and run again elsewhere.

        Raises
        ------
        UnknownName
            If there is no such pool.
        NeverFits
            If what still has to run would fit into no pool any more.
        """
        if not isinstance(pool, str):
            raise BadValue(f"a pool is called by its name, not {pool!r}", "pool")
        self._submit((e.ScalePool(pool, options.whole(nodes, "nodes", 0), options.truth(drain, "drain")),))

    # ------------------------------------------------------------------ targets
    def _target(self, target: Target) -> str:
        if isinstance(target, Handle):
            check_owner(target, self._as_owner)
            return target.target
        if isinstance(target, str):
            name = target
            if is_task(target):
                try:
                    name = split_task(target)[0]
                except ValueError as error:
                    raise UnknownName(str(error), target) from None
            if SET_NAME.fullmatch(name):
                return target
            raise UnknownName(f'{target!r} names nothing: write a set as "sim" and a task as "sim[3]"', target)
        raise BadValue(f"{target!r} is neither a handle nor a name of a set or task", "target")

    def _targets(self, *targets: Targets) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for target in targets:
            if isinstance(target, str | Handle) or not isinstance(target, Iterable):
                found[self._target(target)] = None  # type: ignore[arg-type]
            else:
                found.update(dict.fromkeys(self._target(one) for one in target))
        if not found:
            raise BadValue("this edit has no target: name at least one task or set", "target")
        return tuple(found)

    def _edges(self, src: Targets, dst: Targets, kind: str) -> tuple[Edge, ...]:
        options.choice(kind, "kind", ("all", "each"))
        sources, ends = self._targets(src), self._targets(dst)
        return tuple(Edge(a, b, kind) for b in ends for a in sources)


def policy_name(value: Any) -> str:
    """The name of a policy that exists."""
    from workbench.core.policies import policy_names

    return options.choice(value, "policy", policy_names())


def _set(value: Any, parse: Any) -> Any:
    return value if value is msgspec.UNSET else parse(value)


def _timeout(value: Any) -> float | None:
    return None if value is None else options.seconds(value, "timeout_s", zero=False)


def command_id(command: CommandRow | str) -> str:
    """The id of a command, given as a row of the history or as that id."""
    if isinstance(command, CommandRow):
        return command.id
    if isinstance(command, str) and command not in ("", e.UNDO, e.REDO):
        return command
    raise BadValue(f"{command!r} is no command: give a row of history(), or its id", "command")
