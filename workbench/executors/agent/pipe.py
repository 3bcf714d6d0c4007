"""Messages between agent, keeper and children of one worker.

Agent and keeper exchange one message per datagram (SOCK_SEQPACKET). A child has two sockets: *work*, from which it
takes one `Call` per datagram and which the agent can read too, so that a call is taken either by the child or back by
the agent and never by both; and *control*, a stream with everything else in frames of 4 bytes of length and msgpack.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from workbench.model.causes import Cause
from workbench.model.specs import Function, Member, Payload, Result

LENGTH = struct.Struct("<I")
DATAGRAM = 96 << 10
"""Largest datagram in bytes; the kernel's default send buffer is about twice that."""

CALL = 8 << 10
"""Largest `Call` in bytes, so that a full pipe fits into the kernel's buffer; the rest of a larger one goes apart."""


class _Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    pass


# --- agent -> keeper --------------------------------------------------------------------------------------------------


class Fork(_Message, frozen=True, tag=0):
    """Start a child (`argv` empty; its work and control sockets come along) or a program.

    `out` and `err` are files for its output, `env` is added to the environment, `cpus` binds it.
    """

    token: int
    env: dict[str, str]
    cpus: tuple[int, ...]
    out: str
    err: str
    argv: tuple[str, ...] = ()
    cwd: str = ""
    home: str = ""


class Kill(_Message, frozen=True, tag=1):
    """Send `signal` to the process `token` and all that it started (`group`: to its process group only)."""

    token: int
    signal: int
    attempt: str = ""
    group: bool = False


# --- keeper -> agent --------------------------------------------------------------------------------------------------


class Up(_Message, frozen=True, tag=10):
    """The keeper is ready. `failed` are modules that could not be imported, `threads` is 1 where forking is safe."""

    pid: int
    threads: int = 1
    failed: tuple[str, ...] = ()


class Born(_Message, frozen=True, tag=11):
    """The process for `token` runs."""

    token: int
    pid: int


class Gone(_Message, frozen=True, tag=12):
    """The process for `token` ended: wait status, rusage; `error` if it never came to run."""

    token: int
    status: int
    cpu_s: float = 0.0
    max_rss: int = 0
    error: str = ""


# --- agent -> child ---------------------------------------------------------------------------------------------------


class Plan(_Message, frozen=True, tag=20):
    """What the calls of a set have in common. `dask`: address and security of the cluster, for those who ask."""

    key: str
    set: str
    function: Function
    args: Payload | None
    parameters: dict[str, Any]
    dask: dict[str, Any] | None = None


class Call(_Message, frozen=True, tag=21):
    """Run attempt `number` of `task`. With `apart`, member and inputs follow on the control socket as `Body`.

    `shared` are the keys of inputs that were `Given` before.
    """

    key: str
    task: str
    number: int
    index: int
    member: Member | None = None
    inputs: dict[str, tuple[Result, ...]] | None = None
    parameters: dict[str, Any] | None = None
    apart: bool = False
    shared: dict[str, str] | None = None


class Body(_Message, frozen=True, tag=22):
    """What was too large for the `Call`'s datagram."""

    task: str
    number: int
    member: Member | None
    inputs: dict[str, tuple[Result, ...]] | None


class Given(_Message, frozen=True, tag=24):
    """Results to which calls refer by `key`; see `wire.Given`."""

    key: str
    results: bytes


class Forget(_Message, frozen=True, tag=25):
    """No call in the pipe refers to these keys any more."""

    keys: tuple[str, ...]


class Note(_Message, frozen=True, tag=23):
    """Steering: changed parameters, a request to stop."""

    task: str
    number: int
    parameters: dict[str, Any]
    stop: bool = False


# --- child -> agent ---------------------------------------------------------------------------------------------------


class Returned(_Message, frozen=True, tag=30):
    """The call returned. `dirty`: it left processes behind, so this child must not be used again."""

    task: str
    number: int
    started: float
    ended: float
    result: Result
    growth: bytes = b""
    cpu_s: float = 0.0
    max_rss: int = 0
    dirty: bool = False


class Raised(_Message, frozen=True, tag=31):
    """The call gave no result."""

    task: str
    number: int
    started: float
    ended: float
    cause: Cause
    detail: str
    cpu_s: float = 0.0
    max_rss: int = 0
    dirty: bool = False


class Said(_Message, frozen=True, tag=32):
    """The task reported metrics or progress."""

    task: str
    number: int
    metrics: dict[str, float | int | str | bool]
    progress: float | None = None


encode = msgspec.msgpack.Encoder().encode
to_keeper: msgspec.msgpack.Decoder[Fork | Kill] = msgspec.msgpack.Decoder(Fork | Kill)
from_keeper: msgspec.msgpack.Decoder[Up | Born | Gone] = msgspec.msgpack.Decoder(Up | Born | Gone)
to_child_work: msgspec.msgpack.Decoder[Call] = msgspec.msgpack.Decoder(Call)
ToChild = Plan | Body | Note | Given | Forget
to_child: msgspec.msgpack.Decoder[ToChild] = msgspec.msgpack.Decoder(ToChild)
from_child: msgspec.msgpack.Decoder[Returned | Raised | Said] = msgspec.msgpack.Decoder(Returned | Raised | Said)


def frame(message: msgspec.Struct) -> bytes:
    """`message` as it goes over a control socket."""
    body = encode(message)
    return LENGTH.pack(len(body)) + body
