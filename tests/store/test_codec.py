from __future__ import annotations

import collections
import enum
import math
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.model.errors import NotSerializable
from workbench.store.codec import (
    Ref,
    decode_call,
    decode_function,
    decode_result,
    encode_call,
    encode_function,
    encode_result,
    references,
)

ROOT = Path(__file__).parents[2]


class Handle:
    """As the API's handles: holds what cannot be pickled, and is never pickled."""

    def __init__(self, *ref: str) -> None:
        self.ref = ref
        self.lock = threading.Lock()

    def __workbench_ref__(self) -> Ref:
        return self.ref


class Colour(enum.IntEnum):
    red = 1


Point = collections.namedtuple("Point", "x y")


def same(a: Any, b: Any) -> bool:
    """Equal, with equal types all the way down, and the same sign of zero."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(x, y) for x, y in zip(a.values(), b.values(), strict=True))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return bool(a == b)


# --- calls ----------------------------------------------------------------------------------------------------------


def test_handles_become_references_wherever_they_are() -> None:
    one, many, each, item = Handle("task", "sim[3]"), Handle("set", "sim"), Handle("each", "agg"), Handle("item")
    args = (one, 5, [many, {"k": (each,)}], one)
    data, found = encode_call(args, {"x": {"deep": [item]}, "y": "plain"})
    assert found == [("task", "sim[3]"), ("set", "sim"), ("each", "agg"), ("item",)]
    assert references(args, {"x": {"deep": [item]}}) == found
    back = decode_call(data, lambda ref: "/".join(ref))
    assert back == (
        ("task/sim[3]", 5, ["set/sim", {"k": ("each/agg",)}], "task/sim[3]"),
        {"x": {"deep": ["item"]}, "y": "plain"},
    )


def test_a_call_without_handles() -> None:
    data, found = encode_call((), {})
    assert found == [] and decode_call(data, pytest.fail) == ((), {})


def test_two_handles_of_one_task_are_one_reference() -> None:
    assert references((Handle("set", "a"), [Handle("set", "a")]), {}) == [("set", "a")]


objects = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.booleans(), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.lists(objects, max_size=3).map(tuple), st.dictionaries(st.text(min_size=1), objects, max_size=3))
def test_any_call_comes_back(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    data, found = encode_call(args, kwargs)
    back = decode_call(data, pytest.fail)
    assert found == [] and same(back[0], args) and same(back[1], kwargs)


def test_functions_among_the_arguments() -> None:
    factor = 3
    data, _ = encode_call((lambda x: x * factor, os.path.join), {})
    (mine, theirs), _ = decode_call(data, pytest.fail)
    assert mine(5) == 15 and theirs is os.path.join


class Engine:
    def __init__(self) -> None:
        self.parts = {"model": [1, threading.Lock()]}


@pytest.mark.parametrize(
    ("args", "kwargs", "where"),
    [
        ((1, threading.Lock()), {}, r"^argument 1 \(of type _thread\.lock\) cannot be sent.*pass a path"),
        (([1, {"a": (threading.Lock(),)}],), {}, r"^argument 0: \[1\]\['a'\]\[0\] \(of type _thread\.lock\)"),
        ((), {"model": Engine()}, r"^model: parts\['model'\]\[1\] \(of type _thread\.lock\)"),
        ((x for x in [1]), {}, r"of type generator"),
        (((x for x in [1]),), {}, r"^argument 0 \(of type generator\)"),
        ((sys._getframe(),), {}, r"^argument 0 \(of type frame\)"),
    ],
)
def test_what_cannot_be_sent_is_named(args: Any, kwargs: Any, where: str) -> None:
    with pytest.raises(NotSerializable, match=where):
        encode_call(args if isinstance(args, tuple) else (args,), kwargs)


def test_open_files_and_sockets_are_named(tmp_path: Path) -> None:
    with open(tmp_path / "f", "w") as file, socket.socket() as connection:
        with pytest.raises(NotSerializable, match=r"^log \(of type _io\.TextIOWrapper\)"):
            encode_call((), {"log": file})
        with pytest.raises(NotSerializable, match=r"^argument 0: \[1\] \(of type socket\.socket\)"):
            encode_call(([0, connection],), {})


def test_a_value_that_refuses_to_be_pickled_in_its_own_words() -> None:
    class Stubborn:
        def __reduce__(self) -> str:
            raise RuntimeError("not me\nnor my second line")

    with pytest.raises(NotSerializable, match=r"argument 0.*Stubborn\) cannot be sent to a worker: not me; create"):
        encode_call((Stubborn(),), {})


def test_a_list_without_an_end_of_depth() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(NotSerializable, match="argument 0"):
        encode_call((deep,), {})


# --- functions ------------------------------------------------------------------------------------------------------


def test_importable_functions_travel_by_name() -> None:
    assert decode_function(encode_function(os.path.join)) is os.path.join
    assert len(encode_function(os.path.join)) < 60


def test_closures_and_lambdas_travel_by_value() -> None:
    base = [1, 2]

    def add(x: int) -> list[int]:
        return [*base, x]

    assert decode_function(encode_function(add))(3) == [1, 2, 3]
    assert decode_function(encode_function(lambda: 7))() == 7


def test_functions_of_a_script_run_in_a_process_that_does_not_have_them(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom workbench.store.codec import encode_function\n"
        "FACTOR = 6\nclass Box:\n    def __init__(self, v): self.v = v\n"
        "def scaled(x):\n    return Box(x * FACTOR).v\n"
        "if __name__ == '__main__':\n    sys.stdout.buffer.write(encode_function(scaled))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    data = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, check=True).stdout
    assert decode_function(data)(7) == 42


_lock = threading.Lock()


def test_what_a_function_holds_is_named() -> None:
    connection = {"lock": threading.Lock()}

    def train(x: int) -> Any:
        return connection, x

    with pytest.raises(NotSerializable, match=r"function .*train: connection\['lock'\] \(of type _thread\.lock\)"):
        encode_function(train)

    def default(x: int, y: Any = threading.Lock()) -> None:  # noqa: B008
        return None

    with pytest.raises(NotSerializable, match=r"default: \{default 0\} \(of type _thread\.lock\)"):
        encode_function(default)


def test_globals_of_functions_within_functions_are_named() -> None:
    scope: dict[str, Any] = {"__name__": "__main__", "guard": threading.Lock()}
    exec("def outer():\n    def inner():\n        return guard\n    return inner()", scope)
    with pytest.raises(NotSerializable, match=r"function outer: guard \(of type _thread\.lock\)"):
        encode_function(scope["outer"])


def test_a_handle_used_from_outside_is_refused_with_the_way_out() -> None:
    handle = Handle("task", "train[0]")
    with pytest.raises(NotSerializable, match=r"uses the handle of train\[0\] from outside; pass it as an argument"):
        encode_function(lambda: handle)


# --- results --------------------------------------------------------------------------------------------------------

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(plain)
def test_plain_results_are_json(value: Any) -> None:
    codec, data = encode_result(value)
    assert codec == "json" and same(decode_result(codec, data), value)


@given(objects)
def test_any_result_comes_back_with_its_types(value: Any) -> None:
    assert same(decode_result(*encode_result(value)), value)


class Text(str):
    pass


@pytest.mark.parametrize(
    "value",
    [
        (1, 2),
        [1, (2,)],
        math.nan,
        [math.inf],
        2**63,
        -(2**63) - 1,
        [2**64],
        {1: "a"},
        {"a": {None: 1}},
        {"a": {1, 2}},
        b"bytes",
        Colour.red,
        [Colour.red],
        Point(1, 2),
        Text("a"),
        {Text("k"): 1},
        collections.OrderedDict(a=1),
        np.float64(1.5),
        [np.int64(3)],
        np.bool_(True),
        1j,
        "half a pair \ud800",
        {"\ud800": 1},
    ],
    ids=repr,
)
def test_what_json_would_change_is_pickled(value: Any) -> None:
    codec, data = encode_result(value)
    assert codec == "pickle" and same(decode_result(codec, data), value)


def test_a_list_that_holds_itself() -> None:
    value: list[Any] = [1]
    value.append(value)
    codec, data = encode_result(value)
    back = decode_result(codec, data)
    assert codec == "pickle" and back[0] == 1 and back[1] is back


def test_shared_parts_do_not_explode() -> None:
    value: list[Any] = [1]
    for _ in range(60):
        value = [value, value]
    codec, data = encode_result(value)
    assert codec == "pickle" and len(data) < 2000


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4),
        np.asfortranarray(np.arange(12).reshape(3, 4)),
        np.array(5),
        np.zeros((0, 3), dtype="f4"),
        np.arange(5, dtype=">i2"),
        np.array(["a", "bc"]),
        np.array(["2026-01-01"], dtype="M8[D]"),
        np.zeros(3, dtype=[("x", "f8"), ("y", "i4", (2,))]),
        np.arange(10)[::2],
    ],
    ids=lambda a: f"{a.dtype.str}{a.shape}",
)
def test_arrays_are_npy(array: Any) -> None:
    codec, data = encode_result(array)
    back = decode_result(codec, data)
    assert codec == "npy" and type(back) is np.ndarray
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert np.array_equal(back, array)


class Sub(np.ndarray):
    pass


@pytest.mark.parametrize(
    "array",
    [
        np.array([{"a": 1}, None], dtype=object),
        np.ma.masked_array([1, 2], mask=[True, False]),
        np.arange(3).view(Sub),
        np.zeros(2, dtype=np.dtype("f8", metadata={"unit": "nm"})),
    ],
    ids=["objects", "masked", "subclass", "metadata"],
)
def test_arrays_that_npy_would_change_are_pickled(array: Any) -> None:
    codec, data = encode_result(array)
    back = decode_result(codec, data)
    assert codec == "pickle" and type(back) is type(array) and back.dtype.metadata == array.dtype.metadata
    assert back.tolist() == array.tolist()


def test_an_npy_result_that_holds_objects_is_not_read() -> None:
    import io

    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        decode_result("npy", buffer.getvalue())


def test_results_that_only_cloudpickle_can_write() -> None:
    offset = 4
    codec, data = encode_result({"f": lambda x: x + offset})
    assert codec == "pickle" and decode_result(codec, data)["f"](1) == 5


def test_a_result_that_cannot_be_sent_is_named() -> None:
    with pytest.raises(
        NotSerializable, match=r"^the result: \['log'\]\[0\] \(of type _thread\.lock\) cannot be sent back"
    ):
        encode_result({"log": [threading.Lock()]})
    with pytest.raises(NotSerializable, match=r"^the result \(of type generator\).*return plain values"):
        encode_result(x for x in [1])


def test_an_unknown_codec() -> None:
    with pytest.raises(ValueError, match="'yaml' is no codec"):
        decode_result("yaml", b"")
