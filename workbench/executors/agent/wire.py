"""Messages between the engine's hub and the agents.

Agents dial, the hub listens (`link.serve`, `link.dial`). A frame is a batch: a msgpack array of messages, each an
array whose first element is a small integer, the message's tag. The rules:

1. **Who is there.** The hub speaks first: `Challenge`. The agent answers `Hello` with a proof that it knows the
   campaign's token, the hub answers `Welcome` with a proof of its own. Nobody sends anything else before, and an
   agent obeys nobody who has not proved to know the token: an address of an engine that ended may belong to
   somebody else by now. (`link.greet` is the hub's side, `link.dial` the agent's.)
2. **Epochs.** `Welcome.epoch` only grows. An agent refuses an engine with a lower epoch than the highest that it
   has seen, closes the connection and reads the contact file again.
3. **Events are numbered** by the agent (`seq`, from 1, without gaps, for the life of the agent) and kept until
   the hub sends `Ack(seq)`, which it does when everything up to there is safe. After each `Welcome` the agent sends
   again what is beyond `Welcome.acked`; the hub drops what it has seen (``seq <= last``).
4. **Orders are repeatable.** A `Run` for an attempt that the agent knows, or knew, is ignored; `Halt` and `Tell` for
   an unknown one too. So a hub may send again whatever may have been lost with a connection.
5. **Adoption.** `Hello.known` are the attempts that the agent has, or whose end is not acknowledged yet. The hub
   compares with its own table: ordered and known = adopted, nothing to send; ordered and unknown = the `Run` was lost,
   send it again; known and never ordered = `Halt` with `grace_s=0`.
6. **Definitions** belong to the connection: after each `Welcome` the hub sends `Define` again before the first `Run`
   of a key. A `Run` with an unknown key ends in `Ended(LaunchRefused)`.
7. **Shared inputs.** Results that many attempts take are told once for each connection, as `Given`, and `Run.shared`
   names them by key, which is a digest of the content. After each `Welcome` the agent has none. The hub says `Forget`
   for those unused for longest; attempts that were ordered before keep theirs.
8. **Slots.** A `Run` with ``queued=True`` holds no slot: the agent starts queued attempts of a node in order, each when
   an attempt of that node has ended and its cores and GPUs are free. (Micro-tasks are handed ahead to busy children,
   so with several children some may pass one behind a slower call: a bounded number, `functions.PASSED`.) It never
   runs more than the node has.
9. Each `Run` ends in exactly one `Finished` or `Ended`, or the agent itself is gone. `Started` is left out for
   attempts shorter than `STARTED_AFTER_S`.

Clocks: `started` and `ended` are the worker's wall clock, seconds since the epoch.
"""

from __future__ import annotations

from typing import Any

import msgspec

from workbench.model.actions import Launch, SetPlan
from workbench.model.causes import Cause
from workbench.model.edits import Edit
from workbench.model.events import AttemptEnded, AttemptFinished, AttemptReported, AttemptStarted, Share
from workbench.model.specs import Member, Result

VERSION = 2
STARTED_AFTER_S = 0.05


class _Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    pass


class Node(msgspec.Struct, frozen=True, array_like=True):
    """A node that an agent offers.

    Attributes

    name : str
        Never used before in this campaign.
    pool : str
        Name of the pool that it belongs to.
    cores, gpus, memory : int
        Capacity; memory in bytes, 0 means not limited.
    virtual : bool
        Runs synthetic tasks (timers); functions too, within the real machine's cores; nothing else.
    prefetch : int
        How many attempts may queue beyond the slots.
    devices : tuple of str
        Device ids behind the GPU indices 0, 1, ...; empty: the indices themselves.
    cpus : tuple of int
        CPU ids of the machine that attempts may be bound to, none of them offered by another node; bound only if there
        are at least `cores` of them. Empty: not bound.
    """

    name: str
    pool: str
    cores: int
    gpus: int = 0
    memory: int = 0
    virtual: bool = False
    prefetch: int = 0
    devices: tuple[str, ...] = ()
    cpus: tuple[int, ...] = ()


# --- greeting ---------------------------------------------------------------------------------------------------------


class Challenge(_Message, frozen=True, tag=0):
    """hub -> agent, first. `nonce` is fresh random bytes."""

    nonce: bytes
    version: int = VERSION


class Hello(_Message, frozen=True, tag=1):
    """agent -> hub. `seq` is the last event number given out, `epoch` the highest epoch seen."""

    agent: str
    nonce: bytes
    proof: bytes
    epoch: int
    host: str
    pid: int
    dask: str
    nodes: tuple[Node, ...]
    seq: int
    known: tuple[tuple[str, int], ...]
    version: int = VERSION


class Welcome(_Message, frozen=True, tag=2):
    """hub -> agent. `acked`: the last event number of this agent that is safe (0: none that the hub knows of)."""

    epoch: int
    proof: bytes
    acked: int = 0


# --- orders: hub -> agent ---------------------------------------------------------------------------------------------


class Define(_Message, frozen=True, tag=10):
    """What `Run`s with this key have in common (`plan.key`)."""

    plan: SetPlan


class Run(_Message, frozen=True, tag=11):
    """Start attempt `number` of `task`, the `index`-th of the set that `key` defines; see `model.actions.Launch`.

    `hosts` are the host names of all nodes of an attempt that spans several, its own first. `inputs` are results that
    come along, `shared` the keys of those that were `Given` before.
    """

    task: str
    number: int
    key: str
    index: int
    node: str
    cores: int = 1
    gpus: tuple[int, ...] = ()
    memory: int = 0
    queued: bool = False
    duration_s: float = 0.0
    member: Member | None = None
    inputs: dict[str, tuple[Result, ...]] | None = None
    others: tuple[Share, ...] = ()
    hosts: tuple[str, ...] = ()
    shared: dict[str, str] | None = None


class Halt(_Message, frozen=True, tag=12):
    """End an attempt: ask it to stop, and after `grace_s` kill it with all that it started. Ends as `Cancelled`."""

    task: str
    number: int
    grace_s: float = 2.0


class Tell(_Message, frozen=True, tag=13):
    """Changed `parameters`, or a request to stop early, for a running or queued attempt."""

    task: str
    number: int
    parameters: dict[str, Any] = {}
    stop: bool = False


class Ack(_Message, frozen=True, tag=14):
    """Events up to `seq` are safe; the agent forgets them."""

    seq: int


class Bye(_Message, frozen=True, tag=15):
    """The campaign is over for this agent: kill everything, stop. Nothing more is sent."""

    reason: str = ""


class Given(_Message, frozen=True, tag=16):
    """Results to which `Run`s refer by `key`; `results` is a msgpack array of them (`decode_results`)."""

    key: str
    results: bytes


class Forget(_Message, frozen=True, tag=17):
    """No further `Run` refers to these keys, unless they are `Given` again."""

    keys: tuple[str, ...]


# --- events: agent -> hub ---------------------------------------------------------------------------------------------


class Started(_Message, frozen=True, tag=20):
    """See `model.events.AttemptStarted`."""

    seq: int
    task: str
    number: int
    started: float
    pid: int = 0


class Reported(_Message, frozen=True, tag=21):
    """See `model.events.AttemptReported`."""

    seq: int
    task: str
    number: int
    metrics: dict[str, float | int | str | bool] = {}
    progress: float | None = None


class Finished(_Message, frozen=True, tag=22):
    """See `model.events.AttemptFinished`. `growth` is a msgpack array of edits (`decode_growth`), or empty."""

    seq: int
    task: str
    number: int
    started: float
    ended: float
    result: Result = Result(inline=b"null")
    growth: bytes = b""
    cpu_s: float = 0.0
    max_rss: int = 0


class Ended(_Message, frozen=True, tag=23):
    """See `model.events.AttemptEnded`."""

    seq: int
    task: str
    number: int
    cause: Cause
    detail: str = ""
    started: float = 0.0
    ended: float = 0.0
    exit_code: int | None = None
    cpu_s: float = 0.0
    max_rss: int = 0


FromHub = Challenge | Welcome | Define | Run | Halt | Tell | Ack | Bye | Given | Forget
FromAgent = Hello | Started | Reported | Finished | Ended
Report = Started | Reported | Finished | Ended
Message = FromHub | FromAgent

encode = msgspec.msgpack.Encoder().encode
from_hub: msgspec.msgpack.Decoder[list[FromHub]] = msgspec.msgpack.Decoder(list[FromHub])
from_agent: msgspec.msgpack.Decoder[list[FromAgent]] = msgspec.msgpack.Decoder(list[FromAgent])
_results: msgspec.msgpack.Decoder[tuple[Result, ...]] = msgspec.msgpack.Decoder(tuple[Result, ...])
_growth: msgspec.msgpack.Decoder[tuple[Edit, ...]] = msgspec.msgpack.Decoder(tuple[Edit, ...])


def run_of(launch: Launch, hosts: tuple[str, ...] = (), shared: dict[str, str] | None = None) -> Run:
    """The `Run` that carries out `launch`; `hosts` for attempts that span several nodes, `shared` see there."""
    p = launch.placed
    return Run(
        p.task, p.number, launch.plan.key, launch.index, p.node, p.cores, p.gpus, p.memory, p.queued,
        launch.duration_s, launch.member, launch.inputs or None, p.others, hosts,
        shared or None,
    )  # fmt: skip


def encode_results(results: tuple[Result, ...]) -> bytes:
    """For `Given.results`."""
    return encode(results)


def decode_results(raw: bytes) -> tuple[Result, ...]:
    """Of `Given.results`.

    Raises

    msgspec.ValidationError, msgspec.DecodeError
        If `raw` is not a msgpack array of results.
    """
    return _results.decode(raw)


def decode_growth(raw: bytes) -> tuple[Edit, ...]:
    """Edits that a task asked for.

    Raises

    msgspec.ValidationError, msgspec.DecodeError
        If `raw` is not a msgpack array of edits.
    """
    return _growth.decode(raw) if raw else ()


def event_of(m: Report, at: float) -> AttemptStarted | AttemptReported | AttemptFinished | AttemptEnded:
    """The journal's event for a report; `at` is the engine's wall clock.

    Growth that cannot be decoded makes the attempt one that ended with cause ``UserError``.
    """
    if isinstance(m, Finished):
        try:
            growth = decode_growth(m.growth)
        except msgspec.DecodeError as e:
            said = f"what {m.task}#{m.number} asked to add to the campaign cannot be read: {e}"
            return AttemptEnded(
                at, m.task, m.number, Cause.UserError, said, m.started, m.ended, None, m.cpu_s, m.max_rss
            )
        return AttemptFinished(at, m.task, m.number, m.started, m.ended, m.result, growth, m.cpu_s, m.max_rss)
    if isinstance(m, Ended):
        return AttemptEnded(
            at, m.task, m.number, m.cause, m.detail, m.started, m.ended, m.exit_code, m.cpu_s, m.max_rss
        )
    if isinstance(m, Started):
        return AttemptStarted(at, m.task, m.number, m.started, m.pid)
    return AttemptReported(at, m.task, m.number, m.metrics, m.progress)
