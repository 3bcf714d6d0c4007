"""What no file of the project may contain."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.codebase.sources import ROOT, files, under

LONGEST = 450


def _lines(pattern: str, *folders: str, suffixes: tuple[str, ...]) -> list[str]:
    wanted = re.compile(pattern)
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in under(*folders, suffixes=suffixes)
        for number, line in enumerate(text.splitlines(), start=1)
        if wanted.search(line)
    ]


def test_no_file_has_grown_beyond_one_job() -> None:
    texts = dict(under("workbench", "extensions/src", suffixes=(".py", ".ts", ".tsx", ".css")))
    assert len(texts) > 40
    assert {n: t.count("\n") for n, t in texts.items() if t.count("\n") > LONGEST} == {}


def test_no_widget_turns_text_into_markup_or_code() -> None:
    found = _lines(
        r"innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|document\.write|\beval\(|new Function\(",
        "extensions/src",
        suffixes=(".ts", ".tsx", ".js"),
    )
    assert found == []


def test_no_view_hands_text_to_something_that_interprets_it() -> None:
    # bokeh's Div and {safe} formats, ipywidgets' HTML and IPython's HTML render what they are given.
    found = _lines(
        r"\bDiv\(|\{safe\}|\bHTMLMath\(|\bHTML\(|\bPreText\(.*render_as_text=False", "workbench/ui", suffixes=(".py",)
    )
    assert found == []


def test_nothing_goes_through_a_shell() -> None:
    assert _lines(r"shell\s*=\s*True|os\.system\(|os\.popen\(|getoutput\(", "workbench", suffixes=(".py",)) == []


def _calls(text: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.lineno


def test_what_is_read_back_at_start_is_never_unpickled() -> None:
    """Pickles are opened in the store's codec, on behalf of a task or of a result's reader, and nowhere else."""
    loads = re.compile(
        r"(?:^|\.)(?:pickle|cloudpickle)\.loads?$|(?:^|\.)Unpickler$|^eval$|^exec$|^torch\.load$|^np\.load$"
    )
    found = {
        f"{name}:{line}: {call}"
        for name, text in under("workbench")
        for call, line in _calls(text)
        if loads.search(call)
    }
    reading = ("workbench/core/", "workbench/model/", "workbench/journal/", "workbench/engine/", "workbench/report/")
    assert [place for place in sorted(found) if place.startswith(reading)] == []


def test_the_text_of_the_project_names_no_machine_and_leaves_nothing_open() -> None:
    words = re.compile(
        r"(?<![\w.])/(?:work|opt/pypi|opt/wheels)/|/tmp/cw|\bpypi\.org|pythonhosted|registry\.npmjs|registry\.yarnpkg"
        r"|\b(?:TODO|FIXME|XXX|HACK)\b"
    )
    found = []
    for path in files():
        name = path.relative_to(ROOT).as_posix()
        if name == "tests/codebase/test_sources.py":
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        found += [
            f"{name}:{n}: {line.strip()[:120]}"
            for n, line in enumerate(text.splitlines(), start=1)
            if words.search(line)
        ]
    assert found == []


def test_every_room_is_a_package_with_a_sentence_about_itself() -> None:
    without = []
    for name, text in under("workbench"):
        if text.strip() and ast.get_docstring(ast.parse(text)) is None:
            without.append(name)
        folder = name.rpartition("/")[0]
        if not (ROOT / folder / "__init__.py").is_file():
            without.append(f"{folder}/__init__.py")
    assert sorted(set(without)) == []
