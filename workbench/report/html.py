"""The report of a campaign: one HTML file that needs nothing else, for people who were not there."""

from __future__ import annotations

import datetime
import json
import os
import secrets
from importlib import resources as files
from pathlib import Path
from xml.etree import ElementTree as ET

import workbench
from workbench.model.causes import EXPLAINED, Cause
from workbench.model.errors import WorkbenchError
from workbench.model.states import STATES, TaskState
from workbench.ui.palette import THEMES, SetColours, glyph, theme

from . import page, svg
from .foretold import TERMS, Band, chosen, first_told, scored
from .history import estimate, resources
from .page import Child, cell, el
from .rows import ChoiceRow, Failure, SetRow
from .tables import Tables

_FAILURES = 100
_OPEN_FAILURES = 20
_COMMANDS = 500
_LINES = 60
_CHOICES = 20
_OTHERS = 6


def write_report(tables: Tables, path: str | os.PathLike[str]) -> Path:
    """Write the report to `path`; what was there before stays until the new one is complete.

    Parameters
    ----------
    tables : Tables
        Folded from the campaign's journal.
    path : path-like
        File to write. Its folder must exist.

    Returns
    -------
    Path
        The file, absolute.

    Raises
    ------
    WorkbenchError
        If the file cannot be written.
    """
    target = Path(path).absolute()
    text = render(tables)
    try:
        # Beside the target, so that the last step is a rename; "x" never writes through somebody's link.
        part = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
        try:
            with part.open("x", encoding="utf-8") as file:
                file.write(text)
            os.replace(part, target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise WorkbenchError(
            f"cannot write the report to {target}: {reason}; name a file that can be written"
        ) from error
    return target


def render(tables: Tables) -> str:
    """The report as text."""
    from workbench.ui import embed

    sets = tables.sets
    colours = SetColours()
    places = [f"figure-{name}" for name in embed.FIGURES]
    body = el(
        "main",
        _header(tables),
        _tiles(tables),
        _graph(tables, sets),
        *(el("section", el("div", id=place, class_="figure")) for place in places),
        *_foretold(tables, sets),
        _sets(sets, colours),
        *_failures(tables),
        *_history(tables),
        _footer(tables),
    )
    pairs = [colours[s.name] for s in sets]
    figures = page.data("figures", {"places": places, "document": json.loads(embed.figures(tables))})
    drawn = el("noscript", el("p", "The figures of this report are drawn by a script, which this page may not run."))
    boot = files.files("workbench.report").joinpath("report.js").read_text(encoding="utf-8")
    title = f"{tables.name or 'campaign'} · report"
    return page.document(title, _style(pairs), [body, drawn, figures], [embed.library(), boot])


# ---------------------------------------------------------------------------------------------------------- numbers


def _number(value: float) -> str:
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}".replace(",", "\u202f")
    return f"{value:.3g}"


def _seconds(value: float | None) -> str:
    return "" if value is None else _number(value)


def _when(at: float) -> str:
    moment = datetime.datetime.fromtimestamp(at, datetime.UTC)
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _plural(n: float, what: str) -> str:
    return f"{_number(n)} {what}{'' if n == 1 else 's'}"


# ----------------------------------------------------------------------------------------------------------- the top


def _status(tables: Tables) -> tuple[str, str]:
    """A word for how the campaign stands, and the kind of its badge."""
    counts = tables.progress()
    if tables.ended:
        failed = counts[TaskState.failed]
        return ("finished", "good") if not failed else (f"finished, {_plural(failed, 'task')} failed", "bad")
    if not counts.total:
        return "nothing declared", "busy"
    if not tables.engine_running:
        return "stopped, can be resumed", "bad"
    return ("waits for a person", "bad") if tables.started and tables.state.stuck else ("running", "busy")


def _header(tables: Tables) -> ET.Element:
    word, kind = _status(tables)
    nodes, cores, gpus = _most(tables)
    has = [_plural(nodes, "node"), _plural(cores, "core")]
    facts = [
        f"campaign {tables.id}",
        f"mode {tables.mode}",
        f"policy {tables.policy}",
        ", ".join([*has, _plural(gpus, "GPU")] if gpus else has),
        *([_when(tables.created_at)] if tables.created_at else []),
        *([f"time scale {tables.time_scale:g}"] if tables.time_scale != 1.0 else []),
        *([_plural(len(tables.outages), "restart")] if tables.outages else []),
    ]
    return el(
        "header",
        el("h1", tables.name or "Unnamed campaign"),
        el("span", word, class_=f"badge {kind}"),
        el("p", "  ·  ".join(facts), class_="facts"),
    )


def _most(tables: Tables) -> tuple[int, int, int]:
    """The most nodes that were there at one time, and their cores and GPUs; nodes of a restart replace earlier ones."""
    changes = [(n.joined, 1, n) for n in tables.nodes.values()]
    changes += [(n.left, -1, n) for n in tables.nodes.values() if n.left is not None]
    nodes = cores = gpus = 0
    most = (0, 0, 0)
    for _, sign, node in sorted(changes, key=lambda change: change[:2]):
        nodes, cores, gpus = nodes + sign, cores + sign * node.cores, gpus + sign * node.gpus
        most = max(most, (nodes, cores, gpus))
    return most


def _tiles(tables: Tables) -> ET.Element:
    counts = tables.progress()
    last = tables.forecasts[-1] if tables.forecasts else None
    tiles: list[tuple[str, str, str, bool]] = [
        ("tasks", _number(counts.total), "", False),
        ("done", _number(counts[TaskState.done]), "", False),
        ("failed", _number(counts[TaskState.failed]), "", counts[TaskState.failed] > 0),
    ]
    gone = counts[TaskState.cancelled] + counts[TaskState.skipped]
    if gone:
        tiles.append(("cancelled or skipped", _number(gone), "", False))
    tiles.append(("makespan" if tables.ended else "elapsed", _seconds(tables.makespan()), "s", False))
    if last is not None:
        tiles.append(("predicted", _seconds(last.makespan_s), "s", False))
        if last.banded and not tables.ended:
            tiles.append(("P10\u2013P90", f"{_number(last.p10_s)}\u2013{_number(last.p90_s)}", "s", False))
    bound = tables.lower_bound()
    if bound is not None:
        tiles.append(("lower bound", _seconds(bound), "s", False))
    for resource, title in (("cores", "CPU used"), ("gpus", "GPU used")):
        if any(tables.capacity(resource).total()):
            tiles.append((title, f"{100 * tables.utilization_fraction(resource):.1f}", "%", False))
    return el("dl", *(_tile(*t) for t in tiles), class_="tiles")


def _tile(title: str, value: str, unit: str, bad: bool) -> ET.Element:
    shown: list[Child] = [value, *([el("small", unit)] if unit else [])]
    return el("div", el("dt", title), el("dd", *shown), class_="tile bad" if bad else "tile")


def _graph(tables: Tables, sets: list[SetRow]) -> ET.Element:
    if not sets:
        return el("section", el("h2", "Task sets"), el("p", "No task set was declared.", class_="note"))
    present = [s for s in STATES if tables.state.counts[s]]
    key = el(
        "ul",
        *(el("li", el("span", class_=f"dot s-{s.value}"), f"{glyph(s.value)} {s.value}") for s in present),
        class_="key",
    )
    return el("section", el("h2", "Task sets and what they wait for"), el("div", svg.dag(sets, tables.edges)), key)


def _foretold(tables: Tables, sets: list[SetRow]) -> list[ET.Element]:
    """What was chosen and why, and how good the forecasts were; nothing where there is neither."""
    parts: list[Child] = []
    said = scored(tables)
    if said:
        parts += [el("h2", "How good the forecasts were"), el("p", said), el("p", TERMS, class_="note")]
    told = first_told(tables)
    if told:
        rows = [_told(s, told[s.name]) for s in sets if s.name in told]
        heads = ("set", "its end as first foretold, s", "P10\u2013P90, s", "last end, s", "")
        parts += [el("h2", "Ends of task sets"), page.table(heads, rows, frozenset({1, 2, 3}))]
    choice = chosen(tables)
    if choice is not None:
        why = f": {choice.reason}" if choice.reason else ""
        parts += [el("h2", "What policy auto chose"), el("p", el("strong", choice.plan), why)]
        choices = [_choice(c) for c in tables.choices[-_CHOICES:][::-1]]
        parts.append(page.table(("at, s", "plan", "predicted, s", "others, s"), choices, frozenset({0, 2})))
        if len(tables.choices) > _CHOICES:
            parts.append(el("p", f"{len(tables.choices) - _CHOICES} earlier choices are not listed.", class_="note"))
    return [el("section", *parts)] if parts else []


def _told(s: SetRow, band: Band) -> list[ET.Element]:
    """What was foretold of a set's end, and what came true."""
    low, middle, high = band
    ended = s.last_end if s.ended == s.n else None
    held = "" if ended is None else "in the band" if low <= ended <= high else "later" if ended > high else "earlier"
    return [
        cell(s.name, kind="name"),
        cell(_number(middle), kind="num"),
        cell(f"{_number(low)}\u2013{_number(high)}", kind="num"),
        cell(_seconds(ended), kind="num"),
        cell(held, kind="nowrap"),
    ]


def _choice(c: ChoiceRow) -> list[ET.Element]:
    others = sorted(((name, s) for name, s in c.alternatives.items() if name != c.plan), key=lambda item: item[1])
    more = f"; and {len(others) - _OTHERS} more" if len(others) > _OTHERS else ""
    return [
        cell(_number(c.t), kind="num"),
        cell(c.plan, kind="name"),
        cell(_number(c.makespan_s), kind="num"),
        cell("; ".join(f"{name} {_number(s)}" for name, s in others[:_OTHERS]) + more, kind="long"),
    ]


# -------------------------------------------------------------------------------------------------------- the tables


def _sets(sets: list[SetRow], colours: SetColours) -> ET.Element:
    for s in sets:
        colours[s.name]
    rows = [
        [
            cell(el("span", class_=f"dot swatch-{i}"), s.name, kind="name"),
            cell(_number(s.n), kind="num"),
            cell(_number(s.done), kind="num"),
            cell(_number(f), kind="num bad-text")
            if (f := s.counts.get(TaskState.failed, 0))
            else cell("0", kind="num"),
            cell(_number(s.attempts), kind="num"),
            cell(resources(s.resources), kind="nowrap"),
            cell(estimate(s.estimate), kind="num"),
            cell(_seconds(s.mean_s), kind="num"),
            cell(_seconds(s.first_start), kind="num"),
            cell(_seconds(s.last_end), kind="num"),
            cell(str(s.stage), kind="num"),
        ]
        for i, s in enumerate(sets)
    ]
    heads = ["set", "tasks", "done", "failed", "attempts", "each task", "TX declared", "mean TX, s"]
    heads += ["first start, s", "last end, s", "stage"]
    numeric = frozenset({1, 2, 3, 4, 6, 7, 8, 9, 10})
    return el("section", el("h2", "Sets"), page.table(heads, rows, numeric))


def _failures(tables: Tables) -> list[ET.Element]:
    if not tables.failures:
        return []
    shown = tables.failures[-_FAILURES:][::-1]
    causes: dict[str, int] = {}
    for f in tables.failures:
        causes[f.cause] = causes.get(f.cause, 0) + 1
    said = ", ".join(f"{n} × {cause}" for cause, n in sorted(causes.items(), key=lambda item: -item[1]))
    hidden = tables.failed_attempts - len(shown)
    note = f"{_plural(tables.failed_attempts, 'attempt')} ended without a result: {said}."
    if hidden > 0:
        note += f" The latest {len(shown)} are listed; `workbench story` tells about any other."
    rows = [_failure(tables, f) for f in shown]
    folded = rows[_OPEN_FAILURES:]
    parts: list[Child] = [el("h2", "Failures"), el("p", note, class_="note"), *rows[:_OPEN_FAILURES]]
    if folded:
        parts.append(el("details", el("summary", f"{len(folded)} earlier ones"), *folded))
    return [el("section", *parts)]


def _failure(tables: Tables, f: Failure) -> ET.Element:
    task = tables.state.task(f.task)
    now = f"task {task.state.value}" if task is not None else "task removed"
    why = EXPLAINED[Cause(f.cause)] if f.cause in Cause.__members__ else ""
    code = f", exit status {f.exit_code}" if f.exit_code is not None else ""
    summary = el(
        "summary",
        el("strong", f"{f.task}#{f.number}"),
        el("span", f.cause, class_="bad-text"),
        el("span", f"  {why}{code}  ·  at {_number(f.t)} s on {f.node}  ·  {now}", class_="soft"),
    )
    lines = f.detail.splitlines()
    cut = f"… {len(lines) - _LINES} lines before\n" if len(lines) > _LINES else ""
    text = cut + "\n".join(lines[-_LINES:]) if lines else "It left no output."
    return el("details", summary, el("pre", text, lines=True))


def _history(tables: Tables) -> list[ET.Element]:
    if not tables.commands:
        return []
    shown = tables.commands[:_COMMANDS]
    rows = []
    for c in shown:
        what: list[Child] = [c.summary]
        if c.refused:
            what.append(el("span", f" refused ({c.refused}): {c.message}", class_="bad-text"))
        if c.undoes:
            what.append(el("span", f" (undoes {c.undoes})", class_="soft"))
        if c.passed:
            what.append(el("span", f" (passed over: {'; '.join(c.passed)})", class_="soft"))
        rows.append(
            [
                cell(_number(c.t), kind="num"),
                cell(c.author, kind="nowrap"),
                cell(*what, kind="long"),
                cell(c.reason, kind="long"),
            ]
        )
    parts: list[Child] = [el("h2", "History of commands")]
    parts.append(page.table(("at, s", "author", "command", "reason"), rows, frozenset({0})))
    if len(tables.commands) > len(shown):
        parts.append(el("p", f"{len(tables.commands) - len(shown)} later commands are not listed.", class_="note"))
    return [el("section", *parts)]


def _footer(tables: Tables) -> ET.Element:
    scaled = "Times are unscaled seconds of the campaign, from its first assignment."
    which = f"Campaign Workbench {workbench.__version__}, from {_plural(tables.next_seq, 'record')} of the journal."
    return el("footer", el("p", f"{scaled} {which}"))


# --------------------------------------------------------------------------------------------------------- the style


def _style(sets: list[tuple[str, str]]) -> str:
    sheets = []
    for i, name in enumerate(THEMES):
        look = theme(name)
        roles = ("surface", "panel", "ink", "muted", "grid", "border", "accent", "danger")
        values = {role: getattr(look, role) for role in roles}
        values["edge"] = look.muted if name == "light" else look.border
        values["done-text"] = "#00694d" if name == "light" else look.states["done"]
        values |= {f"s-{state}": colour for state, colour in look.states.items()}
        values |= {f"set-{k}": pair[i] for k, pair in enumerate(sets)}
        rule = ":root{" + "".join(f"--{k}:{v};" for k, v in values.items()) + "}"
        sheets.append(rule if name == "light" else f"@media screen and (prefers-color-scheme: dark){{{rule}}}")
    sheets.append(f":root{{--font:{theme('light').font};}}")
    for state in theme("light").states:
        sheets.append(f".s-{state}{{fill:var(--s-{state});background:var(--s-{state})}}")
    for k in range(len(sets)):
        sheets.append(f".swatch-{k}{{fill:var(--set-{k});background:var(--set-{k})}}")
    css = files.files("workbench.report").joinpath("report.css").read_text(encoding="utf-8")
    return "\n".join([*sheets, css])
