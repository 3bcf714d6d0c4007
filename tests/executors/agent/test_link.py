from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from workbench.executors.agent import contact, wire
from workbench.executors.agent import link as links
from workbench.executors.agent.contact import Contact
from workbench.executors.agent.link import HEAD, Link, LinkError

TOKEN = contact.new_token()


def hello() -> dict[str, Any]:
    return {
        "agent": "a", "epoch": 0, "host": "h", "pid": 1, "dask": "", "nodes": (), "seq": 0, "known": ()
    }  # fmt: skip


class Hub:
    """Accepts, greets, and collects."""

    def __init__(self, epoch: int = 1, token: str = TOKEN, ssl_context: Any = None) -> None:
        self.epoch, self.token, self.ssl = epoch, token, ssl_context
        self.links: list[Link[wire.FromAgent]] = []
        self.refused: list[BaseException] = []
        self.got: list[wire.FromAgent] = []
        self.heard = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Hub:
        self.server, self.address = await links.serve(self._connected, ssl_context=self.ssl)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for link in self.links:
            link.abort()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await asyncio.sleep(0)

    def _connected(self, link: Link[wire.FromAgent]) -> None:
        self.links.append(link)
        self.tasks.append(asyncio.get_running_loop().create_task(self._greet(link)))

    async def _greet(self, link: Link[wire.FromAgent]) -> None:
        try:
            _, proof = await links.greet(link, self.token)
        except LinkError as e:
            self.refused.append(e)
            self.heard.set()
            return
        link.send(wire.Welcome(self.epoch, proof))
        link.begin(self._batch)

    def _batch(self, batch: list[wire.FromAgent]) -> None:
        self.got.extend(batch)
        self.heard.set()


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with Hub() as hub:
        yield hub


async def test_both_sides_prove_that_they_know_the_token(hub: Hub) -> None:
    link, welcome = await links.dial(hub.address, TOKEN, hello)
    assert welcome.epoch == 1
    link.begin(lambda batch: None)
    link.send(wire.Started(1, "a[0]", 1, 0.0))
    await hub.heard.wait()
    assert hub.got == [wire.Started(1, "a[0]", 1, 0.0)]
    link.close()


async def test_a_stranger_is_refused_by_the_hub(hub: Hub) -> None:
    with pytest.raises(OSError):
        await links.dial(hub.address, "wrong", hello)
    await hub.heard.wait()
    assert "token" in str(hub.refused[0])


async def test_an_agent_does_not_obey_a_stranger() -> None:
    """Somebody else may listen at the address of an engine that ended."""

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for message in (wire.Challenge(b"n"), wire.Welcome(99, b"guessed")):
            raw = wire.encode([message])
            writer.write(HEAD.pack(len(raw)) + raw)
        await reader.read()
        writer.close()
        left.set()

    left = asyncio.Event()
    server = await asyncio.start_server(impostor, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(LinkError, match="does not know this campaign's token"):
        await links.dial(f"tcp://127.0.0.1:{port}", TOKEN, hello)
    await left.wait()
    server.close()
    await server.wait_closed()


async def test_a_lower_epoch_is_refused(hub: Hub) -> None:
    with pytest.raises(LinkError, match="epoch 1"):
        await links.dial(hub.address, TOKEN, hello, least_epoch=2)


@pytest.mark.parametrize("address", ["", "tcp://", "tcp://host", "tcp://host:x", "http://host:1", "host:1"])
async def test_what_is_no_address_is_named(address: str) -> None:
    with pytest.raises(LinkError, match="no address"):
        await links.dial(address, TOKEN, hello)


async def test_encryption_is_not_negotiable() -> None:
    with pytest.raises(LinkError, match="no certificates"):
        await links.dial("tls://127.0.0.1:1", TOKEN, hello)


async def test_nobody_there() -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with pytest.raises(OSError):
        await links.dial(f"tcp://127.0.0.1:{port}", TOKEN, hello, timeout_s=5)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(HEAD.pack(1 << 40), id="absurd length"),
        pytest.param(HEAD.pack(links.MAX_GREETING + 1), id="longer than a greeting"),
        pytest.param(HEAD.pack(3) + b"abc", id="no msgpack"),
        pytest.param(HEAD.pack(1) + b"\xc0", id="not a batch"),
        pytest.param(HEAD.pack(len(wire.encode([wire.Ack(1)]))) + wire.encode([wire.Ack(1)]), id="an order"),
        pytest.param(HEAD.pack(0), id="empty"),
    ],
)
async def test_garbage_ends_the_connection_and_nothing_else(hub: Hub, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection(*hub.address.removeprefix("tcp://").split(":"))
    await reader.readexactly(8)
    writer.write(sent)
    await hub.heard.wait()
    assert len(hub.refused) == 1
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    link, _ = await links.dial(hub.address, TOKEN, hello)
    link.close()


async def test_frames_may_arrive_in_pieces_and_together(hub: Hub) -> None:
    link, _ = await links.dial(hub.address, TOKEN, hello)
    batches = [[wire.Started(i, "a[0]", i, 0.5)] for i in range(1, 4)]
    raw = b"".join(HEAD.pack(len(wire.encode(b))) + wire.encode(b) for b in batches)
    assert link._transport is not None
    for i in range(len(raw)):
        link._transport.write(raw[i : i + 1])
    while len(hub.got) < 3:
        hub.heard.clear()
        await hub.heard.wait()
    assert hub.got == [b[0] for b in batches]
    link.close()


async def test_a_batch_larger_than_a_frame_is_split(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MAX_FRAME", 4096)
    link, _ = await links.dial(hub.address, TOKEN, hello)
    sent = [wire.Ended(i, "a[0]", i, wire.Cause.UserError, "x" * 500) for i in range(1, 40)]
    link.send(*sent)
    while len(hub.got) < len(sent):
        hub.heard.clear()
        await hub.heard.wait()
    assert hub.got == sent
    link.close()


async def test_a_message_larger_than_a_frame_ends_the_link(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MAX_FRAME", 4096)
    link, _ = await links.dial(hub.address, TOKEN, hello)
    lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
    link.begin(lambda batch: None, lost.set_result)
    link.send(wire.Ended(1, "a[0]", 1, wire.Cause.UserError, "x" * 5000))
    assert "larger than a frame" in str(await lost)


async def test_tls() -> None:
    from distributed.security import Security

    security = Security.temporary()
    async with Hub(ssl_context=security.get_listen_args("scheduler")["ssl_context"]) as hub:
        assert hub.address.startswith("tls://")
        mine = security.get_connection_args("worker")["ssl_context"]
        link, welcome = await links.dial(hub.address, TOKEN, hello, ssl_context=mine)
        assert welcome.epoch == 1
        link.close()
        with pytest.raises(LinkError, match="not encrypted"):
            await links.dial(hub.address.replace("tls", "tcp"), TOKEN, hello, ssl_context=mine)


def test_the_contact_file_is_for_its_owner_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        contact.write_contact(str(tmp_path), Contact("tcp://h:1", TOKEN, 3, "h", 4))
    finally:
        os.umask(old)
    path = tmp_path / contact.CONTACT
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == [contact.CONTACT]
    assert contact.read_contact(str(tmp_path)) == Contact("tcp://h:1", TOKEN, 3, "h", 4)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"address": 3}'])
def test_a_damaged_contact_file_is_an_os_error(tmp_path: Path, text: str) -> None:
    (tmp_path / contact.CONTACT).write_text(text)
    with pytest.raises(LinkError, match="damaged"):
        contact.read_contact(str(tmp_path))


def test_no_contact_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        contact.read_contact(str(tmp_path))
