"""The engine's side of the agents: who is there, what was ordered from whom, what they tell.

The rules are those of `executors.agent.wire`. In short: agents dial; what the engine orders is remembered until its
end arrives, and sent again when an agent returns without it; what an agent has that nobody ordered is killed; events
carry numbers, and what was seen is dropped. An agent whose connection ended is given `grace_s`; it is gone when the
cluster does not list its worker either, or when it has been away for so long that it has given itself up.

Everything runs on the engine's event loop. `deliver` gets one batch of events for each batch of an agent's.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from workbench.executors.agent import link as links
from workbench.executors.agent import wire
from workbench.executors.agent.contact import Contact, new_token, write_contact
from workbench.executors.agent.link import Link, LinkError
from workbench.executors.agent.recent import Recent
from workbench.executors.dask.inputs import Apart, Inputs
from workbench.executors.port import Deliver
from workbench.model.actions import Launch, Stop, Tell
from workbench.model.causes import Cause
from workbench.model.errors import StorageFailed, StorageFull
from workbench.model.events import AttemptAssigned, AttemptEnded, Event, NodeJoined, NodeLeft
from workbench.model.ids import attempt_id

log = logging.getLogger(__name__)

ACK_AFTER_S = 0.02
GIVEN, GIVEN_BYTES = 64, 64 << 20
"""Shared inputs that an agent is asked to keep."""

Key = tuple[str, int]


class Order(NamedTuple):
    """A launch without those inputs that it shares with others."""

    launch: Launch
    apart: Apart

    @property
    def placed(self) -> AttemptAssigned:
        return self.launch.placed


class Peer:
    """One agent, from its first hello until it is given up.

    Attributes
    ----------
    orders : dict
        Attempts ordered from it that have not ended.
    seen, safe : int
        Number of its last event that arrived, and of the last that it may forget.
    """

    def __init__(self, hello: wire.Hello) -> None:
        self.agent, self.host, self.pid, self.dask = hello.agent, hello.host, hello.pid, hello.dask
        self.offered = hello.nodes
        self.link: Link[wire.FromAgent] | None = None
        self.nodes: dict[str, wire.Node] = {}  # our name of a node -> the node as the agent calls it
        self.orders: dict[Key, Order] = {}
        self.defined: set[str] = set()
        self.given: Recent[str] = Recent(GIVEN, GIVEN_BYTES)
        self.maimed: set[Key] = set()
        self.seen = self.safe = self.told = 0
        self.left_at = 0.0

    def send(self, *messages: wire.FromHub) -> None:
        if self.link is not None:
            self.link.send(*messages)


class Hub:
    """See the head of the file.

    Parameters
    ----------
    directory : str
        The campaign's; the contact file goes there.
    deliver : callable
        Where events go.
    epoch : int
        Of this engine.
    listed : callable
        Whether the cluster still lists the worker of this Dask address.
    grace_s : float
        How long a connection may be away before somebody asks whether the worker lives.
    orphan_s : float
        After so long without an engine an agent gives itself up (`agent.config`), so we may too.
    ssl_context : ssl.SSLContext, optional
        Listen with TLS.
    journalled : bool
        Acknowledge events only on `acknowledge`, that is once they are on disk; otherwise as soon as delivered.
    """

    def __init__(
        self,
        directory: str,
        deliver: Deliver,
        *,
        epoch: int,
        listed: Callable[[str], bool],
        grace_s: float = 0.3,
        orphan_s: float = 600.0,
        ssl_context: ssl.SSLContext | None = None,
        journalled: bool = False,
    ) -> None:
        self.directory, self.epoch, self.grace_s, self.orphan_s = directory, epoch, grace_s, orphan_s
        self._deliver, self._listed, self._ssl, self._journalled = deliver, listed, ssl_context, journalled
        self._inputs = Inputs(directory)
        self._token = ""
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop
        self._greeting: set[asyncio.Task[None]] = set()
        self._waiting: dict[str, asyncio.TimerHandle] = {}
        self._acks: asyncio.TimerHandle | None = None
        self._peers: dict[str, Peer] = {}
        self._home: dict[str, Peer] = {}  # node -> peer
        self._owner: dict[Key, Peer] = {}  # attempt under way -> peer
        self._ended: dict[str, int] = {}  # task -> its highest attempt number that has ended
        self._names: dict[str, int] = {}  # node name -> how often it was used
        self._open = False
        self.joins = 0  # how many nodes ever joined

    # --- life ---

    async def start(self, host: str = "127.0.0.1") -> None:
        """Listen, and say where in the contact file."""
        self._loop = asyncio.get_running_loop()
        self._token = new_token()
        self._open = True
        self._server, address = await links.serve(self._connected, host=host, ssl_context=self._ssl)
        write_contact(self.directory, Contact(address, self._token, self.epoch, socket.gethostname(), os.getpid()))

    async def close(self) -> None:
        """Send every agent home, and stop listening. Nothing is delivered from now on."""
        self._open = False
        if self._server is not None:
            self._server.close()
        for timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()
        if self._acks is not None:
            self._acks.cancel()
        for task in list(self._greeting):
            task.cancel()
        await asyncio.gather(*self._greeting, return_exceptions=True)
        for peer in self._peers.values():
            if peer.link is not None:
                peer.send(wire.Bye("the campaign's engine stops"))
                peer.link.close()
        self._peers.clear()
        self._home.clear()
        self._owner.clear()

    # --- orders ---

    def launch(self, launch: Launch) -> None:
        """Send an attempt to its node; one that is known, or ended, stays as it is."""
        key = (launch.placed.task, launch.placed.number)
        if key in self._owner or launch.placed.number <= self._ended.get(launch.placed.task, 0):
            return
        peer = self._home.get(launch.placed.node)
        if peer is None:
            # A node that left has said so, and that ends the attempt; one that never was is somebody's mistake.
            if launch.placed.node not in self._names:
                self._refuse(key, Cause.LaunchRefused, f"there is no node {launch.placed.node}")
            return
        try:
            order = self._order(launch)
        except (StorageFull, StorageFailed) as e:
            self._refuse(key, Cause.DiskFull if isinstance(e, StorageFull) else Cause.WorkerLost, str(e))
            return
        peer.orders[key] = order
        self._owner[key] = peer
        self._send_run(peer, order)

    def _order(self, launch: Launch) -> Order:
        if not launch.inputs:
            return Order(launch, {})
        inline, apart = self._inputs.split(launch.inputs)
        return Order(msgspec.structs.replace(launch, inputs=inline) if apart else launch, apart)

    def _refuse(self, key: Key, cause: Cause, why: str) -> None:
        self._ended[key[0]] = max(key[1], self._ended.get(key[0], 0))
        # The engine is not called back from within its own call.
        self._loop.call_soon(self._tell, [AttemptEnded(time.time(), *key, cause, why)])

    def stop(self, stop: Stop) -> None:
        """End an attempt; an unknown one is ignored."""
        peer = self._owner.get((stop.task, stop.number))
        if peer is not None:
            peer.send(wire.Halt(stop.task, stop.number, stop.grace_s))

    def tell(self, tell: Tell) -> None:
        """Steer an attempt; an unknown one is ignored."""
        peer = self._owner.get((tell.task, tell.number))
        if peer is not None:
            peer.send(wire.Tell(tell.task, tell.number, tell.parameters, tell.stop))

    def flush(self) -> None:
        """Send what was ordered now: each turn of the loop that it waits is part of a dependent task's latency."""
        for peer in self._peers.values():
            if peer.link is not None:
                peer.link.flush()

    def acknowledge(self) -> None:
        """Everything delivered so far is on disk."""
        for peer in self._peers.values():
            peer.safe = peer.seen
        self._send_acks()

    def _send_run(self, peer: Peer, order: Order) -> None:
        launch, apart = order
        placed, plan = launch.placed, launch.plan
        node = peer.nodes.get(placed.node)
        if node is None or peer.link is None:  # it comes with the next hello
            return
        if plan.key not in peer.defined:
            peer.defined.add(plan.key)
            peer.send(wire.Define(plan))
        hosts: tuple[str, ...] = ()
        if placed.others:
            homes = (self._home.get(share.node) for share in placed.others)
            hosts = (peer.host, *(home.host if home is not None else peer.host for home in homes))
        for given in apart.values():
            if peer.given.use(given.key, len(given.results)):
                peer.send(given)
        run = wire.run_of(launch, hosts, {name: given.key for name, given in apart.items()})
        peer.send(run if run.node == node.name else msgspec.structs.replace(run, node=node.name))
        if apart and (surplus := peer.given.surplus()):
            peer.send(wire.Forget(tuple(surplus)))

    # --- nodes ---

    def nodes_of(self, pool: str) -> list[str]:
        """Names of the nodes of `pool` that are there now, in the order in which they joined."""
        return [name for name, peer in self._home.items() if peer.nodes[name].pool == pool]

    def busy(self, node: str) -> bool:
        """Whether an attempt that was ordered from `node`, or has a share of it, has not ended."""
        return any(
            order.placed.node == node or any(share.node == node for share in order.placed.others)
            for peer in self._peers.values()
            for order in peer.orders.values()
        )

    def worker_of(self, node: str) -> str:
        """Name of the Dask worker that carries `node` (a real one); empty if it is gone."""
        peer = self._home.get(node)
        return peer.nodes[node].name.partition("@")[0] if peer is not None else ""

    def retire(self, node: str, cause: Cause = Cause.Preempted, detail: str = "") -> wire.Node | None:
        """Give a node back, with what runs on it. Returns it as its agent calls it, to be used for `revive`."""
        peer = self._home.get(node)
        if peer is None:
            return None
        offered = peer.nodes[node]
        for key, order in list(peer.orders.items()):
            if order.placed.node == node:
                peer.send(wire.Halt(*key, 0.0))
                self._forget(peer, key)
        self._tell([self._left(peer, node, cause, detail)])
        return offered

    def revive(self, agent_node: wire.Node) -> bool:
        """Take a node that was retired into service again, under a new name; False if its agent is gone."""
        for peer in self._peers.values():
            if agent_node in peer.offered and agent_node not in peer.nodes.values():
                self._tell([self._joined(peer, agent_node)])
                return True
        return False

    def _joined(self, peer: Peer, node: wire.Node) -> NodeJoined:
        base = display_name(node.name)
        self.joins += 1
        used = self._names[base] = self._names.get(base, 0) + 1
        name = base if used == 1 else f"{base}.{used}"
        self._names.setdefault(name, 1)
        peer.nodes[name] = node
        self._home[name] = peer
        return NodeJoined(time.time(), name, node.pool, node.cores, node.gpus, node.memory, peer.host, node.prefetch)

    def _left(self, peer: Peer, node: str, cause: Cause, detail: str) -> NodeLeft:
        peer.nodes.pop(node, None)
        self._home.pop(node, None)
        # Attempts that live elsewhere but have a share of this node cannot go on.
        for other in self._peers.values():
            for key, order in other.orders.items():
                if any(share.node == node for share in order.placed.others):
                    other.maimed.add(key)
                    other.send(wire.Halt(*key, 0.0))
        return NodeLeft(time.time(), node, cause, detail)

    # --- greeting ---

    def _connected(self, link: Link[wire.FromAgent]) -> None:
        if not self._open:
            link.abort()
            return
        task = self._loop.create_task(self._greet(link))
        self._greeting.add(task)
        task.add_done_callback(self._greeting.discard)

    async def _greet(self, link: Link[wire.FromAgent]) -> None:
        try:
            hello, proof = await links.greet(link, self._token)
        except (LinkError, OSError) as refused:
            log.debug("a peer was refused: %s", refused)
            return
        except asyncio.CancelledError:
            link.abort()
            raise
        if not self._open or hello.epoch > self.epoch:
            # It has served a later engine, so we are the one that is out of date.
            link.abort()
            return
        self._welcome(link, hello, proof)

    def _welcome(self, link: Link[wire.FromAgent], hello: wire.Hello, proof: bytes) -> None:
        peer = self._peers.get(hello.agent)
        new = peer is None
        if peer is None:
            peer = self._peers[hello.agent] = Peer(hello)
        elif peer.link is not None:
            peer.link.abort()
        waiting = self._waiting.pop(hello.agent, None)
        if waiting is not None:
            waiting.cancel()
        peer.link = link
        peer.defined.clear()
        peer.given.clear()
        link.send(wire.Welcome(self.epoch, proof, peer.safe))
        if new:
            self._tell([self._joined(peer, node) for node in hello.nodes])
        known = set(hello.known)
        for key, order in peer.orders.items():
            if key not in known:
                self._send_run(peer, order)
        for key in known - peer.orders.keys():
            peer.send(wire.Halt(*key, 0.0))
        for key in peer.maimed:
            peer.send(wire.Halt(*key, 0.0))
        link.begin(lambda batch: self._received(peer, link, batch), lambda why: self._lost(peer, link))

    # --- events ---

    def _received(self, peer: Peer, link: Link[wire.FromAgent], batch: list[wire.FromAgent]) -> None:
        if peer.link is not link:
            return
        now, events = time.time(), list[Event]()
        for message in batch:
            if isinstance(message, wire.Hello):
                link.abort(LinkError(f"agent {peer.agent} said hello twice"))
                return
            if message.seq <= peer.seen:
                continue
            peer.seen = message.seq
            key = (message.task, message.number)
            if key not in peer.orders:
                continue
            if isinstance(message, (wire.Finished, wire.Ended)):
                maimed = key in peer.maimed
                self._forget(peer, key)
                if maimed and isinstance(message, wire.Ended):
                    said = "a node that it spanned went away"
                    said = f"{said}\n{message.detail}".strip()
                    events.append(AttemptEnded(now, *key, Cause.NodeLost, said, message.started, message.ended))
                    continue
            events.append(wire.event_of(message, now))
        if not self._journalled:
            peer.safe = peer.seen
        if self._acks is None:
            self._acks = self._loop.call_later(ACK_AFTER_S, self._send_acks)
        self._tell(events)

    def _send_acks(self) -> None:
        if self._acks is not None:
            self._acks.cancel()
            self._acks = None
        for peer in self._peers.values():
            if peer.safe > peer.told and peer.link is not None:
                peer.told = peer.safe
                peer.send(wire.Ack(peer.safe))

    def _forget(self, peer: Peer, key: Key) -> None:
        peer.orders.pop(key, None)
        peer.maimed.discard(key)
        self._owner.pop(key, None)
        self._ended[key[0]] = max(key[1], self._ended.get(key[0], 0))

    def _tell(self, events: Sequence[Event]) -> None:
        if self._open and events:
            self._deliver(events)

    # --- loss ---

    def _lost(self, peer: Peer, link: Link[wire.FromAgent]) -> None:
        if peer.link is not link:
            return
        peer.link = None
        peer.left_at = self._loop.time()
        if self._open:
            self._waiting[peer.agent] = self._loop.call_later(self.grace_s, self._ask, peer)

    def _ask(self, peer: Peer) -> None:
        """Is it gone? Its own silence proves nothing while the cluster still sees the worker."""
        self._waiting.pop(peer.agent, None)
        if not self._open or peer.link is not None:
            return
        away = self._loop.time() - peer.left_at
        if away < self.orphan_s and self._listed(peer.dask):
            self._waiting[peer.agent] = self._loop.call_later(self.grace_s, self._ask, peer)
            return
        self._give_up(peer, f"its worker on {peer.host} (process {peer.pid}) is gone")

    def _give_up(self, peer: Peer, why: str) -> None:
        self._peers.pop(peer.agent, None)
        under_way = [attempt_id(*key) for key in peer.orders]
        log.info("agent %s is gone with %d attempts: %s", peer.agent, len(under_way), why)
        for key in list(peer.orders):
            self._forget(peer, key)
        self._tell([self._left(peer, node, Cause.NodeLost, why) for node in list(peer.nodes)])


_WORKER = re.compile(r"(.+)\.e(\d+)-(\d+)")


def display_name(raw: str) -> str:
    """A node's name for people: ``"local.e3-0@9f2c.."``, of worker 0 in epoch 3, is ``"local-0.e3"``."""
    base, _, _ = raw.partition("@")
    found = _WORKER.fullmatch(base)
    return f"{found[1]}-{found[3]}.e{found[2]}" if found is not None else base
