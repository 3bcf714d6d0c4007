"""From a declaration to edits: what `Campaign` and a task's growth have in common.

A `Declarer` turns ``task``, ``tasks``, ``map`` and ``add`` into one `AddSet` each, with the edges that the handles in
their arguments mean; the other methods (of `Editor`) become the edits of their name, and `_submit` is where all go. It
needs no session: a task that grows its campaign declares in the same words and only collects.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec

from workbench.model import specs
from workbench.model.edits import AddEdges, AddSet, AddTasks, Edit, RemoveSet, ReplaceSpec
from workbench.model.errors import BadValue, DuplicateName, UnknownName
from workbench.model.ids import is_task, split_task, task_id
from workbench.model.specs import Edge, Member, Payload, SetSpec

from . import options, works
from .editor import Editor
from .handles import Each, Handle, Item, Ref, SetHandle, TaskHandle, check_owner, declaring
from .taskset import Targets, TaskSet, Work, split_options, with_options

ITEM = Item()


class Packer(Protocol):
    """Turns code and arguments into payloads (`workbench.api.payloads`)."""

    def code(self, fn: Callable[..., Any], name: str) -> Payload: ...

    def call(self, args: tuple[Any, ...], keywords: dict[str, Any], name: str) -> tuple[Payload, Sequence[Ref]]: ...

    def item(self, value: Any, name: str) -> tuple[Payload, Sequence[Ref]]: ...


class _Local(threading.local):
    """What a thread has declared and not submitted yet, and the stage that it declares in."""

    def __init__(self) -> None:
        self.collected: list[Edit] | None = None
        self.pending: dict[str, SetSpec] = {}
        self.stage: int | None = None

    def collect(self, edits: Iterable[Edit]) -> None:
        """Keep `edits` for later, and what they declare for the names of further ones."""
        assert self.collected is not None
        for edit in edits:
            self.collected.append(edit)
            if isinstance(edit, AddSet):
                self.pending[edit.spec.name] = edit.spec
            elif isinstance(edit, ReplaceSpec) and edit.target in self.pending and edit.resources is not msgspec.UNSET:
                spec = self.pending[edit.target]
                self.pending[edit.target] = msgspec.structs.replace(spec, resources=edit.resources)
            elif isinstance(edit, RemoveSet):
                self.pending.pop(edit.name, None)


class Declarer(Editor):
    """The declaring methods. Subclasses say where edits go and what exists already."""

    _packer_: Packer

    def __init__(self) -> None:
        self._local = _Local()

    # ------------------------------------------------------------------ what subclasses say
    @property
    @abstractmethod
    def key(self) -> str:
        """Equal for two objects that speak of the same campaign."""

    @abstractmethod
    def _exists(self, name: str) -> bool:
        """Whether the campaign has a set of that name already."""

    @abstractmethod
    def _existing_spec(self, name: str) -> SetSpec | None:
        """What an existing set is, or None where that cannot be known."""

    @abstractmethod
    def _next_stage(self) -> int:
        """The first stage number that nothing uses."""

    @property
    def _packer(self) -> Packer:
        return self._packer_

    # ------------------------------------------------------------------ declaring
    @with_options
    def task(self, fn: Work, *args: Any, **options: Any) -> TaskHandle:
        """Declare one task: ``fn(*args, **parameters)``.

        Keyword arguments that are no option of `TaskSet` are the function's own: JSON values become parameters, which
        can be edited and steered; others are sent as they are. Handles among the arguments are dependencies.

        Raises
        ------
        EditRefused
            Naming the rule that it breaks; nothing was declared.
        NotSerializable
            If the function or an argument cannot be sent to a worker.
        """
        return TaskHandle(self._as_owner, self._declare(_taskset(fn, args, options)).name, 0)

    @with_options
    def tasks(self, fn: Work, *args: Any, n: int, **options: Any) -> SetHandle:
        """Declare `n` tasks that all call ``fn(*args, **parameters)``; see `task`."""
        return self._declare(_taskset(fn, args, options, n=n))

    @with_options
    def map(self, fn: Work, items: Iterable[Any] | SetHandle, *args: Any, **options: Any) -> SetHandle:
        """Declare one task for each item: ``fn(item, *args, **parameters)``; see `task`.

        The items of a set handle are its results, the i-th for the i-th task, which starts as soon as that one is done.
        """
        return self._declare(_taskset(fn, args, options, items=items))

    def add(self, taskset: TaskSet) -> SetHandle | TaskHandle:
        """Declare a `TaskSet`: a task handle for a single task, else a set handle."""
        if not isinstance(taskset, TaskSet):
            raise BadValue(f"add takes a TaskSet, not {taskset!r}: write task, tasks or map to declare without one")
        handle = self._declare(taskset)
        return TaskHandle(self._as_owner, handle.name, 0) if taskset.n is None and taskset.items is None else handle

    def extend(self, target: SetHandle | str, items: Iterable[Any] | None = None, *, n: int | None = None) -> None:
        """Append tasks to a set: `n` more of the same, or one for each of `items` where the set was mapped."""
        name = self._target(target)
        if (items is None) == (n is None):
            raise BadValue(f"{name}: say either how many tasks to add (n=4) or their items", name)
        if n is not None:
            self._submit((AddTasks(name, n=options.whole(n, "n", 1)),))
            return
        spec = self._spec(name)
        if spec is None:
            raise BadValue(
                f"{name}: its tasks are not known here, so items cannot be added to it: declare a new set", name
            )
        edges = _Edges()
        first = len(SetHandle(self._as_owner, name, spec.n)._indices())
        values = _listed(items, name)
        members = self._members(values, [{}] * len(values), spec.work, name, edges, first)
        edits: list[Edit] = [AddTasks(name, tuple(members))]
        if edges.found:
            edits.append(AddEdges(edges.tuple()))
        self._submit(tuple(edits))

    @contextmanager
    def stage(self, number: int | None = None) -> Iterator[int]:
        """Give everything declared inside the next stage number of ``sequential`` mode (or `number`)."""
        if self._local.stage is not None:
            raise BadValue("a stage cannot stand inside another: end the first one before", "stage")
        self._local.stage = self._next_stage() if number is None else options.whole(number, "stage", 0)
        try:
            yield self._local.stage
        finally:
            self._local.stage = None

    def handle(self, target: str, n: int | None = None) -> Any:
        """The handle of an existing set (``"sim"``) or task (``"sim[3]"``).

        `n` is the number of the set's tasks where that cannot be known, as inside a task.
        """
        self._target(target)
        name = split_task(target)[0] if is_task(target) else target
        if not self._may_exist(name):
            raise UnknownName(f"there is no task set {name!r}: {self._names_hint(name)}", name)
        if is_task(target):
            return TaskHandle(self._as_owner, *split_task(target))
        spec = self._spec(name)
        return SetHandle(self._as_owner, name, spec.n if spec is not None else n)

    # ------------------------------------------------------------------ from a TaskSet to an edit
    def _declare(self, ts: TaskSet) -> SetHandle:
        label = works.label_of(ts.fn)
        name = self._free_name(label) if ts.name is None else options.set_name(ts.name)
        if ts.name is not None and (name in self._local.pending or self._exists(name)):
            raise DuplicateName(f"there is already a task set {name!r}: choose another name, or leave name out", name)
        work = works.parse(ts.fn, self._pack_code, isolation=ts.isolation, preload=ts.preload, dask=ts.dask)
        edges = _Edges()
        with declaring(self._as_owner):
            spec = self._specify(ts, name, work, edges)
        for target in self._after(ts.after):
            edges.add(target, name)
        self._submit((AddSet(spec, edges.tuple()),))
        return SetHandle(self._as_owner, name, spec.n)

    def _specify(self, ts: TaskSet, name: str, work: specs.Work, edges: _Edges) -> SetSpec:
        if not isinstance(ts.args, list | tuple):
            raise BadValue(f"{name}: args must be a list or tuple of arguments, not {ts.args!r}", name)
        args = tuple(ts.args)
        mapped = ts.items is not None
        if mapped and ts.n is not None:
            raise BadValue(f"{name}: say either n or items, not both: the number of items is the number of tasks", name)
        values: Sequence[Any] | None = None
        if isinstance(ts.items, SetHandle):
            n = self._size_of(ts.items, name)
            args = (Each(ts.items), *args)
        elif mapped:
            values = _listed(ts.items, name)
            n = len(values)
            args = (ITEM, *args)
        else:
            n = 1 if ts.n is None else options.whole(ts.n, "n", 1)
        shared, own = self._parameters(ts, n)
        keywords_json, keywords = options.split_keywords(ts.keywords)
        for key in keywords_json.keys() & shared.keys() or keywords.keys() & shared.keys():
            raise BadValue(
                f"{name}: {key} is given twice, as a keyword argument and in parameters: write it once", name
            )
        shared = {**shared, **keywords_json}
        payload = self._arguments(ts.fn, work, args, keywords, shared, own, name, edges)
        if isinstance(work, specs.Function):
            work = msgspec.structs.replace(work, takes=works.takes(ts.fn, len(args)))
        members = self._members(values, own, work, name, edges) if values is not None else _plain_members(own)
        estimate, members = _estimates(ts.estimate, members, n)
        if ts.labels is not None:
            texts = works.labels(ts.labels, n)
            members = [_with(m, label=text) for m, text in zip(members or [Member()] * n, texts, strict=True)]
        stage = self._local.stage if ts.stage is None else options.whole(ts.stage, "stage", 0)
        timeout = None if ts.timeout_s is None else options.seconds(ts.timeout_s, "timeout_s", zero=False)
        return SetSpec(
            name=name,
            work=work,
            n=n,
            args=payload,
            members=tuple(members),
            resources=options.resources(work, ts.cores, ts.gpus, ts.memory, ts.nodes),
            estimate=estimate,
            priority=options.integer(ts.priority, "priority"),
            timeout_s=timeout,
            retries=options.whole(ts.retries, "retries", 0),
            parameters=shared,
            tags=options.tags(ts.tags),
            stage=stage,
            on_failed_input=options.choice(ts.on_failed_input, "on_failed_input", options.FAILED_INPUT),
        )

    def _arguments(
        self,
        fn: Any,
        work: specs.Work,
        args: tuple[Any, ...],
        keywords: dict[str, Any],
        shared: dict[str, Any],
        own: list[dict[str, Any]],
        name: str,
        edges: _Edges,
    ) -> Payload | None:
        """The shared arguments as a payload; edges for the handles in them."""
        if isinstance(work, specs.Function):
            for keys in {frozenset(one) for one in own} or {frozenset()}:
                works.check_call(fn, len(args), [*keywords, *(shared.keys() | keys)], name)
            if not args and not keywords:
                return None
            payload, refs = self._packer.call(args, keywords, name)
            edges.refer(refs, name)
            return payload
        for value in (*args, *keywords.values()):
            if isinstance(value, Handle | Each):
                edges.refer([value.__workbench_ref__()], name, data=False)
            elif value is not ITEM:
                raise BadValue(
                    f"{name}: a program receives no Python value such as {value!r}: write it into the command or "
                    "give it as a parameter (a JSON value), which {name} in the command is replaced by",
                    name,
                )
        return None

    def _members(
        self,
        values: Sequence[Any],
        own: list[dict[str, Any]],
        work: specs.Work,
        name: str,
        edges: _Edges,
        first: int = 0,
    ) -> list[Member]:
        """One member for each item; edges for the handles in them."""
        if not isinstance(work, specs.Function):
            found = []
            for index, (value, parameters) in enumerate(zip(values, own or [{}] * len(values), strict=True), first):
                if isinstance(value, Handle):
                    edges.refer([value.__workbench_ref__()], task_id(name, index), data=False)
                    found.append(Member(parameters=parameters))
                else:
                    found.append(
                        Member(parameters={**works.item_parameters(value, f"{name}: item {index}"), **parameters})
                    )
            return found
        pack = self._packer.item
        members = []
        for index, value in enumerate(values, first):
            payload, refs = pack(value, name)
            if refs:
                edges.refer(refs, task_id(name, index))
            members.append(Member(payload))
        if own:
            members = [_with(member, parameters=one) for member, one in zip(members, own, strict=True)]
        return members

    def _parameters(self, ts: TaskSet, n: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Parameters of all tasks, and those of each (empty where there are none)."""
        if options.per_member(ts.parameters):
            each = [options.parameters(one, f"parameters of task {i}") for i, one in enumerate(ts.parameters)]
            if len(each) != n:
                raise BadValue(
                    f"there are parameters for {len(each)} tasks and {n} tasks: give one dictionary for each"
                )
            return {}, each
        return options.parameters(ts.parameters), []

    def _size_of(self, source: SetHandle, name: str) -> int:
        check_owner(source, self._as_owner)
        indices = source._indices()
        if not indices:
            raise BadValue(f"{name}: {source.name} has no tasks to map over", name)
        if len(indices) != indices[-1] + 1:
            raise BadValue(f"{name}: tasks were removed from {source.name}: map over list(handle) instead", name)
        return len(indices)

    def _after(self, after: Targets | None) -> tuple[str, ...]:
        if after is None or (isinstance(after, list | tuple) and not after):
            return ()
        return self._targets(after)

    def _pack_code(self, fn: Callable[..., Any], name: str) -> Payload:
        with declaring(self._as_owner):
            return self._packer.code(fn, name)

    # ------------------------------------------------------------------ names
    def _free_name(self, label: str) -> str:
        base = name = options.name_from(label)
        number = 1
        while name in self._local.pending or self._exists(name):
            number += 1
            name = f"{base}-{number}"
        return name

    def _spec(self, name: str) -> SetSpec | None:
        return self._local.pending.get(name) or self._existing_spec(name)

    def _may_exist(self, name: str) -> bool:
        return name in self._local.pending or self._exists(name)

    def _names_hint(self, name: str) -> str:
        return "check the spelling"


class _Edges:
    """Dependencies in the order in which they were found, each once; `data` where the result is an argument."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str, str], bool] = {}

    def add(self, src: str, dst: str, kind: str = "all", data: bool = False) -> None:
        key = (src, dst, kind)
        self.found[key] = data or self.found.get(key, False)

    def refer(self, refs: Iterable[Ref], dst: str, data: bool = True) -> None:
        for ref in refs:
            if ref[0] != "item":
                self.add(ref[1], dst, "each" if ref[0] == "each" else "all", data)

    def tuple(self) -> tuple[Edge, ...]:
        return tuple(Edge(*key, data) for key, data in self.found.items())


def _taskset(
    fn: Work, args: tuple[Any, ...], given: dict[str, Any], n: int | None = None, items: Any = None
) -> TaskSet:
    chosen, keywords = split_options(given)
    return TaskSet(chosen.pop("name", None), fn, n, items, args, keywords=keywords, **chosen)


def _listed(items: Any, name: str) -> Sequence[Any]:
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
        raise BadValue(
            f"{name}: items must be a list or another iterable with one item for each task, not {items!r}", name
        )
    values = items if isinstance(items, list | tuple) else list(items)
    if not values:
        raise BadValue(f"{name}: there are no items, and a task set needs at least one task", name)
    return values


def _plain_members(own: list[dict[str, Any]]) -> list[Member]:
    return [Member(parameters=one) for one in own]


def _with(member: Member, **changes: Any) -> Member:
    return msgspec.structs.replace(member, **changes)


def _estimates(value: Any, members: list[Member], n: int) -> tuple[specs.Estimate | None, list[Member]]:
    if not options.per_member(value):
        return options.estimate(value), members
    each = [options.estimate(one, f"estimate of task {i}") for i, one in enumerate(value)]
    if len(each) != n:
        raise BadValue(f"there are {len(each)} estimates for {n} tasks: give one for each, or one for all", "estimate")
    return None, [_with(m, estimate=one) for m, one in zip(members or [Member()] * n, each, strict=True)]
