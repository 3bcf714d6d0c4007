"""The figure of the analytic model: every set drawn once where Eq. 3 has it, and text that stays text."""

from __future__ import annotations

import itertools

import pytest

from workbench.gallery import paper
from workbench.gallery.printed import SUMMIT, printed, set_rows
from workbench.predict.analytic import SetRow, analyse
from workbench.predict.fitting import Allocation
from workbench.report.explained import Explained
from workbench.ui.explained import ExplainedView, figure
from workbench.ui.plots import plain, themed


def ddmd() -> Explained:
    model = analyse(set_rows(paper.ddmd_rows(graph="staggered")), SUMMIT)
    return Explained("ddmd", model, printed(model))


@pytest.mark.parametrize("look", ["light", "dark"])
def test_lanes_and_bars(look: str) -> None:
    view = ExplainedView(look)
    view.show(ddmd())
    data = view.bars.data
    lanes: dict[str, list[tuple[str, float, float]]] = {}
    for lane, name, left, right in zip(data["lane"], data["name"], data["left"], data["right"], strict=True):
        lanes.setdefault(lane, []).append((name, left, right))
    assert len(lanes["sequential"]) == 12 and lanes["sequential"][-1][2] == 1578.0
    assert [name for name, _, _ in lanes["longest branch"]] == ["Sim0", "Sim1", "Sim2", "Aggr2", "Train2", "Infer2"]
    rest = [name for lane, bars in lanes.items() if lane not in ("sequential", "longest branch") for name, _, _ in bars]
    assert sorted(rest) == ["Aggr0", "Aggr1", "Infer0", "Infer1", "Train0", "Train1"]
    for bars in lanes.values():
        assert all(a[2] <= b[1] for a, b in itertools.pairwise(bars))
    assert view.head.source.data["text"] == [
        "t_seq 1\u202f578 s  ·  t_async 1\u202f320 s  ·  I 0.163  ·  at least 1\u202f206 s"
    ]


def test_many_sets_are_folded_and_names_are_text() -> None:
    names = ["$$x$$", "<b>"] + [f"s{i}" for i in range(40)]
    model = analyse([SetRow.of(n, 5.0) for n in names], Allocation.of(1, 64))
    view = themed(ExplainedView)
    view.show(Explained("x", model))
    assert "hidden sets more are not drawn" in view._plot.xaxis[0].axis_label
    assert len(set(view.bars.data["lane"])) == 14
    assert {"$$x$$", "<b>"} & set(view.bars.data["name"]) == {"<b>"}  # a tooltip escapes it, a label draws it
    assert plain("$$x$$") in view.bars.data["name"]


def test_without_times_there_is_a_sentence() -> None:
    view = ExplainedView("light")
    view.show(Explained("x", analyse([SetRow.of("a", None)], Allocation.of(1, 1))))
    assert view.head.source.data["text"] == ["no times: not every TX is known"]


def test_the_widget_carries_the_figure() -> None:
    widget = figure(ddmd())
    try:
        document = widget.get_state("document")["document"]
        assert document["spans"] == [12] and "longest branch" in document["json"]
    finally:
        widget.close()
