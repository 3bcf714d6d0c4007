"""Drive a campaign from the terminal to its end: show it, stop it in good order on a signal, say how it went."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.cli import tell
from workbench.cli.interrupt import StopRequest
from workbench.cli.live import View, view
from workbench.cli.outcome import failures, outcome, summary
from workbench.cli.text import count, put, put_json
from workbench.cli.text import tell as note
from workbench.model.errors import WorkbenchError
from workbench.model.states import TaskState
from workbench.report.tables import Tables

if TYPE_CHECKING:
    from workbench.api import Campaign

_LOOK_EVERY_S = 0.2
_REASONS: dict[int, str] = {signal.SIGINT: "interrupted (SIGINT)", signal.SIGTERM: "asked to stop (SIGTERM)"}


class EngineDied(WorkbenchError):
    """The engine ended by itself."""

    exit_code = 1


def drive(make: Callable[[], Campaign], report: Path | None, as_json: bool) -> int:
    """Run the campaign that `make` gives, to its end or to the first signal.

    Parameters
    ----------
    make : callable
        Declares or resumes the campaign.
    report : Path or None
        Where to write the HTML report at the end.
    as_json : bool
        One object on stdout at the end, progress on stderr.

    Returns
    -------
    int
        0; 1 if tasks failed for good; 128 + n after signal n.
    """
    with StopRequest() as stop:
        campaign = make()
        directory = campaign.directory
        try:
            if not stop.signum:
                with view(sys.stderr if as_json else sys.stdout) as shown:
                    campaign.start()
                    _follow(campaign, shown, stop)
        finally:
            campaign.stop(_REASONS.get(stop.signum, ""))
        tables = campaign.tables()
        if report is not None:
            report = tell.report(directory, report)
        result = _result(campaign, tables)
        if as_json:
            where = None if report is None else str(report)
            put_json({**outcome(tables, directory), "report": where, "outcome": result})
        else:
            for text in (*summary(tables), *failures(tables, directory), *_told(result)):
                put(text)
            put(f"kept in {directory}" + ("" if report is None else f"; report in {report}"))
        return _verdict(tables, directory, stop)


def _follow(campaign: Campaign, shown: View, stop: StopRequest) -> None:
    """Show the campaign until it has ended, or a signal has come."""
    session = campaign.session
    trouble = ""
    while True:
        ended = session.wait_ended(_LOOK_EVERY_S)
        tables = campaign.tables()
        tables.observe(time.time())
        shown.show(tables)
        now = str(getattr(session, "trouble", ""))
        if now != trouble:
            trouble = now
            note(f"workbench: {trouble or 'the trouble is over, and the campaign goes on'}")
        if ended or stop.signum:
            return
        if not session.alive:
            raise EngineDied(
                f"the engine of {campaign.directory} has ended; go on with: workbench resume {campaign.directory}"
            )


def _result(campaign: Campaign, tables: Tables) -> Any:
    """What the task ``outcome`` found, where a campaign has one: the science campaigns end with it."""
    task = tables.state.task("outcome[0]")
    if task is None or task.result is None or task.result.codec != "json":
        return None
    return campaign["outcome[0]"].result()


def _told(result: Any) -> list[str]:
    """An outcome's ``table`` and ``caveats``, if it has them."""
    if not isinstance(result, dict) or not isinstance(result.get("table"), str):
        return []
    caveats = result.get("caveats")
    return ["", result["table"], *(f"- {c}" for c in caveats or () if isinstance(c, str)), ""]


def _verdict(tables: Tables, directory: Path, stop: StopRequest) -> int:
    """The exit code, and what a person has to do next."""
    if stop.signum:
        note(f"stopped in good order; go on with: workbench resume {directory}")
        return stop.exit_code
    held = tables.progress()[TaskState.held]
    if held:
        note(f"{count(held, 'task')} held; why: workbench story {directory} TASK")
    return 1 if tables.progress()[TaskState.failed] else 0
