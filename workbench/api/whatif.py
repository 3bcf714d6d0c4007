"""`Campaign.whatif`: edits collected as in a batch, judged and predicted on a copy, and never submitted.

All of it happens on this process's own replica of the state; the engine is asked for nothing but the records that the
replica lacks. A small campaign is copied, and the caller's thread looks at the copy; of a large one, processes beside
this one are asked (`foreseer`).
"""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, overload

from workbench.core.copying import collector_waiting, discard
from workbench.engine.fork import LARGE, ChildFailed, possible
from workbench.model.edits import Edit
from workbench.model.errors import BadValue, EditRefused

from . import options
from .foreseer import Foreseer
from .known import Known
from .results import Results
from .session import Session

if TYPE_CHECKING:
    from workbench.predict.whatif import Future, Ground, WhatIf

Try = Callable[[Any], Any]  # edits the campaign that it is given

FRESH_S = 0.5  # how long the present outlook serves a state that does not change; attempts go on meanwhile


class Asked:
    """Answers what-ifs of one campaign."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._foreseer = Foreseer()
        self._kept: tuple[int | None, Ground, Future] | None = None  # the present, for the next question

    def answer(self, results: Results, edits: tuple[Edit, ...], samples: int | None, live: bool) -> WhatIf:
        """The effect of `edits` now."""
        if possible() and results.tables().state.size >= LARGE:
            try:
                return self._foreseer.ask(results, edits, samples, time.time() if live else None)
            except (OSError, ChildFailed):
                pass  # no memory for a process, or it failed: what failed there fails here, too, where it can be seen
        return self._here(results, edits, samples, live)

    def close(self) -> None:
        """End what was started to answer."""
        self._foreseer.close()

    def _here(self, results: Results, edits: tuple[Edit, ...], samples: int | None, live: bool) -> WhatIf:
        """The same in this thread, on a copy."""
        from workbench.predict.whatif import changed, compared, ground, unchanged

        with collector_waiting():
            state = results.snapshot()
            try:
                at = max(time.time(), state.at) if live else state.at
                with self._lock:
                    kept = self._kept
                same = kept is not None and (kept[0], kept[1].seq) == (samples, state.seq)
                if kept is not None and same and 0 <= at - kept[1].at <= FRESH_S:
                    _, base, before = kept
                else:
                    base = ground(state, at, samples)
                    before = unchanged(state, base)
                    with self._lock:
                        self._kept = samples, base, before
                return compared(base.seq, before, changed(state, edits, base))
            finally:
                discard(state)


class Trial:
    """A block whose edits are tried out: ``with c.whatif() as w: c.scale("local", 4)``, then ``w.result``."""

    def __init__(self, campaign: Known, answer: Callable[[tuple[Edit, ...]], WhatIf]) -> None:
        self._campaign, self._answer = campaign, answer
        self._outer: tuple[list[Edit] | None, dict[str, Any]] | None = None
        self._result: WhatIf | None = None
        self.edits: tuple[Edit, ...] = ()

    def __enter__(self) -> Trial:
        local = self._campaign._local
        self._outer = (local.collected, local.pending)
        # Inside a batch, what it collected so far is tried together with the edits of this block.
        local.collected = list(local.collected or ())
        local.pending = dict(local.pending)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        local = self._campaign._local
        assert self._outer is not None and local.collected is not None
        self.edits = tuple(local.collected)
        local.collected, local.pending = self._outer
        if isinstance(error, EditRefused):
            self._result = _refused(error, self._answer(()))
            return True
        if error is None:
            self._result = self._answer(self.edits)
        return False

    @property
    def result(self) -> WhatIf:
        """What the edits of the block would do; once the block is left.

        Raises
        ------
        BadValue
            If it is not left yet.
        """
        if self._result is None:
            raise BadValue("the what-if has no result yet: leave the with block first", "whatif")
        return self._result

    def __repr__(self) -> str:
        return "what-if, still collecting edits" if self._result is None else repr(self._result)


def _try_out(campaign: Known, edits: Sequence[Edit | Callable[[Any], Any]], trial: Trial) -> WhatIf:
    """The effect of values of `model.edits`, and of calls that edit the campaign that they are given."""
    for one in edits:
        if not isinstance(one, Edit) and not callable(one):
            raise BadValue(
                f"{one!r} is no edit: give a value of workbench.model.edits, a function that edits the campaign it is "
                "given, such as lambda c: c.scale('local', 4), or use `with c.whatif() as w:`",
                "whatif",
            )
    with trial:
        for one in edits:
            if isinstance(one, Edit):
                campaign._local.collect((one,))
            else:
                one(campaign)
    return trial.result


def _refused(error: EditRefused, present: WhatIf) -> WhatIf:
    """The answer to an edit that was refused before it was an edit."""
    from workbench.predict.whatif import WhatIf

    return WhatIf(present.before, None, refused=error.rule, message=str(error), subject=error.subject, seq=present.seq)


class Foreseeing(Known):
    """The part of a campaign that tells what an edit would do."""

    _asked: Asked

    @property
    @abstractmethod
    def session(self) -> Session:
        """The connection to the engine."""

    @overload
    def whatif(self, *, samples: int | None = None) -> Trial: ...
    @overload
    def whatif(self, edit: Edit | Try, /, *more: Edit | Try, samples: int | None = None) -> WhatIf: ...
    def whatif(self, *edits: Any, samples: int | None = None) -> Any:
        """What edits would do to the finish, its lower bound, the hours used, and the work under way; submits nothing.

        ::

            with c.whatif() as w:                       # the edits of the block, as in a batch
                c.replace("sim", cores=8)
                c.scale("local", 4)
            w.result

            c.whatif(lambda c: c.scale("local", 4))     # the same in one line
            c.whatif(ScalePool("local", 4))             # values of workbench.model.edits

        Parameters
        ----------
        *edits : Edit or callable
            Together one command. None: the edits of the ``with`` block.
        samples : int, optional
            Futures to sample for P10, P50 and P90, however long it takes; default: what a person does not notice.

        Returns
        -------
        WhatIf, or Trial with the WhatIf as its `result`
            Before and after. What would be refused has the rule and the sentence as `refused` and `message`, and
            raises nothing.

        Raises
        ------
        BadValue
            For an argument that is no edit.
        NotSerializable
            From declarations in it. (What they pickle stays in the campaign's store.)
        """
        wanted = None if samples is None else options.whole(samples, "samples", 1)
        trial = Trial(self, lambda made: self._asked.answer(self._results, made, wanted, self.session.alive))
        return _try_out(self, edits, trial) if edits else trial
