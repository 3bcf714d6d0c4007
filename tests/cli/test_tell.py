"""`story`: one command from a failed task to its cause."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import history, write
from workbench.cli import main
from workbench.store.layout import Layout


def test_story_of_a_failed_task_tells_cause_and_last_words(failed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["story", str(failed), "sim[1]"]) == 0
    out = capsys.readouterr().out
    for words in (
        "sim[1]#1 assigned to local-0",
        "UserError",
        "ValueError: bad",
        "exit code 1",
        "sim[1] failed after 1",
    ):
        assert words in out
    assert "sim[0]" not in out


def test_story_as_json(failed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = Layout(failed).stderr("sim[1]", 1)
    out.write_text("Boom\n")
    assert main(["story", str(failed), "sim[1]", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], told["cause"], told["attempts"]) == ("failed", "UserError", 1)
    assert told["detail"] == "Boom\nValueError: bad"
    assert told["output"] == [str(out)]
    assert len(told["story"]) >= 3


def test_story_of_a_task_that_waits_says_for_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut = write(tmp_path / "cut", history()[:9])
    assert main(["story", str(cut), "train[0]"]) == 0
    assert "train[0] waits for sim" in capsys.readouterr().out


def test_story_of_a_set(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["story", str(finished), "sim"]) == 0
    out = capsys.readouterr().out
    assert "sim[0]#1 finished" in out and "sim[1]#1 finished" in out


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("simm", "the campaign 'by hand' has no set 'simm'; did you mean 'sim'?"),
        ("zzzzzz", "has no set 'zzzzzz'; its sets are sim, train"),
        ("sim[7]", "set 'sim' has no task 'sim[7]'; its indices are 0 to 1"),
        ("simm[0]", "has no set 'simm'; did you mean 'sim'?"),
        ("sim[x]", "'sim[x]' is not a task id; tasks are written name[index]"),
        ("sim#1", "'sim#1' is no attempt; attempts are written like sim[3]#1"),
        ("sim[1]#4", "there is no attempt 'sim[1]#4'; sim[1] has had attempts 1 to 1"),
    ],
)
def test_an_unknown_target_is_named_with_the_way_out(
    finished: Path, capsys: pytest.CaptureFixture[str], target: str, said: str
) -> None:
    assert main(["story", str(finished), target]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
