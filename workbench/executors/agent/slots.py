"""The slots of one node: what is free, and who waits. Pure bookkeeping."""

from __future__ import annotations

from collections import deque

from workbench.executors.agent.attempts import Attempt
from workbench.executors.agent.wire import Node


class Ledger:
    """Cores, GPUs, memory and CPU ids of a node.

    `due` are attempts to which the engine gave slots of their own, `queued` those that wait for a slot that an
    earlier one leaves. Nobody ever gets more than the node has, whatever the engine believes.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.cores = node.cores
        self.memory = node.memory
        self.gpus = set(range(node.gpus))
        self.cpus = list(node.cpus) if len(node.cpus) >= node.cores else []
        self.due: deque[Attempt] = deque()
        self.queued: deque[Attempt] = deque()

    def can_ever(self, a: Attempt) -> bool:
        """Whether `a` fits on the empty node."""
        n, r = self.node, a.run
        in_memory = not n.memory or r.memory <= n.memory
        return r.cores <= n.cores and all(0 <= g < n.gpus for g in r.gpus) and in_memory

    def fits(self, a: Attempt) -> bool:
        """Whether the slots that `a` asks for are free."""
        r = a.run
        if r.cores > self.cores or (self.node.memory and r.memory > self.memory):
            return False
        return not r.gpus or self.gpus.issuperset(r.gpus)

    def take(self, a: Attempt, prefer: tuple[int, ...] = ()) -> None:
        """Give `a` its slots; CPU ids from `prefer` where they are free."""
        r = a.run
        a.holds = True
        self.cores -= r.cores
        self.memory -= r.memory
        if r.gpus:
            self.gpus.difference_update(r.gpus)
        if self.cpus:
            chosen = sorted(self.cpus, key=lambda c: (c not in prefer, c))[: r.cores]
            self.cpus = [c for c in self.cpus if c not in chosen]
            a.cpus = tuple(chosen)

    def give(self, a: Attempt) -> None:
        """Take them back."""
        r = a.run
        a.holds = False
        self.cores += r.cores
        self.memory += r.memory
        if r.gpus:
            self.gpus.update(r.gpus)
        if a.cpus:
            self.cpus.extend(a.cpus)
            a.cpus = ()

    def can_follow(self, a: Attempt, before: Attempt) -> bool:
        """Whether `a` can run with exactly the slots that `before` leaves."""
        r, b = a.run, before.run
        return r.node == b.node and r.cores == b.cores and r.memory == b.memory and not r.gpus and not b.gpus

    def hand_over(self, before: Attempt, a: Attempt) -> None:
        """`a` gets the slots of `before`; see `can_follow`."""
        a.cpus, before.cpus = before.cpus, ()
        a.holds, before.holds = True, False

    def queue_again(self, a: Attempt) -> None:
        """`a` waits again, at its old place among those that are queued."""
        queued = self.queued
        at = 0
        while at < len(queued) and queued[at].place < a.place:
            at += 1
        queued.insert(at, a)

    def drop(self, a: Attempt) -> bool:
        """Take `a` out of the queues; False if it is in none."""
        for q in (self.due, self.queued):
            if a in q:
                q.remove(a)
                return True
        return False
