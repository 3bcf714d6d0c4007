"""A what-if as a person reads it: before, after, and the difference."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .whatif import WhatIf

ROWS = (
    ("finish (P50)", "finish_p50_s", "s"),
    ("  P10", "finish_p10_s", "s"),
    ("  P90", "finish_p90_s", "s"),
    ("lower bound", "bound_s", "s"),
    ("core-hours", "core_hours", "h"),
    ("GPU-hours", "gpu_hours", "h"),
    ("core-hours offered", "offered_core_hours", "h"),
    ("GPU-hours offered", "offered_gpu_hours", "h"),
    ("open tasks", "open_tasks", "n"),
)


def table(w: WhatIf) -> str:
    """Lines of text; rows that are zero on both sides are left out."""
    if w.refused:
        return f"refused, {w.refused}: {w.message}"
    lines = []
    if w.before is not None or w.after is not None:
        rows = [("", "now", "with the edit", "difference")]
        for title, field, unit in ROWS:
            a = None if w.before is None else float(getattr(w.before, field))
            b = None if w.after is None else float(getattr(w.after, field))
            if not a and not b:
                continue
            rows.append((title, _value(a, unit), _value(b, unit), _change(a, b, unit)))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        for row in rows:
            lines.append("  ".join([row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in (1, 2, 3))]).rstrip())
    if w.lost_attempts or w.lost_results:
        what = [f"{n} {name}{'s' if n > 1 else ''}" for n, name in _lost(w) if n]
        gpus = f" and {_number(w.lost_gpu_hours)} GPU-hours" if w.lost_gpu_hours else ""
        lines.append(f"lost: {' and '.join(what)}, {_number(w.lost_core_hours)} core-hours{gpus} of work")
    if w.note:
        lines.append(f"note: {w.note}")
    return "\n".join(lines) or "nothing would change"


def _lost(w: WhatIf) -> tuple[tuple[int, str], ...]:
    return (w.lost_attempts, "running attempt"), (w.lost_results, "result")


def _value(x: float | None, unit: str) -> str:
    if x is None:
        return "-"
    if not math.isfinite(x):
        return "never" if unit == "s" else "-"
    return f"{x:.0f}" if unit == "n" else f"{_number(x)} s" if unit == "s" else _number(x)


def _change(a: float | None, b: float | None, unit: str) -> str:
    if a is None or b is None or a == b:
        return "" if a is None or b is None else "="
    if not (math.isfinite(a) and math.isfinite(b)):
        return ""
    sign = "+" if b > a else "-"
    return sign + _value(abs(b - a), unit)


def _number(x: float) -> str:
    return f"{x:.0f}" if x >= 1000 else f"{x:.1f}" if x >= 10 else f"{x:.3g}"
