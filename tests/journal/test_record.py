from __future__ import annotations

import math
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.journal.record import BadFrame, decode, encode, normalize, unframe
from workbench.model.causes import Cause
from workbench.model.edits import AddEdges, AddSet, ReplaceSpec, SetPriority, Steer
from workbench.model.errors import BadValue
from workbench.model.events import (
    AttemptAssigned,
    AttemptEnded,
    AttemptFinished,
    AttemptReported,
    CampaignCreated,
    CommandAccepted,
    EngineStopped,
    Event,
    NodeLeft,
    Record,
    Share,
)
from workbench.model.resources import Resources
from workbench.model.specs import Edge, Function, Member, Normal, Payload, Result, SetSpec

times = st.floats(0, 1e10)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ints = st.integers(-(2**63), 2**63 - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | ints | finite | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
parameters = st.dictionaries(texts, values, max_size=3)
payloads = st.builds(Payload, st.binary(max_size=60), st.just(""), st.integers(0, 60))
specs = st.builds(
    SetSpec,
    texts,
    st.builds(Function, payloads, texts),
    st.integers(1, 9),
    payloads,
    st.lists(st.builds(Member, payloads, parameters), max_size=2).map(tuple),
    st.builds(Resources, st.integers(1, 64), st.integers(0, 8)),
    st.none() | st.builds(Normal, finite, finite),
    parameters=parameters,
)
edges = st.lists(st.builds(Edge, texts, texts), max_size=2).map(tuple)
edits = st.lists(
    st.builds(AddSet, specs, edges)
    | st.builds(AddEdges, edges)
    | st.builds(SetPriority, texts, st.integers(-5, 5))
    | st.builds(Steer, texts, parameters, st.booleans())
    | st.builds(ReplaceSpec, texts, parameters=parameters | st.just(msgspec.UNSET), timeout_s=st.none() | times),
    max_size=3,
).map(tuple)
gpus = st.lists(st.integers(0, 7), max_size=3).map(tuple)
all_events: st.SearchStrategy[Event] = st.one_of(
    st.builds(CampaignCreated, times, texts, texts, ints),
    st.builds(EngineStopped, times, texts),
    st.builds(NodeLeft, times, texts, st.sampled_from(Cause), texts),
    st.builds(CommandAccepted, times, texts, edits, st.none() | edits, texts),
    st.builds(
        AttemptAssigned,
        times,
        texts,
        ints,
        texts,
        gpus=gpus,
        others=st.lists(st.builds(Share, texts, gpus), max_size=2).map(tuple),
    ),
    st.builds(
        AttemptReported,
        times,
        texts,
        ints,
        st.dictionaries(texts, finite | ints | texts | st.booleans(), max_size=3),
        st.none() | finite,
    ),
    st.builds(
        AttemptFinished,
        times,
        texts,
        ints,
        times,
        times,
        st.builds(Result, texts, st.binary(max_size=60)),
        edits,
    ),
    st.builds(AttemptEnded, times, texts, ints, st.sampled_from(Cause), texts, exit_code=st.none() | ints),
)


@given(st.integers(0, 2**62), all_events)
def test_a_record_comes_back_as_it_was(seq: int, event: Event) -> None:
    line = encode(seq, event)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert decode(line) == Record(seq, event)
    assert normalize(event) is event


@given(all_events, st.data())
def test_a_changed_byte_is_noticed(event: Event, data: st.DataObject) -> None:
    line = encode(3, event)
    at = data.draw(st.integers(0, len(line) - 1))
    flipped = bytearray(line)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(BadFrame):
        unframe(bytes(flipped))


def test_the_frame_is_as_documented() -> None:
    line = encode(12, EngineStopped(1.5, "done"))
    crc, seq, text = line[:-1].split(b" ", 2)
    assert (seq, text) == (b"12", b'{"ev":"EngineStopped","at":1.5,"reason":"done"}')
    assert int(crc, 16) == zlib.crc32(b"12 " + text)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"\0" * 100 + b"\n",
        b"00000000 \n",
        b"hello world\n",
        b"ffffffff 1 {}\n",
        encode(1, EngineStopped(0.0))[:-1],
    ],
)
def test_what_is_no_record_is_refused(line: bytes) -> None:
    with pytest.raises(BadFrame):
        unframe(line)


def test_a_number_that_is_none_is_refused_even_with_a_good_checksum() -> None:
    body = b"-1 {}"
    with pytest.raises(BadFrame, match="sequence number"):
        unframe(b"%08x %b\n" % (zlib.crc32(body), body))


def test_metrics_that_are_not_finite_become_words() -> None:
    event = AttemptReported(1.0, "t[0]", 1, {"loss": math.nan, "up": math.inf, "down": -math.inf, "n": 3, "s": "null"})
    back = decode(encode(0, event)).event
    assert back == normalize(event)
    assert isinstance(back, AttemptReported)
    assert back.metrics == {"loss": "nan", "up": "inf", "down": "-inf", "n": 3, "s": "null"}


@pytest.mark.parametrize(
    ("event", "where"),
    [
        (EngineStopped(math.nan), "at is nan"),
        (AttemptReported(1.0, "t[0]", 1, progress=math.inf), "progress is inf"),
        (CommandAccepted(1.0, "c", (Steer("t", {"lr": [1.0, math.nan]}),)), "edits\\[0\\].parameters.lr\\[1\\] is nan"),
    ],
)
def test_other_numbers_that_are_not_finite_are_refused_by_name(event: Event, where: str) -> None:
    with pytest.raises(BadValue, match=where):
        encode(0, event)
    with pytest.raises(BadValue, match=where):
        normalize(event)


def test_null_as_a_value_is_kept() -> None:
    event = CommandAccepted(1.0, "c", (Steer("t", {"x": None, "y": [None]}),))
    assert decode(encode(0, event)).event == event


@pytest.mark.parametrize("place", ["field", "nested"])
def test_half_a_surrogate_pair_is_escaped(place: str) -> None:
    torn: Any = b"caf\xe9".decode("utf-8", "surrogateescape")
    event: Event
    if place == "field":
        event = AttemptEnded(1.0, "t[0]", 1, Cause.UserError, torn)
        expected: Event = AttemptEnded(1.0, "t[0]", 1, Cause.UserError, "caf\\udce9")
    else:
        event = CommandAccepted(1.0, "c", (Steer("t", {torn: [torn]}),))
        expected = CommandAccepted(1.0, "c", (Steer("t", {"caf\\udce9": ["caf\\udce9"]}),))
    assert decode(encode(0, event)).event == expected == normalize(event)
