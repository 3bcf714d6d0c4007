"""A page of results of a benchmark that measures no peers: tables, and figures reached or missed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

RESULTS = Path(__file__).with_name("results")


class Page:
    """Collects what one script found; prints it and writes ``results/NAME/RESULTS.md`` and ``results.json``.

    Parameters
    ----------
    name : str
        Of the folder.
    about : str
        The script's own docstring: what was done.
    """

    def __init__(self, name: str, about: str) -> None:
        self._name = name
        self._parts = [f"# {name}\n\n{about.strip()}\n"]
        self._figures: list[tuple[str, str, str, bool]] = []
        self._data: dict[str, object] = {}

    def text(self, text: str) -> None:
        """Add a paragraph."""
        self._parts.append(f"{text.strip()}\n")

    def table(self, title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Add a table; the first column is text, the others are numbers as they are to be shown."""
        kept = [[str(cell) for cell in row] for row in rows]
        lines = [f"## {title}\n", f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
        lines += [f"| {' | '.join(row)} |" for row in kept]
        self._parts.append("\n".join(lines) + "\n")
        self._data[title] = {"head": list(head), "rows": kept}

    def figure(self, what: str, wanted: str, seen: str, reached: bool) -> None:
        """Add a figure that was to be reached."""
        self._figures.append((what, wanted, seen, reached))

    def write(self) -> None:
        """Print the page and write its files."""
        parts = list(self._parts)
        if self._figures:
            lines = ["## Figures\n", "| figure | wanted | measured | reached |", "| --- | ---: | ---: | --- |"]
            lines += [f"| {a} | {b} | {c} | {'yes' if ok else '**no**'} |" for a, b, c, ok in self._figures]
            parts.insert(1, "\n".join(lines) + "\n")
        page = "\n".join(parts)
        print(page)
        folder = RESULTS / self._name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "RESULTS.md").write_text(page)
        figures = [dict(zip(("figure", "wanted", "measured", "reached"), f, strict=True)) for f in self._figures]
        (folder / "results.json").write_text(json.dumps({"figures": figures, "tables": self._data}, indent=1) + "\n")
