"""`Campaign`: what a notebook holds. It declares, edits, starts, waits, and shows; the engine behind its session runs.

The engine's thread and the campaign's directory come into being with the first declaration, so that every command is
validated, journalled and answered from then on; executors start with `start`.
"""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from workbench.executors.pools import LocalPool, make_executor
from workbench.executors.port import Executor
from workbench.model import edits as e
from workbench.model.errors import BadValue, NotStarted
from workbench.model.resources import Pool
from workbench.model.states import MODES
from workbench.report.rows import CommandRow
from workbench.report.tables import Tables
from workbench.store import Layout, Store

from . import opening, options, show
from .declare import Packer
from .editor import command_id, policy_name
from .handles import SetHandle
from .known import Known, refusal
from .opening import AnyPool
from .payloads import StorePacker
from .reading import ReadingSession, ReadOnly
from .results import Results
from .session import Session
from .show import Explained
from .status import Status, status_of
from .whatif import Asked, Foreseeing


class Campaign(Foreseeing, Explained):
    """A campaign of task sets on pools of nodes.

    Parameters
    ----------
    name : str
        For people.
    pool : LocalPool, Pool, str, or several of them
        Where tasks run; text as the command line takes it, such as ``"nodes=16,cores=168,gpus=6"``. Default: this
        machine.
    dir : path, optional
        A new or empty directory for journal, results and logs. Default: ``campaigns/NAME-DATE-TIME`` here.
    mode : str
        ``"sequential"``, ``"asynchronous"`` or ``"adaptive"``.
    policy : str
        Order in which ready tasks start. Default ``"auto"``: whatever finishes first in simulation, chosen anew when
        the graph, the pools or what is known of durations change.
    seed : int
        Of all randomness (sampled durations, ties).
    time_scale : float
        Shortens synthetic tasks: 0.01 sleeps a hundredth of TX. Tables stay in unscaled seconds.
    author : str, optional
        Who edits, for the history. Default: the user's name.

    Raises
    ------
    BadValue, BadPool
        For an argument that means nothing; nothing was created.
    """

    def __init__(
        self,
        name: str,
        pool: AnyPool | Iterable[AnyPool] | None = None,
        dir: str | os.PathLike[str] | None = None,
        mode: str = "adaptive",
        policy: str = "auto",
        seed: int = 0,
        time_scale: float = 1.0,
        author: str | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(name, str) or not name.strip() or len(name) > 200 or not name.isprintable():
            raise BadValue(f"{name!r} is no name for a campaign: give one line of text", "name")
        self._name = name
        self._pools = opening.parse_pools(LocalPool() if pool is None else pool)
        self._wanted_dir = None if dir is None else os.fspath(dir)
        self._mode = options.choice(mode, "mode", MODES)
        self._policy = policy_name(policy)
        self._seed = options.whole(seed, "seed", 0)
        self._time_scale = options.number(time_scale, "time_scale")
        if not 0 < self._time_scale <= 1000:
            raise BadValue(f"time_scale must be above 0, such as 0.01 or 1, not {time_scale!r}", "time_scale")
        self._prepare(author)

    def _prepare(self, author: str | None) -> None:
        self._author = author if author is not None else f"user:{opening.user_name()}"
        if not isinstance(self._author, str) or not self._author:
            raise BadValue(f"author must be text such as 'user:ada', not {author!r}", "author")
        self._lock = threading.RLock()
        self._open_session: Session | None = None
        self._results_: Results | None = None
        self._started = False
        self._asked = Asked()

    # ------------------------------------------------------------------ existing campaigns
    @classmethod
    def resume(
        cls,
        dir: str | os.PathLike[str],
        pool: AnyPool | Iterable[AnyPool] | None = None,
        author: str | None = None,
    ) -> Campaign:
        """Go on with a campaign after a stop, a kill or a crash; `start` or `run` then executes what is left.

        Parameters
        ----------
        dir : path
            Its directory.
        pool : optional
            Where to run from now on; default the pools that it declared.

        Raises
        ------
        NoCampaign, CampaignHeld, JournalDamaged, StorageFull, NewerFormat
            With one sentence that says what to do.
        """
        given = None if pool is None else opening.parse_pools(pool)
        session = opening.resume(dir)
        self = cls._over(session, author, session.name)
        try:
            declared = {pool.name: pool for pool in session.pools}
            self._pools = list(declared.values())
            if given is not None:
                self._pools = given
                self._declare_pools(declared)
        except BaseException:
            session.close("the pools of the campaign were refused")
            raise
        return self

    @classmethod
    def from_workflow(cls, source: Any, pool: AnyPool | Iterable[AnyPool] | None = None, **options: Any) -> Campaign:
        """Synthetic tasks as in another tool's workflow, by default on nodes like its own; see `add_workflow`."""
        from workbench.exchange import read

        flow = read(source)
        self = cls(options.pop("name", flow.name), pool=flow.pools() if pool is None else pool, **options)
        self.add_workflow(flow)
        return self

    @classmethod
    def open(cls, dir: str | os.PathLike[str]) -> Campaign:
        """Look at a campaign without changing it: finished, stopped, or run by another process.

        Raises
        ------
        NoCampaign, NewerFormat
            If there is none that can be read.
        """
        self = cls._over(ReadingSession(os.path.expanduser(dir)), None, "")
        self._name = self._results.tables().name
        return self

    @classmethod
    def _over(cls, session: Session, author: str | None, name: str) -> Campaign:
        self = cls.__new__(cls)
        Known.__init__(self)
        self._prepare(author)
        self._pools = []
        self._attach(session)
        self._name = name  # mode, policy and the rest are the journal's now; `tables` folds it when they are asked for
        return self

    # ------------------------------------------------------------------ the session
    @property
    def session(self) -> Session:
        """The connection to the engine; made, with the campaign's directory, when first needed."""
        with self._lock:
            if self._open_session is None:
                self._create()
            assert self._open_session is not None
            return self._open_session

    def _create(self) -> None:
        session = opening.create(
            self._wanted_dir,
            name=self._name,
            seed=self._seed,
            mode=self._mode,
            policy=self._policy,
            time_scale=self._time_scale,
        )
        self._attach(session)
        try:
            self._declare_pools({})
        except BaseException:
            # Without its pools the campaign would take whatever is declared next and never run it.
            self._open_session = self._results_ = None
            session.close("its pools were refused")
            raise

    def _attach(self, session: Session) -> None:
        self._open_session = session
        self._packer_ = StorePacker(Store(session.directory))
        self._results_ = Results(session, lambda: self._started or isinstance(self._open_session, ReadingSession))

    def _declare_pools(self, declared: Mapping[str, Pool]) -> None:
        edits = opening.pool_edits(self._pools, declared)
        if edits:
            self._command(edits, "pools")

    @property
    def _results(self) -> Results:
        self.session  # noqa: B018 - made when first needed
        assert self._results_ is not None
        return self._results_

    @property
    def _packer(self) -> Packer:
        self.session  # noqa: B018
        return self._packer_

    # ------------------------------------------------------------------ what it is
    @property
    def name(self) -> str:
        """The campaign's name."""
        return self._name

    @property
    def directory(self) -> Path:
        """Its directory."""
        return Path(self.session.directory)

    @property
    def started(self) -> bool:
        """Whether this object started execution."""
        return self._started

    @property
    def pools(self) -> list[LocalPool | Pool]:
        """Where it runs."""
        return list(self._pools)

    @property
    def sets(self) -> list[SetHandle]:
        """Handles of all sets, in order of declaration."""
        return [SetHandle(self, name, len(s.tasks)) for name, s in self.tables().state.sets.items()]

    def __getitem__(self, target: str) -> Any:
        """The handle of a set (``c["sim"]``) or task (``c["sim[3]"]``)."""
        return self.handle(target)

    def tables(self) -> Tables:
        """The campaign's tables, folded up to now: intervals, use of nodes, sets, failures, history."""
        return self._results.tables()

    def status(self) -> Status:
        """Counts of tasks by state, in all and for each set."""
        if self._open_session is None:
            return Status(self._name, "", "declared", self._mode, self._policy, {}, {}, 0.0)
        session = self._open_session
        reading = isinstance(session, ReadingSession)
        trouble = str(getattr(session, "trouble", ""))
        return status_of(self.tables(), session.directory, session.alive, self._started or reading, trouble)

    @property
    def makespan(self) -> float:
        """Unscaled seconds from the first assignment to the end, or to now."""
        return self.tables().makespan()

    def story(self, target: str) -> str:
        """What happened to a task, set or attempt, in sentences, oldest first."""
        return self.session.story(target)

    # ------------------------------------------------------------------ its course
    def start(self, executor: Executor | None = None) -> None:
        """Begin to execute; returns at once (for a local pool, as soon as its cluster is up).

        Parameters
        ----------
        executor : Executor, optional
            Runs the attempts in place of what the pools provide.

        Raises
        ------
        ReadOnly, BadPool, WorkbenchError
            If it is open for reading only, stopped, or its pools cannot be provided.
        """
        with self._lock:
            session: Any = self.session
            if isinstance(session, ReadingSession):
                why = "is stopped" if self._started else "is open for reading only"
                raise ReadOnly(f"the campaign {why}: Campaign.resume({session.directory!r}) goes on with it")
            if not self._started:
                session.start(executor or make_executor(self._pools, Layout(session.directory)))
                self._started = True

    def wait(self, timeout_s: float | None = None) -> Status:
        """Block until no task can make progress any more: all have ended, or what is left is held.

        After `timeout_s` seconds it returns, too; the status says ``running`` then.

        Raises
        ------
        NotStarted
            If nothing runs.
        KeyboardInterrupt
            When interrupted; the campaign goes on.
        """
        session = self.session
        if not self._started and not isinstance(session, ReadingSession) and not self.tables().ended:
            raise NotStarted(f"{self._name} is not started, so there is nothing to wait for: call start() or run()")
        try:
            session.wait_ended(timeout_s)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"waiting was interrupted; {self._name} goes on as long as this process: wait() waits again, "
                "stop() ends it, Campaign.resume goes on with it later"
            ) from None
        return self.status()

    def run(self, executor: Executor | None = None) -> Status:
        """`start` and `wait`."""
        self.start(executor)
        return self.wait()

    def stop(self, reason: str = "") -> None:
        """End what runs, in good order; `Campaign.resume` goes on later. Results can still be asked for."""
        with self._lock:
            self._asked.close()
            session = self._open_session
            if session is None or isinstance(session, ReadingSession):
                return
            session.close(reason)
            reading = ReadingSession(session.directory)
            self._open_session = reading
            if self._results_ is not None:
                self._results_.session = reading

    def __enter__(self) -> Campaign:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop("" if kind is None else f"left with {kind.__name__}")

    # ------------------------------------------------------------------ commands
    @contextlib.contextmanager
    def batch(self, reason: str = "", base: int | None = None) -> Iterator[Campaign]:
        """Collect declarations and edits into one command: all are accepted, or none.

        Parameters
        ----------
        reason : str
            For the history.
        base : int, optional
            Sequence number that the edits were made against: refused (``StaleBase``) if what they touch changed since.

        Raises
        ------
        EditRefused
            At the end of the block; nothing was changed. If the block itself raises, nothing is submitted.
        """
        if self._local.collected is not None:
            yield self  # a batch inside a batch is part of it
            return
        self._local.collected = []
        try:
            yield self
            edits = tuple(self._local.collected)
        finally:
            self._local.collected = None
            self._local.pending.clear()
        if edits:
            self._command(edits, reason, -1 if base is None else options.whole(base, "base", 0))

    def undo(self, command: CommandRow | str | None = None) -> CommandRow:
        """Take the newest command back that still can be (of any author but tasks); a command of its own.

        Commands that came too late, since their tasks run or have ended, are passed over. What ends or restarts work
        (cancel, retry, invalidate, steer) has no inverse.

        Parameters
        ----------
        command : CommandRow or str, optional
            A certain command to take back in place of the newest: a row of `history`, or its id. May be a task's, too.

        Returns
        -------
        CommandRow
            What was done now: its `summary` says what changed, its `undoes` which command that took back, its `passed`
            which later ones it passed over and why.

        Raises
        ------
        NothingToUndo
            If nothing is left that can be taken back; the sentence says why for the newest.
        EditRefused
            If `command` cannot be taken back: it is unknown, came too late, or was overwritten by a later one.
        """
        return self._take_back(e.UNDO if command is None else command_id(command))

    def redo(self, command: CommandRow | str | None = None) -> CommandRow:
        """Bring back what the latest undo took back, or a certain `command` that was undone; as `undo`."""
        if command is None:
            return self._take_back(e.REDO)
        name = command_id(command)
        # An undo is taken back by its own id; of another command, the last one that took it back is meant.
        undone = next((row.id for row in reversed(self.tables().commands) if row.undoes == name), name)
        return self._take_back(undone)

    def history(self) -> list[CommandRow]:
        """Every command, oldest first: who, what, why, and what it undid."""
        return list(self.tables().commands)

    def _submit(self, edits: tuple[e.Edit, ...]) -> None:
        if self._local.collected is not None:
            self._local.collect(edits)
        else:
            self._command(edits)

    def _command(self, edits: tuple[e.Edit, ...], reason: str = "", base: int = -1, undoes: str = "") -> str:
        command = e.Command(uuid.uuid4().hex, edits, self._author, base, reason, undoes)
        ack = self.session.submit(command)
        if not ack.ok:
            raise refusal(ack)
        self._removed |= bool(undoes) or any(isinstance(x, (e.RemoveSet, e.RemoveTasks)) for x in edits)
        return command.id

    def _take_back(self, what: str) -> CommandRow:
        done = self._command((), undoes=what)
        return next(row for row in reversed(self.tables().commands) if row.id == done)

    # ------------------------------------------------------------------ showing
    def dashboard(self) -> Any:
        """The live view (`workbench.ui.dashboard.Dashboard`): show it by making it the last value of a cell."""
        return show.dashboard(self.session)

    def report(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write the report, one self-contained HTML file; default ``report.html`` in the campaign's directory."""
        return show.report(self.tables(), self.directory / "report.html" if path is None else Path(path))

    def _ipython_display_(self) -> None:
        show.display(self)

    def __repr__(self) -> str:
        return repr(self.status())
