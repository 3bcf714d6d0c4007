"""The port's rules, shown with work that only takes time: attempts, queues, and nodes that come and go."""

from __future__ import annotations

from workbench.model.actions import Provide, Stop, Tell
from workbench.model.causes import Cause
from workbench.model.events import (
    AttemptFinished,
    AttemptStarted,
    NodeJoined,
    Share,
)
from workbench.model.resources import NodeShape, Pool
from workbench.testing.bench import Bench
from workbench.testing.conformance.base import REAL, VIRTUAL, Base, peak


class SyntheticRules(Base):
    """The port's rules, shown with work that only takes time."""

    def test_nodes_join_with_their_shape_before_anything_is_said_about_them(self, bench: Bench) -> None:
        real, virtual = bench.joined(REAL), bench.joined(VIRTUAL)
        assert [(n.cores, n.gpus) for n in real] == [(2, 2)] * 2
        assert [(n.cores, n.gpus) for n in virtual] == [(4, 1)] * 3
        assert len({n.node for n in real + virtual}) == 5

    def test_synthetic_work_takes_its_time_and_is_told_to_start(self, bench: Bench) -> None:
        attempt = bench.sleep(bench.nodes(VIRTUAL, 3)[0], 0.2)
        finished = bench.finished(attempt)
        assert 0.2 <= finished.ended - finished.started
        told = [e for e in bench.events if getattr(e, "task", None) == attempt.task]
        assert [type(e) for e in told] == [AttemptStarted, AttemptFinished]

    def test_a_launch_told_twice_runs_once(self, bench: Bench) -> None:
        attempt = bench.sleep(bench.nodes(VIRTUAL, 3)[0], 0.1)
        bench.act(attempt.launch, attempt.launch)
        bench.end(attempt)
        bench.act(attempt.launch)
        bench.end(bench.sleep(bench.nodes(VIRTUAL, 3)[0], 0.2))
        assert len(bench.ends(attempt)) == 1

    def test_stop_and_tell_for_the_unknown_are_ignored(self, bench: Bench) -> None:
        node = bench.nodes(VIRTUAL, 3)[0]
        before = len(bench.events)
        bench.act(Stop("nobody[0]", 1, node), Tell("nobody[0]", 1, node, {"a": 1}), Stop("nobody[0]", 1, "nowhere"))
        probe = bench.sleep(node, 0.0)
        bench.end(probe)
        assert all(getattr(e, "task", "") == probe.task for e in bench.events[before:])

    def test_stop_ends_an_attempt_as_cancelled_once(self, bench: Bench) -> None:
        attempt = bench.sleep(bench.nodes(VIRTUAL, 3)[1], 500.0)
        bench.running(attempt)
        bench.stop(attempt, grace_s=0.05)
        bench.stop(attempt, grace_s=0.05)
        assert bench.ended(attempt).cause is Cause.Cancelled
        bench.end(bench.sleep(bench.nodes(VIRTUAL, 3)[1], 0.2))
        assert len(bench.ends(attempt)) == 1

    def test_a_queued_attempt_can_be_stopped_before_it_starts(self, bench: Bench) -> None:
        node = bench.nodes(VIRTUAL, 3)[1]
        holder = bench.sleep(node, 0.3, cores=4)
        waiting = bench.sleep(node, 500.0, queued=True)
        bench.stop(waiting, grace_s=0.0)
        assert bench.ended(waiting).cause is Cause.Cancelled
        assert bench.started(waiting) is None
        bench.finished(holder)

    def test_timeout_ends_an_attempt(self, bench: Bench) -> None:
        ended = bench.ended(bench.sleep(bench.nodes(VIRTUAL, 3)[0], 500.0, timeout_s=0.1))
        assert ended.cause is Cause.Timeout
        assert "0.1 s" in ended.detail

    def test_a_timeout_of_synthetic_work_is_in_seconds_of_the_campaign(self, bench: Bench) -> None:
        node = bench.nodes(VIRTUAL, 3)[0]
        late = bench.sleep(node, 6.0, timeout_s=300.0, time_scale=0.01)  # 600 s of the campaign
        fine = bench.sleep(node, 0.1, timeout_s=300.0, time_scale=0.01)
        ended = bench.ended(late)
        assert ended.cause is Cause.Timeout
        assert "300 s" in ended.detail
        assert ended.ended - ended.started < 6.0
        bench.finished(fine)

    def test_queued_attempts_start_in_order_and_slots_are_never_exceeded(self, bench: Bench) -> None:
        node = bench.nodes(VIRTUAL, 3)[2]
        cores = [4, 1, 2, 4, 1, 1, 3, 2]
        attempts = [bench.sleep(node, 0.06, cores=c, queued=i > 0) for i, c in enumerate(cores)]
        spans = [bench.finished(a) for a in attempts]
        starts = [s.started for s in spans]
        assert starts == sorted(starts), "queued attempts start in the order in which they came"
        assert peak([(s.started, s.ended, c) for s, c in zip(spans, cores, strict=True)]) <= 4

    def test_a_queued_attempt_waits_for_its_gpu(self, bench: Bench) -> None:
        node = bench.nodes(VIRTUAL, 3)[2]
        first = bench.sleep(node, 0.1, gpus=(0,))
        second = bench.sleep(node, 0.0, gpus=(0,), queued=True)
        assert bench.finished(first).ended <= bench.finished(second).started

    def test_a_launch_on_a_node_that_never_was_is_refused(self, bench: Bench) -> None:
        ended = bench.ended(bench.sleep("moon-0.e1", 1.0))
        assert ended.cause is Cause.LaunchRefused
        assert "moon-0.e1" in ended.detail

    def test_many_attempts_at_once_end_once_each(self, bench: Bench) -> None:
        nodes = bench.nodes(VIRTUAL, 3)
        attempts = [bench.sleep(nodes[i % 3], 0.0, queued=i >= 12, name="many", index=i, n=300) for i in range(300)]
        bench.until(lambda: all(bench.ends(a) for a in attempts), "all 300 end")
        assert all(len(bench.ends(a)) == 1 for a in attempts)

    def test_a_pool_grows_and_shrinks_and_names_are_never_used_again(self, fresh: Bench) -> None:
        before = fresh.nodes(VIRTUAL, 3)
        busy = fresh.sleep(before[0], 500.0)
        fresh.running(busy)
        fresh.act(Provide(VIRTUAL, 5))
        grown = fresh.nodes(VIRTUAL, 5)
        assert grown[:3] == before
        assert fresh.finished(fresh.sleep(grown[4], 0.0))
        fresh.act(Provide(VIRTUAL, 1))
        fresh.until(lambda: len(fresh.joined(VIRTUAL)) == 1, "four nodes leave")
        assert fresh.nodes(VIRTUAL, 1) == [before[0]], "idle nodes go first"
        fresh.act(Provide(VIRTUAL, 3))
        fresh.nodes(VIRTUAL, 3)
        names = [e.node for e in fresh.events if isinstance(e, NodeJoined)]
        assert len(names) == len(set(names))
        fresh.act(Provide(VIRTUAL, 0))
        fresh.until(lambda: len(fresh.joined(VIRTUAL)) == 1, "the idle ones leave")
        fresh.stop(busy, grace_s=0.0)
        left = fresh.until(lambda: fresh.left(before[0]), "the busy node leaves once it is empty")
        assert left is not None and left.cause is Cause.Preempted
        assert fresh.ended(busy).cause is Cause.Cancelled

    def test_nodes_that_shall_leave_finish_what_they_run(self, fresh: Bench) -> None:
        first, second, third = fresh.nodes(VIRTUAL, 3)
        # Two at a time on the third; everything else of it queues.
        work = {
            first: [fresh.sleep(first, 0.5)],
            second: [fresh.sleep(second, 0.3)],
            third: [fresh.sleep(third, 0.2, cores=2, queued=i > 1) for i in range(4)],
        }
        for attempts in work.values():
            fresh.running(attempts[0])
        # Twice, as an engine may: nothing changes by it.
        fresh.act(Provide(VIRTUAL, 1, retire=(second, third)), Provide(VIRTUAL, 1, retire=(second, third)))
        later = fresh.sleep(first, 0.0, cores=3)
        for node in (second, third):
            left = fresh.until(lambda node=node: fresh.left(node), f"{node} leaves")  # type: ignore[misc]
            assert left is not None and left.cause is Cause.Preempted
            ends = [fresh.finished(a) for a in work[node]]
            assert max(map(fresh.events.index, ends)) < fresh.events.index(left), "it leaves when it is empty"
        fresh.finished(work[first][0])
        fresh.finished(later)
        fresh.finished(fresh.sleep(first, 0.0))
        assert fresh.nodes(VIRTUAL, 1) == [first]

    def test_a_node_that_has_not_left_stays_after_all(self, fresh: Bench) -> None:
        first, second, third = fresh.nodes(VIRTUAL, 3)
        busy = [fresh.sleep(node, 500.0) for node in (second, third)]
        for attempt in busy:
            fresh.running(attempt)
        fresh.act(Provide(VIRTUAL, 1, retire=(second, third)))
        fresh.act(Provide(VIRTUAL, 4, retire=()))
        four = fresh.nodes(VIRTUAL, 4)
        assert four[:3] == [first, second, third], "those that were about to leave count, and keep their names"
        for attempt in busy:
            fresh.stop(attempt, grace_s=0.0)
            assert fresh.ended(attempt).cause is Cause.Cancelled
        for node in four:
            fresh.finished(fresh.sleep(node, 0.0))
        assert not any(fresh.left(node) for node in four)

    def test_surplus_nodes_leave_at_once_where_that_is_asked_for(self, fresh: Bench) -> None:
        first, second, third = fresh.nodes(VIRTUAL, 3)
        busy = {node: fresh.sleep(node, 500.0) for node in (first, second, third)}
        for attempt in busy.values():
            fresh.running(attempt)
        fresh.act(Provide(VIRTUAL, 2, retire=(first,)))
        fresh.act(Provide(VIRTUAL, 1, retire=(first, third), now=True))
        for node in (first, third):
            left = fresh.until(lambda node=node: fresh.left(node), f"{node} leaves")  # type: ignore[misc]
            assert left is not None and left.cause is Cause.Preempted
        fresh.finished(fresh.sleep(second, 0.0))
        assert not any(fresh.ends(attempt) for attempt in busy.values()), "the node's leaving is their end"

    def test_nothing_is_delivered_after_close(self, fresh: Bench) -> None:
        node = fresh.nodes(VIRTUAL, 3)[0]
        attempts = [fresh.sleep(node, 0.02, queued=i > 3) for i in range(40)]
        fresh.end(attempts[0])
        fresh.close()
        fresh.turn(0.3)  # `Bench` fails when something is delivered now
        fresh.act(attempts[1].launch, Stop(attempts[2].task, 1, node))


class NodeRules(Base):
    """Nodes that die, and nodes that come later."""

    def test_a_dead_node_takes_its_attempts_only_and_another_comes(self, fresh: Bench) -> None:
        first, second = fresh.nodes(REAL, 2)
        doomed = [fresh.sleep(first, 500.0), fresh.sleep(first, 500.0)]
        queued = fresh.sleep(first, 500.0, queued=True)
        spared = fresh.sleep(second, 500.0)
        for attempt in (*doomed, spared):
            fresh.running(attempt)
        self.break_node(fresh, first)
        left = fresh.until(lambda: fresh.left(first), "the node leaves")
        assert left is not None and left.cause is Cause.NodeLost
        again = fresh.nodes(REAL, 2)
        assert again[0] == second and again[1] not in (first, second)
        fresh.finished(fresh.sleep(again[1], 0.0))
        assert not any(fresh.ends(a) for a in (*doomed, queued, spared)), "the node's leaving is their end"
        fresh.stop(spared, grace_s=0.0)
        assert fresh.ended(spared).cause is Cause.Cancelled

    def test_a_launch_on_a_node_that_left_is_silent(self, fresh: Bench) -> None:
        first, second = fresh.nodes(REAL, 2)
        self.break_node(fresh, first)
        fresh.until(lambda: fresh.left(first), "the node leaves")
        late = fresh.sleep(first, 0.0)
        fresh.finished(fresh.sleep(second, 0.2))
        assert fresh.ends(late) == [], "its node's leaving has been told, and that is its end"

    def test_a_node_that_joins_later_is_used(self, fresh: Bench) -> None:
        before = fresh.nodes(REAL, 2)
        fresh.act(Provide(REAL, 3))
        after = fresh.nodes(REAL, 3)
        assert after[:2] == before
        fresh.finished(fresh.sleep(after[2], 0.0))

    def test_a_pool_declared_later_is_provided(self, fresh: Bench) -> None:
        fresh.nodes(REAL, 2)
        late = Pool("late", 2, NodeShape(64, 8), "virtual")
        fresh.act(Provide("late", 2, late))
        nodes = fresh.nodes("late", 2)
        assert {(n.cores, n.gpus) for n in fresh.joined("late")} == {(64, 8)}
        fresh.finished(fresh.sleep(nodes[1], 0.0, cores=64))

    def test_real_nodes_leave_when_what_they_run_has_ended(self, fresh: Bench) -> None:
        fresh.nodes(REAL, 2)
        fresh.act(Provide(REAL, 3))
        first, second, third = fresh.nodes(REAL, 3)
        work = {
            first: [fresh.sleep(first, 0.6, cores=2), fresh.sleep(first, 0.0, queued=True)],
            second: [fresh.sleep(second, 0.3)],
            third: [fresh.sleep(third, 0.3), fresh.sleep(third, 0.1)],
        }
        for attempts in work.values():
            fresh.running(attempts[0])
        fresh.act(Provide(REAL, 1, retire=(first, third)))
        for node in (first, third):
            left = fresh.until(lambda node=node: fresh.left(node), f"{node} leaves")  # type: ignore[misc]
            assert left is not None and left.cause is Cause.Preempted
            ends = [fresh.finished(a) for a in work[node]]
            assert max(map(fresh.events.index, ends)) < fresh.events.index(left), "it leaves when it is empty"
        fresh.finished(work[second][0])
        fresh.finished(fresh.sleep(second, 0.0, cores=2))
        assert fresh.nodes(REAL, 1) == [second]

    def test_a_node_is_not_empty_while_an_attempt_has_a_share_of_it(self, fresh: Bench) -> None:
        first, second = fresh.nodes(REAL, 2)
        both = fresh.sleep(first, 0.3, others=(Share(second),))
        fresh.running(both)
        fresh.act(Provide(REAL, 1, retire=(second,)))
        left = fresh.until(lambda: fresh.left(second), "the second node leaves")
        assert left is not None
        assert fresh.events.index(fresh.finished(both)) < fresh.events.index(left)

    def test_a_node_that_dies_while_it_drains_does_not_come_again(self, fresh: Bench) -> None:
        first, second = fresh.nodes(REAL, 2)
        doomed, spared = fresh.sleep(first, 500.0), fresh.sleep(second, 0.5)
        for attempt in (doomed, spared):
            fresh.running(attempt)
        fresh.act(Provide(REAL, 1, retire=(first,)))
        self.break_node(fresh, first)
        left = fresh.until(lambda: fresh.left(first), "the node leaves")
        assert left is not None and left.cause is Cause.NodeLost
        fresh.finished(spared)
        fresh.act(Provide(REAL, 2))
        fresh.until(lambda: len(fresh.joined(REAL)) > 1, "another node joins")
        again = fresh.nodes(REAL, 2)
        assert again[0] == second and again[1] != first
        for node in again:
            fresh.finished(fresh.sleep(node, 0.0, cores=2))

    def test_the_last_to_join_leave_where_nobody_says_which(self, fresh: Bench) -> None:
        first, second = fresh.nodes(REAL, 2)
        fresh.act(Provide(REAL, 1))
        left = fresh.until(lambda: fresh.left(second), "one node leaves")
        assert left is not None and left.cause is Cause.Preempted
        fresh.finished(fresh.sleep(first, 0.0))
