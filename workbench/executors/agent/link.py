"""Carries `wire` messages: framing, batching, greeting.

A frame is 8 bytes of length (little-endian) and that many bytes of msgpack: an array of messages. Frames are bounded,
and small until the peer has proved to know the token. Everything sent within one turn of the event loop leaves as
one frame. With an `ssl.SSLContext` the same stream runs over TLS; without one, the proofs keep strangers out but what
is sent can be read on the network, so use TLS wherever the network is shared.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from workbench.executors.agent import wire
from workbench.executors.agent.wire import FromAgent, FromHub, Message

HEAD = struct.Struct("<Q")
MAX_FRAME = 64 << 20
MAX_GREETING = 1 << 20
BATCH = 2000
GREETING_S = 10.0

M = TypeVar("M")


class LinkError(OSError):
    """The peer broke the rules, is not who it should be, or the address leads nowhere."""


class Link(asyncio.Protocol, Generic[M]):
    """One connection. `M` is the type of the messages that arrive.

    Messages that arrive before `begin` wait for `first` (and, once begun, are handed on). `send` never blocks and
    never waits; what is sent while the transport is full goes out when it drains.

    Parameters
    ----------
    decoder : msgspec.msgpack.Decoder
        For a batch of the peer's messages.
    connected : callable, optional
        Called with the link once the transport is there (the listening side).
    """

    def __init__(
        self, decoder: msgspec.msgpack.Decoder[list[M]], connected: Callable[[Link[M]], None] | None = None
    ) -> None:
        self._decoder = decoder
        self._connected = connected
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._inbox = bytearray()
        self._early: deque[M] = deque()
        self._first: asyncio.Future[M] | None = None
        self._on_batch: Callable[[list[M]], None] | None = None
        self._on_lost: Callable[[Exception | None], None] | None = None
        self._outbox: list[Message] = []
        self._due = False
        self._paused = False
        self._lost = False
        self._why: Exception | None = None
        self.limit = MAX_GREETING

    # --- asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=1 << 20)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
                if hasattr(socket, name):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)
        if self._connected is not None:
            self._connected(self)

    def data_received(self, data: bytes) -> None:
        inbox = self._inbox
        inbox += data
        at, have = 0, len(inbox)
        try:
            while have - at >= 8:
                (size,) = HEAD.unpack_from(inbox, at)
                if size > self.limit:
                    raise LinkError(f"a frame of {size} bytes is larger than the {self.limit} allowed here")
                if have - at - 8 < size:
                    break
                with memoryview(inbox) as view:
                    batch = self._decoder.decode(view[at + 8 : at + 8 + size])
                at += 8 + size
                self._take(batch)
        except (LinkError, msgspec.DecodeError) as e:
            self.abort(e)
            return
        if at:
            del inbox[:at]

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._why = self._why or exc
        if self._first is not None and not self._first.done():
            self._first.set_exception(LinkError(f"the connection ended during the greeting{_because(self._why)}"))
        if self._on_lost is not None:
            on_lost, self._on_lost = self._on_lost, None
            on_lost(self._why)

    # --- receiving ---

    def _take(self, batch: list[M]) -> None:
        if self._on_batch is not None:
            self._on_batch(batch)
            return
        self._early.extend(batch)
        if self._first is not None and not self._first.done() and self._early:
            self._first.set_result(self._early.popleft())

    async def first(self, timeout_s: float = GREETING_S) -> M:
        """The next message, before `begin`.

        Raises
        ------
        LinkError
            If the connection ends, or nothing comes in time.
        """
        if self._early:
            return self._early.popleft()
        if self._lost:
            raise LinkError(f"the connection ended during the greeting{_because(self._why)}")
        self._first = self._loop.create_future()
        try:
            return await asyncio.wait_for(self._first, timeout_s)
        except TimeoutError:
            raise LinkError(f"no answer to the greeting within {timeout_s:g} s") from None
        finally:
            self._first = None

    def begin(
        self, on_batch: Callable[[list[M]], None], on_lost: Callable[[Exception | None], None] | None = None
    ) -> None:
        """Hand every batch to `on_batch` from now on, and call `on_lost` once when the connection has ended."""
        self.limit = MAX_FRAME
        self._on_batch = on_batch
        self._on_lost = on_lost
        if self._early:
            early, self._early = list(self._early), deque()
            on_batch(early)
        if self._lost and on_lost is not None:
            self._on_lost = None
            self._loop.call_soon(on_lost, self._why)

    # --- sending ---

    def send(self, *messages: Message) -> None:
        """Send with everything else that is sent in this turn of the loop. Dropped when the connection has ended."""
        if self._lost:
            return
        self._outbox.extend(messages)
        if not self._due:
            self._due = True
            self._loop.call_soon(self._flush)

    def flush(self) -> None:
        """Send now, not at the end of this turn of the loop."""
        if self._outbox:
            self._flush()

    def _flush(self) -> None:
        self._due = False
        while self._outbox and not self._paused and not self._lost and self._transport is not None:
            batch, self._outbox = self._outbox[:BATCH], self._outbox[BATCH:]
            try:
                self._write(batch)
            except LinkError as e:
                self.abort(e)

    def _write(self, batch: Sequence[Message]) -> None:
        body = wire.encode(batch)
        if len(body) > MAX_FRAME:
            if len(batch) == 1:
                kind = type(batch[0]).__name__
                raise LinkError(f"a {kind} of {len(body)} bytes is larger than a frame may be ({MAX_FRAME})")
            middle = len(batch) // 2
            self._write(batch[:middle])
            self._write(batch[middle:])
            return
        assert self._transport is not None
        if len(body) < 1 << 16:
            self._transport.write(HEAD.pack(len(body)) + body)
        else:
            self._transport.writelines((HEAD.pack(len(body)), body))

    # --- ending ---

    @property
    def lost(self) -> bool:
        """Whether the connection has ended."""
        return self._lost

    @property
    def peer(self) -> str:
        """Address of the other side, for people."""
        name = self._transport.get_extra_info("peername") if self._transport else None
        return ":".join(map(str, name[:2])) if isinstance(name, tuple) else "local socket"

    def close(self) -> None:
        """Send what waits, then end the connection."""
        if self._transport is not None and not self._lost:
            self._paused = False
            self._flush()
            self._transport.close()

    def abort(self, why: Exception | None = None) -> None:
        """End the connection now."""
        self._why = self._why or why
        if self._transport is not None:
            self._transport.abort()


def _because(why: Exception | None) -> str:
    return f": {why}" if why is not None else ""


# --- greeting ---------------------------------------------------------------------------------------------------------


def prove(token: str, role: str, theirs: bytes, mine: bytes) -> bytes:
    """HMAC-SHA256 over both nonces: knows the token, now, in this role (``"agent"`` or ``"hub"``)."""
    return hmac.digest(token.encode(), role.encode() + b"\0" + theirs + b"\0" + mine, "sha256")


async def greet(link: Link[FromAgent], token: str, timeout_s: float = GREETING_S) -> tuple[wire.Hello, bytes]:
    """The hub's side of the greeting: challenge, and check the answer.

    Returns
    -------
    hello : wire.Hello
        What the agent says of itself.
    proof : bytes
        For the `wire.Welcome` that the hub sends next.

    Raises
    ------
    LinkError
        If the peer does not know the token, speaks another version or does not answer; the link is then aborted.
    """
    nonce = secrets.token_bytes(16)
    link.send(wire.Challenge(nonce))
    try:
        hello = await link.first(timeout_s)
        if not isinstance(hello, wire.Hello):
            raise LinkError(f"{link.peer} began with {type(hello).__name__} in place of Hello")
        if not hmac.compare_digest(hello.proof, prove(token, "agent", nonce, hello.nonce)):
            raise LinkError(f"{link.peer} does not know this campaign's token")
        if hello.version != wire.VERSION:
            raise LinkError(f"agent {hello.agent} speaks version {hello.version}, this engine {wire.VERSION}")
    except LinkError as e:
        link.abort(e)
        raise
    return hello, prove(token, "hub", hello.nonce, nonce)


async def dial(
    address: str,
    token: str,
    hello: Callable[[], dict[str, Any]],
    *,
    ssl_context: ssl.SSLContext | None = None,
    least_epoch: int = 0,
    timeout_s: float = GREETING_S,
) -> tuple[Link[FromHub], wire.Welcome]:
    """The agent's side: connect to ``tcp://host:port`` (or ``tls://``) and greet.

    Parameters
    ----------
    hello : callable
        Gives the fields of `wire.Hello` but for `nonce` and `proof`, at the moment they are sent.
    least_epoch : int
        An engine with a lower epoch is refused.

    Raises
    ------
    LinkError, OSError
        If nobody answers, or the one who does is not this campaign's engine.
    """
    scheme, _, rest = address.partition("://")
    host, _, port = rest.rpartition(":")
    if scheme not in ("tcp", "tls") or not host or not port.isdigit():
        raise LinkError(f"{address!r} is no address; they are written tcp://host:port or tls://host:port")
    if scheme == "tls" and ssl_context is None:
        raise LinkError(
            f"{address} wants TLS but this worker has no certificates; start the pool with the same security"
        )
    if scheme == "tcp" and ssl_context is not None:
        raise LinkError(f"{address} is not encrypted but this worker was told to use TLS; refusing")
    loop = asyncio.get_running_loop()
    try:
        _, link = await asyncio.wait_for(
            loop.create_connection(lambda: Link(wire.from_hub), host.strip("[]"), int(port), ssl=ssl_context), timeout_s
        )
    except TimeoutError:
        raise LinkError(f"{address} did not answer within {timeout_s:g} s") from None
    try:
        challenge = await link.first(timeout_s)
        if not isinstance(challenge, wire.Challenge):
            raise LinkError(f"{address} began with {type(challenge).__name__} in place of a challenge")
        nonce = secrets.token_bytes(16)
        link.send(wire.Hello(nonce=nonce, proof=prove(token, "agent", challenge.nonce, nonce), **hello()))
        welcome = await link.first(timeout_s)
        if not isinstance(welcome, wire.Welcome):
            raise LinkError(f"{address} answered {type(welcome).__name__} in place of a welcome")
        if not hmac.compare_digest(welcome.proof, prove(token, "hub", nonce, challenge.nonce)):
            raise LinkError(f"{address} does not know this campaign's token")
        if welcome.epoch < least_epoch:
            raise LinkError(f"{address} is an engine of epoch {welcome.epoch}; this worker has served {least_epoch}")
    except BaseException:
        link.abort()
        await asyncio.sleep(0)  # so that the socket is closed even if the loop ends now
        raise
    return link, welcome


async def serve(
    connected: Callable[[Link[FromAgent]], None],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ssl_context: ssl.SSLContext | None = None,
) -> tuple[asyncio.Server, str]:
    """The hub's side: listen. `connected` is called for each new link and should start a task that greets it.

    Returns
    -------
    server : asyncio.Server
        Close it to stop listening; links stay.
    address : str
        For `write_contact`.
    """
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Link(wire.from_agent, connected), host, port, ssl=ssl_context)
    name = server.sockets[0].getsockname()
    shown = f"[{name[0]}]" if ":" in name[0] else name[0]
    return server, f"{'tls' if ssl_context else 'tcp'}://{shown}:{name[1]}"
