"""The two views of a running campaign, and what is said at its end."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from tests.cli.conftest import START, history
from workbench.cli import live
from workbench.cli.outcome import counted, failures, outcome, summary
from workbench.cli.text import plain, seconds
from workbench.model import edits
from workbench.model import events as ev
from workbench.model.specs import SetSpec, Synthetic
from workbench.report.tables import Tables


def _tables(events: Sequence[ev.Event]) -> Tables:
    tables = Tables()
    tables.fold([ev.Record(seq, event) for seq, event in enumerate(events)])
    return tables


def _drawn(tables: Tables) -> str:
    console = Console(file=io.StringIO(), width=100, force_terminal=True, markup=False, color_system=None)
    console.print(live.picture(tables))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_picture_of_a_running_campaign() -> None:
    drawn = _drawn(_tables(history()[:10]))
    head, progress, sim, train = drawn.splitlines()
    assert head.strip() == "by hand"
    assert "3 tasks: 1 done, 1 running, 1 waiting" in progress
    assert "at 10.0 s, predicted to finish at 15.0 s" in progress
    assert sim.startswith("sim") and "1/2" in sim and "1 running" in sim
    assert train.startswith("train") and "0/1" in train


def test_picture_shows_failures_and_leaves_text_alone() -> None:
    created, *rest = history(failing=True)
    assert isinstance(created, ev.CampaignCreated)
    drawn = _drawn(_tables([ev.CampaignCreated(START, "c", "\x1b]0;x\x07[bold]n[/bold]", 1), *rest]))
    assert r"\x1b]0;x\x07[bold]n[/bold]" in drawn
    assert "1 failed" in drawn and "1 skipped" in drawn


def test_picture_of_many_sets_says_how_many_it_leaves_out() -> None:
    many = tuple(edits.AddSet(SetSpec(f"s{i}", Synthetic())) for i in range(30))
    started, *_ = history()[3:]
    events = [*history()[:2], ev.CommandAccepted(START, "1", (*history()[2].edits[:1], *many)), started]  # type: ignore[attr-defined]
    events.append(ev.AttemptAssigned(START, "s29[0]", 1, "local-0"))
    drawn = _drawn(_tables(events))
    assert "and 10 more sets" in drawn
    assert "s29 " in drawn, "what runs is shown before what waits"


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lines_tell_ended_sets_failures_and_now_and_then_the_counts() -> None:
    stream, clock = io.StringIO(), _Clock()
    view = live.LineView(stream, every_s=5, clock=clock)
    events = history(failing=True)
    tables = Tables()
    for seq, event in enumerate(events):
        tables.fold([ev.Record(seq, event)])
        view.show(tables)
    first = stream.getvalue().splitlines()
    assert first[0] == "at 0.0 ms: 0 tasks" or first[0].endswith(": 0 tasks")
    assert "sim[1]#1 ended: UserError" in first
    assert any(text.endswith("set sim has ended") for text in first)
    assert not any("skipped" in text for text in first), "the counts are not due yet"
    clock.now = 6
    view.show(tables)
    view.show(tables)
    assert stream.getvalue().splitlines()[len(first) :] == ["at 10.0 s: 3 tasks: 1 done, 1 failed, 1 skipped"]


def test_a_view_for_a_stream_that_is_no_terminal_is_plain() -> None:
    assert isinstance(live.view(io.StringIO()), live.LineView)


def test_summary_of_a_campaign_that_ended_well(tmp_path: Path) -> None:
    tables = _tables(history())
    assert summary(tables) == [
        "by hand  3 tasks: 3 done",
        "makespan 16.0 s (predicted 15.0 s; tasks this long need at least 16.0 s); cores 100% used; GPUs 62% used",
    ]
    assert failures(tables, tmp_path) == []
    assert counted(tables) == "3 tasks: 3 done"


def test_a_prediction_of_a_graph_that_grew_is_named_as_such(tmp_path: Path) -> None:
    more = edits.AddSet(SetSpec("more", Synthetic()))
    grown = _tables([*history()[:10], ev.CommandAccepted(START + 10, "g", (more,), author="task:sim[0]")])
    assert "(predicted before the graph grew: 15.0 s; tasks this long need at least 15.0 s)" in summary(grown)[1]
    assert outcome(grown, tmp_path)["grown"] is True
    assert outcome(_tables(history()), tmp_path)["grown"] is False


def test_outcome_before_anything_happened(tmp_path: Path) -> None:
    told = outcome(Tables(), tmp_path)
    assert (told["tasks"], told["makespan"], told["predicted_makespan"]) == (0, 0.0, None)
    assert told["utilization"] == {"cores": 0.0, "gpus": 0.0}


@pytest.mark.parametrize(
    ("value", "said"), [(None, "-"), (0.01, "10 ms"), (8.44, "8.4 s"), (99.9, "99.9 s"), (1235.2, "1235 s")]
)
def test_durations_as_people_say_them(value: float | None, said: str) -> None:
    assert seconds(value) == said


def test_plain_text_keeps_letters_and_lines_and_writes_controls_out() -> None:
    assert plain("Ångström →\t\n") == "Ångström →\t\n"
    assert plain("a\x1bb\x00c\u202ed") == r"a\x1bb\x00c\u202ed"
