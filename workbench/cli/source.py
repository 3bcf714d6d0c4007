"""From what a user names to a campaign: the gallery, a Python file, or a directory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.cli import script
from workbench.cli.text import put, put_json
from workbench.model.errors import BadValue, WorkbenchError

if TYPE_CHECKING:
    from workbench.api import Campaign


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
    """The campaign that `target` names: a directory is resumed, a file is run, anything else is a gallery name.

    Raises
    ------
    WorkbenchError
        In one sentence, before anything has run.
    """
    path = Path(target).expanduser()
    if path.is_dir():
        return resumed(target, wishes)
    if path.suffix == ".py" or path.is_file():
        return _from_file(path, wishes)
    return _from_gallery(target, wishes)


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


def _from_file(path: Path, wishes: Wishes) -> Campaign:
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
        if option in options:
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
