"""The last lines of what an attempt printed: standard error first, and never more than a record should carry."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.executors.agent.output import LINES, TAIL, last_words


@pytest.mark.parametrize(
    ("err", "out", "words"),
    [
        (None, None, []),
        ("", " \n", []),
        ("why\n", "", ["why"]),
        ("", "so far\nand further", ["so far", "and further"]),
        ("why", "one\ntwo\n", ["why", "standard output before that:", "one", "two"]),
        ("\n".join(map(str, range(50))), "lost", list(map(str, range(30, 50)))),
        ("e\n" * 19, "\n".join(map(str, range(50))), ["e"] * 19 + ["standard output before that:", "49"]),
    ],
)
def test_standard_error_first(tmp_path: Path, err: str | None, out: str | None, words: list[str]) -> None:
    for name, text in (("err", err), ("out", out)):
        if text is not None:
            (tmp_path / name).write_text(text)
    assert last_words(str(tmp_path / "err"), str(tmp_path / "out")).splitlines() == words


def test_bounded_in_bytes_whatever_they_are(tmp_path: Path) -> None:
    (tmp_path / "err").write_bytes(bytes(range(256)) * 1000)
    (tmp_path / "out").write_bytes("ö".encode() * 100_000)
    said = last_words(str(tmp_path / "err"), str(tmp_path / "out"))
    assert len(said.splitlines()) <= LINES + 1
    (tmp_path / "err").write_text("")
    assert 0 < len(last_words(str(tmp_path / "err"), str(tmp_path / "out")).encode()) <= TAIL + 3
