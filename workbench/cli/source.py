"""From what a user names to a campaign: the gallery, a Python file, a workflow from elsewhere, or a directory.

`campaign` makes one that can run; `declared` only says what it would be, and leaves nothing on the disk.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.cli import script
from workbench.cli.text import put, put_json
from workbench.model.errors import BadValue, WorkbenchError

if TYPE_CHECKING:
    from workbench.api import Campaign
    from workbench.core import State


class UnknownTarget(WorkbenchError):
    """Nothing of that name in the gallery or on the disk."""


class Unwanted(WorkbenchError):
    """An option that cannot apply to this kind of campaign."""


@dataclass(frozen=True)
class Wishes:
    """The options of `run` and `resume`; None where the user did not say."""

    pool: str | None = None
    mode: str | None = None
    policy: str | None = None
    time_scale: str | None = None
    directory: str | None = None

    def options(self) -> dict[str, Any]:
        """As arguments of `Campaign`; what was not said is left out.

        Raises
        ------
        BadPool, BadValue
            If the pool or the time scale means nothing.
        """
        from workbench.executors.pools import parse_pool

        said = {
            "pool": None if self.pool is None else parse_pool(self.pool),
            "mode": self.mode,
            "policy": self.policy,
            "time_scale": None if self.time_scale is None else _scale(self.time_scale),
            "dir": None if self.directory is None else Path(self.directory).expanduser(),
        }
        return {name: value for name, value in said.items() if value is not None}


def _scale(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadValue(f"--time-scale {text!r} is not a number; write it like 0.01", "time_scale") from None


def campaign(target: str, wishes: Wishes) -> Campaign:
    """The campaign that `target` names.

    A directory is resumed, a workflow from elsewhere is imported, another file is run, anything else is a gallery name.

    Raises
    ------
    WorkbenchError
        In one sentence, before anything has run.
    """
    path = Path(target).expanduser()
    if path.is_dir():
        return resumed(target, wishes)
    return _new(target, path, wishes)


def _new(target: str, path: Path, wishes: Wishes, scratch: Path | None = None) -> Campaign:
    """A new campaign; in `scratch`, if it is only to be looked at."""
    if scratch is not None:
        wishes = replace(wishes, directory=str(scratch))
    if _is_workflow(path):
        return _from_workflow(path, wishes)
    if path.suffix == ".py" or path.is_file():
        return _from_file(path, wishes, only_look=scratch is not None)
    return _from_gallery(target, wishes)


def declared(target: str, wishes: Wishes | None = None) -> State:
    """What `target` is, as the state of a campaign that has not begun: its sets, edges, pools, mode and policy.

    Nothing is run and nothing stays on the disk. Of a directory it is the state that its journal amounts to, finished
    and running tasks included. `wishes` are those of `run`; mode and policy of a directory are the journal's.

    Raises
    ------
    WorkbenchError
        In one sentence; also where no pool can hold a task (`NeverFits`).
    """
    from workbench.core.copying import copy_state

    said = wishes or Wishes()
    path = Path(target).expanduser()
    if path.is_dir():
        from workbench.cli import directory

        return directory.state(directory.require(path))
    if _is_workflow(path):
        return _state_of(path, said)
    began = time.time()
    with tempfile.TemporaryDirectory(prefix="workbench-") as scratch:
        c = _new(target, path, said, Path(scratch) / "campaign")
        try:
            state = copy_state(c.tables().state)
            made, fresh = c.directory, c.tables().created_at >= began
        finally:
            c.stop()
        # A file with `campaign = Campaign(...)` made its directory itself, just now.
        if fresh and not c.started and made.is_dir():
            shutil.rmtree(made)
    return state


def _is_workflow(path: Path) -> bool:
    from workbench.exchange.reading import SUFFIX, recognised

    return path.suffix == SUFFIX or (path.is_file() and recognised(path))


def _state_of(path: Path, wishes: Wishes) -> State:
    """The state that importing a workflow comes to; judged as an engine judges it, and no engine is needed."""
    from workbench.api.campaign import Campaign
    from workbench.core import State, evolve
    from workbench.core.edits import validate
    from workbench.exchange import read
    from workbench.executors.pools import LocalPool
    from workbench.model.edits import AddPool, Command
    from workbench.model.events import CampaignCreated, CommandAccepted

    flow = read(path)
    options = wishes.options()
    options.setdefault("pool", flow.pools())
    c = Campaign(flow.name, **options)  # checks the options; nothing is made before a set is declared
    about, scale = c.status(), options.get("time_scale", 1.0)
    made = CampaignCreated(time.time(), "", flow.name, 0, about.mode, about.policy, scale)
    state = State()
    evolve(state, made)
    pools = [pool.pool if isinstance(pool, LocalPool) else pool for pool in c.pools]
    command = Command("import", (*map(AddPool, pools), *flow.edits))
    evolve(state, CommandAccepted(made.at, command.id, command.edits, inverse=validate(state, command)))
    return state


def _from_workflow(path: Path, wishes: Wishes) -> Campaign:
    """A campaign of synthetic tasks from a file of another tool."""
    from workbench.api import Campaign
    from workbench.exchange import read

    options = wishes.options()
    flow = read(path)
    options.setdefault("pool", flow.pools())
    return _built(Campaign(flow.name, **options), lambda c: c.add_workflow(flow), options)


def resumed(directory: str, wishes: Wishes) -> Campaign:
    """The campaign in `directory`, to go on with; mode and policy change by commands of its history.

    Raises
    ------
    WorkbenchError
        If it cannot be resumed, or an option does not apply.
    """
    from workbench.api import Campaign
    from workbench.cli.directory import require

    for option, value in (("--time-scale", wishes.time_scale), ("--dir", wishes.directory)):
        if value is not None:
            raise Unwanted(f"{option} is fixed when a campaign begins, and {directory} holds one; leave it out")
    options = wishes.options()
    found = Campaign.resume(require(directory), pool=options.get("pool"))
    if wishes.mode is not None:
        found.set_mode(wishes.mode)
    if wishes.policy is not None:
        found.set_policy(wishes.policy)
    return found


def _from_gallery(target: str, wishes: Wishes) -> Campaign:
    from workbench.executors.pools import parse_pool
    from workbench.gallery import resolve
    from workbench.gallery.registry import UnknownCampaign

    options = wishes.options()
    try:
        choice = resolve(target)
    except UnknownCampaign as error:
        if "/" in target or "." in target:
            raise UnknownTarget(f"{error}; and there is no file or directory {target}") from None
        raise
    choice.entry.load()
    options.setdefault("pool", parse_pool(choice.pool))
    from workbench.api import Campaign

    return _built(Campaign(choice.name, **options), choice.build, options)


def _from_file(path: Path, wishes: Wishes, only_look: bool = False) -> Campaign:
    from workbench.api import Campaign

    options = wishes.options()
    module = script.load(path)
    build = getattr(module, "build", None)
    if callable(build):
        return _built(Campaign(path.stem, **options), lambda c: script.located(path, lambda: build(c)), options)
    declared = getattr(module, "campaign", None)
    if not isinstance(declared, Campaign):
        raise script.BadScript(
            f"{path} declares no campaign: define a function build(c) that declares into c, or a variable "
            "campaign = Campaign(...)"
        )
    for option in ("pool", "dir", "time_scale"):
        if option in options and not (only_look and option == "dir"):
            raise Unwanted(
                f"--{option.replace('_', '-')} cannot change the campaign that {path} has made already; define "
                "build(c) there instead, and it applies"
            )
    if wishes.mode is not None:
        declared.set_mode(wishes.mode)
    if wishes.policy is not None:
        declared.set_policy(wishes.policy)
    return declared


def _built(c: Campaign, build: Callable[[Campaign], Any], options: dict[str, Any]) -> Campaign:
    """`c` with what `build` declares. If that is refused, nothing stays behind of a directory that is new."""
    wanted: Path | None = options.get("dir")
    fresh = wanted is None or not wanted.exists() or not any(wanted.iterdir())
    try:
        build(c)
    except BaseException:
        # Nothing has run, so nothing is lost, and the same --dir can be used again when the mistake is corrected.
        made = c.status().directory or wanted
        c.stop()
        if fresh and made and Path(made).is_dir() and not c.started:
            shutil.rmtree(made)
        raise
    return c


def show_gallery(as_json: bool) -> None:
    """Print the campaigns that ship."""
    from workbench.gallery import list_gallery

    entries = list_gallery()
    if as_json:
        put_json(
            [
                {
                    "name": e.name,
                    "summary": e.summary,
                    "pool": e.pool,
                    "missing": e.missing(),
                    "parameters": [
                        {
                            "name": p.name,
                            "kind": p.kind,
                            "default": p.default,
                            "summary": p.summary,
                            "choices": p.choices,
                        }
                        for p in e.parameters
                    ],
                }
                for e in entries
            ]
        )
        return
    for e in entries:
        put(f"{e.name}\n    {e.summary}\n    pool: {e.pool}")
        for p in e.parameters:
            put(f"    {p.name}={_written(p.default)}: {p.summary}")
        if missing := e.missing():
            put(f"    needs {', '.join(missing)}: pip install 'campaign-workbench[{','.join(e.extras)}]'")
    put("\nrun one with: workbench run 'NAME?key=value&key=value'")


def _written(value: object) -> str:
    """A default as a person types it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
