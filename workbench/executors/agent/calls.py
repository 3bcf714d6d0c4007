"""From a `pipe.Call` to what the function returned or raised; the same in a child process and in a thread."""

from __future__ import annotations

import os
import resource
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

from workbench.executors.agent.context import TaskContext, mark_environment, put_environment
from workbench.executors.agent.pipe import Call, Plan, Raised, Returned
from workbench.model.causes import Cause
from workbench.model.errors import NotSerializable, StorageFailed, StorageFull, StoreDamaged
from workbench.model.specs import Payload, Result
from workbench.store import codec
from workbench.store.store import Store

DETAIL = 8 << 10
LONG_S = 0.05
_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Outcome(Exception):
    """An end without a result whose cause is known."""

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(detail)
        self.cause, self.detail = cause, detail


class Loaded:
    """A plan with its function and the bytes of its arguments."""

    __slots__ = ("args", "fn", "parameters", "plan")

    def __init__(self, plan: Plan, fn: Callable[..., Any], args: bytes | None) -> None:
        self.plan, self.fn, self.args, self.parameters = plan, fn, args, plan.parameters


class Caller:
    """Loads functions, resolves arguments, calls, and publishes results in the campaign's store."""

    def __init__(self, directory: str, enter: Callable[[TaskContext | None], None], mark: bool) -> None:
        self.directory = directory
        self._store = Store(directory)
        self._enter = enter
        self._mark = mark
        self._loaded: dict[str, Loaded] = {}
        self._functions: dict[bytes, Callable[..., Any]] = {}

    def load(self, plan: Plan) -> Loaded:
        """The function of `plan`, from the last time if it was there.

        Raises
        ------
        Outcome
            If it cannot be read or imported here.
        """
        known = self._loaded.get(plan.key)
        if known is not None:
            return known
        try:
            code = self._store.load_payload(plan.function.code)
            fn = self._functions.get(code)
            if fn is None:  # sets that are declared one by one often share their function
                fn = self._functions[code] = codec.decode_function(code)
            args = self._store.load_payload(plan.args) if plan.args is not None else None
        except StoreDamaged as e:
            raise Outcome(Cause.DigestMismatch, str(e)) from None
        except Exception as e:
            said = "".join(traceback.format_exception_only(e)).strip()
            raise Outcome(
                Cause.LaunchRefused, f"{plan.function.name} cannot be loaded on the worker: {said}; install it there"
            ) from None
        self._loaded[plan.key] = loaded = Loaded(plan, fn, args)
        return loaded

    def run(self, plan: Plan, call: Call, context: Callable[[dict[str, Any]], TaskContext]) -> Returned | Raised:
        """Run one attempt to its end; never raises. `context` makes the task's context from its parameters."""
        task, number = call.task, call.number
        before = _cpu()
        started = time.time()
        current: TaskContext | None = None
        try:
            loaded = self.load(plan)
            parameters = dict(loaded.parameters)
            if call.member is not None:
                parameters.update(call.member.parameters)
            if call.parameters:
                parameters.update(call.parameters)
            args, kwargs = self._arguments(loaded, call)
            current = context(parameters)
            takes = plan.function.takes
            if takes is not None and not parameters.keys() <= set(takes):
                # Steered by a name that is no argument: the task may still read it with `task.parameters()`.
                parameters = {k: v for k, v in parameters.items() if k in takes}
            if self._mark:
                put_environment(mark_environment(task, number, call.index))
            self._enter(current)
            try:
                value = loaded.fn(*args, **{**kwargs, **parameters} if kwargs else parameters)
            finally:
                self._enter(None)
            result = self._publish(value)
            current.flush()
            growth = current.growth()
            current.succeeded()
            ended = time.time()
            return Returned(task, number, started, ended, result, growth, _cpu() - before, _peak(ended - started))
        except BaseException as e:
            ended = time.time()
            if current is not None:
                _quietly(current.flush)
            cause, detail = explain(e)
            return Raised(task, number, started, ended, cause, detail, _cpu() - before, _peak(ended - started))

    def _arguments(self, loaded: Loaded, call: Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if loaded.args is None:
            return (), {}
        inputs = call.inputs or {}

        def resolve(ref: tuple[str, ...]) -> Any:
            kind = ref[0]
            if kind == "item":
                if call.member is None or call.member.item is None:
                    raise Outcome(Cause.LaunchRefused, f"{call.task} was sent without its item")
                return self._item(call.member.item, resolve)
            name = f"{ref[1]}/each" if kind == "each" else ref[1]
            if name not in inputs:
                raise Outcome(Cause.LaunchRefused, f"{call.task} was sent without the results of {name}")
            values = [self._value(r) for r in inputs[name]]
            return values if kind == "set" else values[0]

        return codec.decode_call(loaded.args, resolve)

    def _item(self, payload: Payload, resolve: Callable[[tuple[str, ...]], Any]) -> Any:
        args, _ = codec.decode_call(self._store.load_payload(payload), resolve)
        return args[0]

    def _value(self, result: Result) -> Any:
        return codec.decode_result(result.codec, self._store.load_result_bytes(result))

    def _publish(self, value: Any) -> Result:
        try:
            name, data = codec.encode_result(value)
        except NotSerializable as e:
            raise Outcome(Cause.UserError, str(e)) from None
        return self._store.result(name, data)


def explain(e: BaseException) -> tuple[Cause, str]:
    """Cause and detail of an exception that ended an attempt."""
    if isinstance(e, Outcome):
        return e.cause, e.detail
    if isinstance(e, StorageFull):
        return Cause.DiskFull, str(e)
    if isinstance(e, StorageFailed):
        return Cause.WorkerLost, str(e)
    if isinstance(e, StoreDamaged):
        return Cause.DigestMismatch, str(e)
    if isinstance(e, MemoryError):
        return Cause.OutOfMemory, _text(e)
    if isinstance(e, SystemExit):
        return Cause.UserError, f"the function called sys.exit({e.code!r}); return a value instead\n{_text(e)}"
    return Cause.UserError, _text(e)


def _text(e: BaseException) -> str:
    """Traceback from the task's own first frame on; the last 8 KiB of it."""
    tb: TracebackType | None = e.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename.startswith(_OURS):
        tb = tb.tb_next
    try:
        text = "".join(traceback.format_exception(type(e), e, tb))
    except Exception:
        text = f"{type(e).__name__} (its text cannot be formatted)"
    return text if len(text) <= DETAIL else "...\n" + text[-DETAIL:]


def _quietly(do: Callable[[], None]) -> None:
    try:
        do()
    except Exception:
        pass


def _cpu() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    below = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + below.ru_utime + below.ru_stime


def _peak(took_s: float) -> int:
    """Largest resident size of this process so far; not asked for short calls, which learn nothing from it."""
    if took_s < LONG_S:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
