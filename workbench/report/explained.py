"""The analytic model of a campaign as words and tables for a terminal or a notebook, and as plain values for programs.

Names of sets and campaigns come from a user: they go in as `rich.text.Text`, which takes nothing for markup, without
control characters.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from workbench.predict.analytic import Model, Times, improvement
from workbench.predict.published import Figure, Published

_NAMES = 6
_MASKS = 24


@dataclass(frozen=True)
class Explained:
    """What the model says of a campaign, with what is printed about it.

    Parameters
    ----------
    name : str
        Of the campaign.
    model : Model
        See `workbench.predict.analytic`.
    published : Published or None
        Printed figures, where there are any.
    """

    name: str
    model: Model
    published: Published | None = None

    def __repr__(self) -> str:
        return self.text()

    @property
    def t_seq_s(self) -> float | None:
        """Eq. 2, seconds; None if a TX is not known."""
        return None if self.model.times is None else self.model.times.t_seq_s

    @property
    def t_async_s(self) -> float | None:
        """Eq. 3, seconds: for the paper's own workflows as the paper counts, otherwise each set once."""
        t = self.model.times
        if t is None:
            return None
        return t.t_async_repeated_s if self._repeats else t.t_async_s

    @property
    def improvement(self) -> float | None:
        """Eq. 5 from the two."""
        if self.t_async_s is None or self.t_seq_s is None:
            return None
        return improvement(self.t_async_s, self.t_seq_s)

    @property
    def _repeats(self) -> bool:
        return self.published is not None and self.published.repeats

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences: what the figures do not say by themselves, then what is inconsistent in the publication."""
        remarks = _remarks(self.model, self.t_async_s)
        if self.published is None:
            return tuple(remarks.values())
        own = (text for kind, text in remarks.items() if kind not in self.published.covers)
        return (*own, *self.published.notes)

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON has it; times in seconds."""
        m, t, p = self.model, self.model.times, self.published
        result: dict[str, Any] = {
            "name": self.name,
            "allocation": [
                {"nodes": n, "cores": s.cores, "gpus": s.gpus, "memory": s.memory} for n, s in m.allocation.groups
            ],
            "sets": len(m.rows),
            "tasks": sum(r.n for r in m.rows),
            "doa_dep": m.doa_dep,
            "doa_adaptive": m.doa_adaptive,
            "doa_res": m.doa_res,
            "wla": m.wla,
            "sinks": m.sinks,
            "widest": m.widest,
            "side_by_side": m.side_by_side,
            "rank": m.rank,
            "t_seq": _exact(self.t_seq_s),
            "t_async": _exact(self.t_async_s),
            "improvement": self.improvement,
            "unknown_tx": m.unknown,
        }
        if t is not None:
            result |= _times(t)
        if p is not None:
            result["printed"] = {
                "workflow": p.workflow,
                "source": p.source,
                **{f.key: f.printed for f in p.figures},
                "differs": [f.key for f in p.figures if f.same is False],
            }
        return {**result, "notes": self.notes}

    def rich(self) -> RenderableType:
        """For `rich.console.Console.print`."""
        m = self.model
        tasks = sum(r.n for r in m.rows)
        head = Text(_plain(self.name), style="bold")
        head.append(f"  {_count(len(m.rows), 'set')}, {_count(tasks, 'task')} on {m.allocation}", style="not bold")
        parts: list[RenderableType] = [head, *_block("Degree of asynchronicity", _degrees(m))]
        if m.times is not None:
            parts += _block("Times without overheads", self._equations(m.times))
            if m.times.masks:
                parts += _block("TX masking: who hides whom", _masking(m.times))
        if self.published is not None:
            parts += _block(f"As printed about {self.published.workflow}", _printed(self.published.figures))
            parts.append(Padding(Text(self.published.source, style="dim italic"), (0, 0, 0, 2)))
        if self.notes:
            notes = Table.grid(padding=(0, 1))
            for note in self.notes:
                notes.add_row("-", Text(_plain(note)))
            parts += _block("To be read with it", notes)
        return Group(*parts)

    def text(self, width: int = 110) -> str:
        """Plain text, `width` characters wide at most."""
        out = io.StringIO()
        # Inside a kernel rich would display HTML of its own instead of writing to the file.
        console = Console(
            file=out, width=width, color_system=None, highlight=False, markup=False, emoji=False, force_jupyter=False
        )
        console.print(self.rich())
        return "\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines())

    def _equations(self, t: Times) -> Table:
        table = _columns("", "", "s", "")
        tx = {r.name: r.tx_s or 0.0 for r in self.model.rows}

        def sum_of(names: Sequence[str]) -> str:
            return " + ".join(f"{_plain(n)} {_seconds(tx[n])}" for n in names[:_NAMES]) + (
                f" + {len(names) - _NAMES} more" if len(names) > _NAMES else ""
            )

        stages = f"{_count(len(t.stages), 'stage')}: {sum_of([s.longest for s in t.stages])}"
        _row(table, "t_seq", "Eq. 2", _seconds(t.t_seq_s), stages)
        b = t.branch
        parts = [sum_of(b.shared)] if b.shared else []
        parts.append(f"branch {{{', '.join(map(_plain, b.own[:_NAMES]))}}} {_seconds(b.tx_s)}")
        if t.sequential:
            parts.append(sum_of(t.sequential))
        if self._repeats and t.repeated:
            parts.append(f"again {sum_of(t.repeated)}")
        assert self.t_async_s is not None and self.improvement is not None
        _row(table, "t_async", "Eq. 3", _seconds(self.t_async_s), " + ".join(parts))
        if self._repeats and t.repeated:
            _row(table, "", "", _seconds(t.t_async_s), "with each set counted once")
        times = " > ".join(_seconds(x.tx_s) for x in sorted(t.branches, key=lambda x: -x.tx_s)[:_NAMES])
        _row(table, "branches", "Eq. 4", _seconds(b.tx_s), f"{len(t.branches)}, behind what they share: {times}")
        _row(table, "I", "Eq. 5", f"{self.improvement:.3f}", f"{_seconds(t.t_seq_s - self.t_async_s)} s saved")
        if (it := t.iterations) is not None:
            masked = "".join(f" - {k} x {_plain(name)} {_seconds(tx[name])}" for name, k in it.subtracted)
            what = f"{len(it.chains)} x {_seconds(it.iteration_s)}{masked}"
            _row(table, "t_async", "Eq. 6", _seconds(it.t_async_s), what)
        _row(table, "lower bound", "", _seconds(t.lower_bound_s), "of any schedule on this allocation")
        return table


def _times(t: Times) -> dict[str, Any]:
    it = t.iterations
    return {
        "t_async_once": _exact(t.t_async_s),
        "lower_bound": _exact(t.lower_bound_s),
        "stages": [{"sets": s.sets, "longest": s.longest, "tx": _exact(s.tx_s)} for s in t.stages],
        "branches": [
            {"shared": b.shared, "own": b.own, "tx": _exact(b.tx_s), "total": _exact(b.total_s)} for b in t.branches
        ],
        "sequential": [*t.branch.shared, *t.sequential],
        "repeated": t.repeated,
        "eq6": None if it is None else _exact(it.t_async_s),
        "eq7": None if it is None else _exact(it.eq7_s),
        "masks": [{"hidden": k.hidden, "by": k.by, "seconds": _exact(k.seconds), "fits": k.fits} for k in t.masks],
    }


def _exact(value: float | None) -> float | None:
    """Without the dust of binary fractions: a nanosecond is less than anything here means."""
    return None if value is None else round(value, 9)


def _remarks(m: Model, t_async_s: float | None) -> dict[str, str]:
    """Sentences by kind."""
    notes = {}
    if m.unknown:
        notes["unknown"] = (
            f"No TX is known for {_names(m.unknown)}, so there are no times: declare estimate=SECONDS, or ask again "
            "when tasks have finished."
        )
    t = m.times
    if t is None or t_async_s is None:
        return notes
    if t_async_s < t.lower_bound_s * (1 - 1e-9):
        notes["infeasible"] = (
            f"Eq. 3 does not count resources: its {_seconds(t_async_s)} s is infeasible here, as no schedule on this "
            f"allocation takes less than {_seconds(t.lower_bound_s)} s."
        )
    if crowded := [f"{_plain(k.hidden)} under {_plain(k.by)}" for k in t.masks if not k.fits]:
        notes["crowded"] = (
            f"The model hides {_names(crowded)}, and the allocation has no room for both full sets at once: that much "
            "masking is not to be had as it stands."
        )
    if t.iterations is not None:
        notes["eq7"] = (
            f"Eq. 6 is of n iterations of one chain, and Eq. 7 does not generalise it: it would give "
            f"{_seconds(t.iterations.eq7_s)} s."
        )
    return notes


def _degrees(m: Model) -> Table:
    table = _columns("", "", "")
    ends = (
        f"branches end in {_names(m.sinks)}; minus one" if m.doa_dep else f"one branch, which ends in {_names(m.sinks)}"
    )
    _row(table, "DOA_dep", str(m.doa_dep), ends)
    wide = f"{_names(m.widest)} are independent; minus one" if m.doa_adaptive else "every set follows another"
    _row(table, "DOA_adaptive", str(m.doa_adaptive), wide)
    if m.side_by_side:
        sides = [" + ".join(map(_plain, branch)) for branch in m.side_by_side]
        verb = "fits" if len(sides) == 1 else "fit side by side"
        _row(table, "DOA_res", str(m.doa_res), f"at rank {m.rank}, {_names(sides)} {verb}; minus one")
    else:
        _row(table, "DOA_res", str(m.doa_res), "no full set fits at once")
    _row(table, "WLA, Eq. 1", str(m.wla), "the smaller of DOA_dep and DOA_res; a label, not a prediction")
    return table


def _masking(t: Times) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("hidden", overflow="fold")
    table.add_column("by", overflow="fold")
    table.add_column("for s", justify="right", no_wrap=True)
    table.add_column("room for both")
    shown = sorted(t.masks, key=lambda k: -k.seconds)[:_MASKS]
    for k in (k for k in t.masks if k in set(shown)):
        fits = Text("yes", style="green") if k.fits else Text("no", style="yellow")
        table.add_row(Text(_plain(k.hidden)), Text(_plain(k.by)), _seconds(k.seconds), fits)
    if len(t.masks) > len(shown):
        rest = len(t.masks) - len(shown)
        table.add_row(Text(f"{rest} more, shorter ones", style="dim"), "", "", "")
    return table


def _printed(figures: Iterable[Figure]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("")
    for head in ("printed", "ours"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("")
    for f in figures:
        ours = "" if f.ours is None else f"{f.ours:.{f.digits}f}"
        verdict = {True: Text("same", style="green"), False: Text("differs", style="yellow"), None: Text("")}[f.same]
        table.add_row(Text(f.what), f"{f.printed:.{f.digits}f}", ours, verdict)
    return table


def _block(title: str, body: RenderableType) -> list[RenderableType]:
    return [Text(""), Text(title, style="bold cyan"), Padding(body, (0, 0, 0, 2))]


def _columns(*heads: str) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for i, _ in enumerate(heads):
        last = i == len(heads) - 1
        table.add_column(no_wrap=not last, justify="right" if i == len(heads) - 2 else "left", overflow="fold")
    return table


def _row(table: Table, *cells: str) -> None:
    table.add_row(*(Text(cell, style="bold" if i == len(cells) - 2 else "") for i, cell in enumerate(cells)))


def _seconds(value: float) -> str:
    """No more digits than mean something: ``"1320"``, ``"152.5"``, ``"0.25"``."""
    digits = 0 if abs(value) >= 10_000 else 1 if abs(value) >= 10 else 3
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _names(names: Sequence[str]) -> str:
    shown = [_plain(n) for n in names[:_NAMES]]
    if len(names) > _NAMES:
        return f"{', '.join(shown)} and {len(names) - _NAMES} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _plain(text: str) -> str:
    """`text` on one line, without signs that a terminal would act on."""
    return "".join(c if c.isprintable() else "?" for c in text)
