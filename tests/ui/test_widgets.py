"""The widgets as the kernel has them: what they send, and what a page that opens late gets."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bokeh.document import Document

from tests.report.campaigns import Run, ddmd
from tests.ui.scripted import ScriptedSession
from tests.ui.test_feed import write
from workbench.report.tables import Tables
from workbench.ui.bundle import BundleMissing, bundle
from workbench.ui.dag import DagView
from workbench.ui.dashboard import _DRAWINGS, Dashboard, NoFrontEnd, open_dashboard
from workbench.ui.figures import FiguresView, bokehjs
from workbench.ui.header import HeaderView
from workbench.ui.live import LiveWidget
from workbench.ui.plots import themed

RUN = Run(ddmd(1), name="villin").run()


def tables_at(n: int) -> Tables:
    tables = Tables()
    tables.fold(RUN.records[:n])
    return tables


class Wire:
    """Notes what a widget sends."""

    def __init__(self, widget: LiveWidget, monkeypatch: pytest.MonkeyPatch) -> None:
        self.messages: list[Any] = []
        self.states: list[dict[str, Any]] = []
        monkeypatch.setattr(widget, "send", lambda content, buffers=None: self.messages.append(content))
        send_state = widget.send_state

        def noting(key: Any = None) -> None:
            self.states.append(widget.get_state(key))
            send_state(key)

        monkeypatch.setattr(widget, "send_state", noting)


@pytest.fixture
def dag() -> Iterator[DagView]:
    view = DagView()
    yield view
    view.close()


def test_the_graph_travels_as_state_and_changes_as_messages(dag: DagView, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(dag, monkeypatch)
    assert dag.show(tables_at(30), "live") > 0
    assert [next(iter(s)) for s in wire.states] == ["graph", "status"]
    assert [s["id"] for s in wire.states[0]["graph"]["sets"]] == ["sim-0", "aggr-0", "train-0", "infer-0"]
    assert dag.show(tables_at(60), "live") > 0
    (delta,) = wire.messages
    assert delta["type"] == "delta" and delta["seq"] == 59 and [r[0] for r in delta["rows"]] == ["sim-0"]
    assert dag.show(tables_at(60), "live") == 0
    assert len(wire.messages) == 1


def test_a_page_that_opens_late_gets_the_graph_as_it_is_now(dag: DagView) -> None:
    dag.show(tables_at(30), "live")
    dag.show(tables_at(len(RUN.records)), "closed")
    state = dag.get_state()
    assert state["status"]["phase"] == "closed"
    assert [row[1][0] for row in state["status"]["rows"]] == [96, 16, 1, 96]
    json.dumps({k: v for k, v in state.items() if k != "layout"}, allow_nan=False)


def test_a_beat_after_changes_carries_a_whole_status(dag: DagView, monkeypatch: pytest.MonkeyPatch) -> None:
    dag.show(tables_at(30), "live")
    wire = Wire(dag, monkeypatch)
    dag.beat("live")
    assert wire.messages == [{"type": "beat", "seq": 29, "phase": "live"}]
    dag.show(tables_at(60), "live")
    dag.beat("live")
    assert [next(iter(s)) for s in wire.states] == ["status"]


def test_a_complaint_reaches_pages_that_open_later_too(dag: DagView) -> None:
    dag.complain("the journal is damaged")
    assert dag.get_state("status")["status"]["trouble"] == "the journal is damaged"


def test_positions_come_back_from_the_browser(dag: DagView) -> None:
    dag.set_state({"positions": {"sim-0": [0, 0]}, "direction": "TB"})
    assert dag.get_state()["positions"] == {"sim-0": [0, 0]}
    assert dag.direction == "TB"


def test_the_header_speaks_when_it_has_something_new_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    view = HeaderView()
    wire = Wire(view, monkeypatch)
    assert view.show(tables_at(30), "live") > 0
    assert view.show(tables_at(30), "live") == 0
    view.beat("live")
    view.beat("closed")
    view.complain("no engine")
    assert [s["head"]["phase"] for s in wire.states] == ["live", "closed", "closed"]
    assert wire.states[-1]["head"]["trouble"] == "no engine"
    assert wire.messages == [{"type": "beat"}]
    assert view.get_state("head")["head"]["name"] == "villin"
    view.close()
    assert view.closed


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_patches_lead_from_one_whole_document_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    view = FiguresView([(themed(make), span) for make, span in _DRAWINGS], clock)
    wire = Wire(view, monkeypatch)
    copy = Document.from_json(json.loads(view.get_state("document")["document"]["json"]))
    for i, n in enumerate(range(40, len(RUN.records), 60), 1):
        assert view.show(tables_at(n), "live") > 0
        assert wire.messages[-1]["version"] == i
        copy.apply_json_patch(json.loads(wire.messages[-1]["patch"]))
    whole = view.get_state("document")["document"]
    assert whole["version"] == len(wire.messages)
    assert whole["spans"] == [span for _, span in _DRAWINGS]
    ours, theirs = Document.from_json(json.loads(whole["json"])), copy
    for mine, other in zip(ours.roots, theirs.roots, strict=True):
        found = [{m.id: dict(m.data) for m in r.references() if hasattr(m, "column_names")} for r in (mine, other)]
        assert found[0]
        told = [json.dumps(data, default=str, sort_keys=True) for data in found]  # as text: NaN equals itself there
        assert told[0] == told[1]
    view.close()


def test_whole_documents_follow_soon_at_first_and_then_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    view = FiguresView([(themed(make), span) for make, span in _DRAWINGS], clock)
    wire = Wire(view, monkeypatch)
    at: list[float] = []
    for n in range(30, 150):
        view.show(tables_at(n), "live")
        before = len(wire.states)
        view.beat("live")
        if len(wire.states) > before:
            at.append(clock.now)
        clock.now += 0.5
    assert at == [1.0, 4.0, 14.0, 44.0]
    view.close()


def test_a_page_that_found_a_gap_gets_a_whole_document(monkeypatch: pytest.MonkeyPatch) -> None:
    view = FiguresView([(themed(make), span) for make, span in _DRAWINGS])
    view.show(tables_at(60), "live")
    wire = Wire(view, monkeypatch)
    view._handle_custom_msg({"type": "whole"}, [])
    view._handle_custom_msg("nonsense", [])
    assert [s["document"]["version"] for s in wire.states] == [1]
    view.close()


def test_bokehjs_is_the_one_of_the_installed_package() -> None:
    import bokeh

    script = gzip.decompress(bokehjs())
    assert f'"{bokeh.__version__}"'.encode() in script
    assert len(bokehjs()) < 500_000


def test_a_dashboard_follows_its_session_and_sums_it_up() -> None:
    session = ScriptedSession(RUN.records, 40)
    board = Dashboard(session)
    assert "villin: running; 0 of 209 tasks ended" in repr(board)
    data, _ = board._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == board.widget.model_id
    assert data["text/plain"] == board.summary()
    session.release()
    session.close()
    assert board.feed.join(30)
    assert board.summary() == "villin: finished; 209 of 209 tasks ended"
    assert board.dag.get_state("status")["status"]["phase"] == "closed"
    board.close()
    assert not board.live and board.dag.closed


def test_a_dashboard_of_a_directory(tmp_path: Path) -> None:
    write(tmp_path, RUN.records[:60])
    board = Dashboard(tmp_path)
    assert board.feed.join(30)
    assert "villin: stopped" in board.summary()
    board.close()


def test_outside_a_notebook_a_sentence_says_what_to_use_instead(tmp_path: Path) -> None:
    with pytest.raises(NoFrontEnd, match=r"not a notebook; `workbench lab`.*`workbench report DIR`"):
        open_dashboard(tmp_path)


def test_a_missing_bundle_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(BundleMissing, match=r"pip install -e \."):
        bundle("dag", tmp_path)
