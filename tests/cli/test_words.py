"""Events in words, one line each."""

from __future__ import annotations

import pytest

from workbench.cli.words import describe
from workbench.model import events as ev
from workbench.model.causes import Cause
from workbench.model.edits import ScalePool


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (ev.NodeLeft(0.0, "p-1.e1", Cause.NodeLost, "its worker is gone"), "node p-1.e1 left (NodeLost: "),
        (
            ev.NodeLeft(0.0, "p-1.e1", Cause.Preempted, "pool p was brought to 1 node"),
            "node p-1.e1 was given back: pool p",
        ),
        (ev.CommandAccepted(0.0, "c", (ScalePool("p", 1),), author="user:ada"), "user:ada: scale pool p to 1 node"),
    ],
)
def test_an_event_in_words(event: ev.Event, words: str) -> None:
    assert describe(event).startswith(words)
    assert "\n" not in describe(event)
