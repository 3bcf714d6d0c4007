"""The report stands alone, says what the tables say, and no text in it becomes anything but text."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.report.campaigns import Run, ddmd, summit
from tests.report.hostile import told
from tests.report.payloads import PAYLOADS
from workbench.model import events as ev
from workbench.model.causes import Cause
from workbench.model.errors import WorkbenchError
from workbench.model.specs import Plan
from workbench.report import Tables, page
from workbench.report.html import render, write_report

VOID = {"meta", "br", "img", "input", "link", "hr", "base", "source", "embed"}


class Reader(HTMLParser):
    """Elements with their attributes in order, and the text of each."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.odd: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def handle_comment(self, data: str) -> None:
        self.odd.append(data)

    unknown_decl = handle_pi = handle_comment

    def text(self, *tags: str) -> str:
        return "\n".join(text for tag, text in self.texts if not tags or tag in tags)


def campaign(**options: object) -> Tables:
    run = Run(ddmd(3), scale=0.01, **options)  # type: ignore[arg-type]
    run.forecast(1250.0, 1206.0, sequential=1578.0, asynchronous=1329.0)
    run.run()
    tables = Tables()
    tables.fold(run.records)
    return tables


@pytest.fixture(scope="module")
def page_text() -> str:
    return render(campaign(fate=lambda t, n: Cause.UserError if t == "infer-1[5]" else None))


@pytest.fixture(scope="module")
def plain(page_text: str) -> Reader:
    return Reader(page_text)


@pytest.fixture(scope="module")
def hostile() -> str:
    return render(told(PAYLOADS))


def test_the_page_is_well_formed(plain: Reader) -> None:
    assert (plain.unbalanced, plain.odd, plain.open) == ([], [], [])
    ids = [a["id"] for _, a in plain.elements if "id" in a]
    assert len(ids) == len(set(ids))


def test_headline_numbers_are_the_tables(plain: Reader) -> None:
    tables = campaign(fate=lambda t, n: Cause.UserError if t == "infer-1[5]" else None)
    flat = " ".join(plain.text("dd", "dt", "small").split("\n"))
    assert flat.startswith("tasks 627 done 626 failed 1 makespan")
    makespan = f"{tables.makespan():,.0f}".replace(",", "\u202f")
    bound = tables.lower_bound()
    assert bound is not None and bound < tables.makespan()
    least = f"{bound:,.0f}".replace(",", "\u202f")
    assert f"makespan {makespan} s predicted 1\u202f250 s lower bound {least} s" in flat
    assert f"CPU used {100 * tables.utilization_fraction('cores'):.1f} %" in flat
    assert f"GPU used {100 * tables.utilization_fraction('gpus'):.1f} %" in flat


def test_what_was_foretold_is_scored_and_what_was_chosen_is_said() -> None:
    run = Run(ddmd(1), scale=0.01, policy="auto")
    for i, plan in enumerate((Plan("fifo"), Plan("upward-rank", "best", "", ("sim-0",)))):
        why = f"because of <b>{i}</b>"
        run.add(ev.PolicyChosen(run.at, plan, 500.0 + i, why, {"lpt/first": 560.0, "a": 530.0, plan.name: 500.0 + i}))
        ends = {"sim-0": (300.0 + 100 * i, 350.0 + 100 * i, 380.0 + 100 * i), "train-0": (1.0, 2.0, 3.0)}
        run.add(ev.ForecastMade(run.at, 520.0, 500.0, "adaptive", "auto", 9, {}, 1.0, 520.0, 9999.0, ends, 50))
        run.run(100)
    open_ = Tables()
    open_.fold(run.records)
    assert "P10\u2013P90 1\u20139\u202f999 s" in " ".join(Reader(render(open_)).text("dd", "dt", "small").split("\n"))
    tables = Tables()
    tables.fold(run.run().records)
    read = Reader(render(tables))
    told = read.text("p", "strong")
    assert "2 of 2 forecasts held the true finish in their band (4 in 5 should); of finishes of task sets, " in told
    assert "1 of 4 forecasts did" in told
    assert "upward-rank/best+order" in told and "because of <b>1</b>" in told and "because of <b>0</b>" not in told
    cells = [text for tag, text in read.texts if tag == "td"]
    assert "a 530; lpt/first 560" in cells
    first = cells.index("300\u2013380")
    assert (cells[first - 2], cells[first - 1], cells[first + 2]) == ("sim-0", "350", "in the band")
    late = cells.index("1\u20133")
    assert (cells[late - 2], cells[late + 2]) == ("train-0", "later")


def test_a_report_without_bands_or_choices_does_not_speak_of_them(plain: Reader) -> None:
    assert not {"How good the forecasts were", "Ends of task sets", "What policy auto chose"} & {
        text for tag, text in plain.texts if tag == "h2"
    }


def test_every_set_has_a_card_and_a_row_and_every_edge_a_line(plain: Reader) -> None:
    names = {f"{kind}-{i}" for kind in ("sim", "aggr", "train", "infer") for i in range(3)}
    assert {t for tag, t in plain.texts if tag == "text"} >= names
    assert {t for tag, t in plain.texts if tag == "td"} >= names
    lines = [t for tag, t in plain.texts if tag == "title" and " waits for " in t]
    assert len(lines) == 9
    assert "aggr-0 waits for sim-0" in lines


def test_a_failure_names_task_cause_and_last_lines(plain: Reader) -> None:
    assert "infer-1[5]#1" in plain.text("strong")
    assert "UserError" in plain.text("span")
    assert "exit status 1" in plain.text("span")
    assert "ValueError: no frames in trajectory" in plain.text("pre")


def test_many_failures_fold_after_the_latest_twenty() -> None:
    page = ET.fromstring(_failed_section(render(campaign(fate=lambda t, n: Cause.UserError if "sim" in t else None))))
    rows = page.findall("details")
    assert len(rows) == 21
    summary = rows[-1].find("summary")
    assert summary is not None and summary.text == "80 earlier ones"
    assert len(rows[-1].findall("details")) == 80


def _failed_section(html: str) -> str:
    """The section on failures, which is well-formed XML."""
    begin = html.index("<section><h2>Failures</h2>")
    return html[begin : html.index("</section>", begin)] + "</section>"


def test_long_output_is_cut_to_its_last_lines() -> None:
    detail = "\n".join(f"line {i}" for i in range(200))
    text = Reader(render(campaign(fate=lambda t, n: Cause.UserError if t == "sim-0[5]" else None, detail=detail)))
    shown = text.text("pre").splitlines()
    assert shown[0] == "… 140 lines before"
    assert shown[1] == "line 140"
    assert shown[-1] == "line 199"


def test_nothing_is_loaded_and_only_our_two_scripts_may_run(page_text: str) -> None:
    text = page_text
    read = Reader(text)
    loading = {"src", "href", "srcset", "data", "action", "background", "poster", "xlink:href"}
    assert [(t, a) for t, a in read.elements if loading & set(a)] == []
    assert [a for _, a in read.elements if any(name.startswith("on") for name in a)] == []
    (policy,) = [a["content"] for _, a in read.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert "unsafe" not in rules["script-src"]
    scripts = re.findall(r"<script>(.*?)</script>", text, re.S)
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts]
    assert len(scripts) == 2
    assert rules["script-src"].split() == hashes
    kinds = [a for t, a in read.elements if t == "script"]
    assert kinds == [{"type": "application/json", "id": "figures"}, {}, {}]
    # In our own parts nothing points anywhere; BokehJS has addresses in its texts, which the policy keeps it from.
    ours = text.replace(scripts[0], "")
    assert re.findall(r"https?://(?!www\.w3\.org/)[^\"' ]+", ours) == []


def shape(text: str) -> list[tuple[str, tuple[str, ...]]]:
    read = Reader(text)
    assert read.unbalanced == []
    return [(tag, tuple(sorted(a))) for tag, a in read.elements]


def test_sixty_hostile_texts_leave_the_structure_of_the_page_as_it_was(hostile: str) -> None:
    assert len(set(PAYLOADS)) == 60
    tame = [f"text {i:02d} of an ordinary length, with words" for i in range(60)]
    assert shape(hostile) == shape(render(told(tame)))
    read = Reader(hostile)
    assert read.odd == []
    cells = read.text("td")
    for payload in PAYLOADS:
        assert page.clean(payload) in cells, f"{payload!r} is not in the page as text"


def test_hostile_texts_cannot_end_the_data_of_the_figures(hostile: str) -> None:
    (raw,) = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', hostile, re.S)
    assert not set("<>&\u2028\u2029") & set(raw)
    assert json.loads(raw)["places"] == ["figure-utilization", "figure-makespan", "figure-progress"]


def test_no_figure_uses_a_model_that_compiles_code_or_reads_markup(hostile: str) -> None:
    (raw,) = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', hostile, re.S)
    names = set()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            if value.get("type") == "object":
                names.add(value["name"])
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(json.loads(raw)["document"])
    assert "Figure" in names
    assert [
        n for n in names if n.startswith("Custom") or n in {"Div", "PreText", "Paragraph", "HTML", "TeX", "Html"}
    ] == []
    # Bokeh would read text between such signs as a formula.
    strings = re.findall(r'"((?:[^"\\]|\\.)*)"', raw)
    assert [s for s in strings if re.search(r"\$\$|\\\\[\[(]", s)] == []


def test_writing_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    assert write_report(campaign(), target) == target
    assert target.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert os.listdir(tmp_path) == ["report.html"]
    umask = os.umask(0)
    os.umask(umask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    missing = tmp_path / "none" / "report.html"
    with pytest.raises(WorkbenchError, match=r"cannot write the report to .*none/report\.html: No such file"):
        write_report(campaign(), missing)
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(WorkbenchError, match="Is a directory"):
        write_report(campaign(), folder)
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.parametrize("records", [0, 1, 3, 200])
def test_any_prefix_of_a_campaign_has_a_report(records: int) -> None:
    run = Run(ddmd(1), scale=0.01).run()
    tables = Tables()
    tables.fold(run.records[:records])
    assert Reader(render(tables)).unbalanced == []


def test_nodes_of_a_restart_are_not_counted_twice() -> None:
    run = Run(ddmd(1), scale=0.01).run(100)
    run.at += 60
    run.add(ev.EngineStarted(run.at, 2))
    for node in list(run.state.nodes):
        run.lose(node, Cause.EngineLost)
    for i in range(16, 32):
        run.join(f"summit-{i}", summit())
    tables = Tables()
    tables.fold(run.run().records)
    facts = Reader(render(tables)).text("p")
    assert "16 nodes, 2\u202f688 cores, 96 GPUs" in facts
    assert "1 restart" in facts
