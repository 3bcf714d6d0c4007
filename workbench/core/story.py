"""What happened to a task or set, in sentences, from the records of the journal."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator

from workbench.model.causes import EXPLAINED
from workbench.model.events import (
    AttemptAssigned,
    AttemptEnded,
    AttemptFinished,
    AttemptReported,
    AttemptStarted,
    CommandAccepted,
    CommandRefused,
    Event,
    NodeLeft,
    Record,
)
from workbench.model.ids import is_task

from .apply import names_of


def story(records: Iterable[Record], target: str) -> list[str]:
    """Sentences about `target` (a set name, task id or attempt id), oldest first.

    Attempts whose node left are told too, although no event of their own ended them.
    """
    wanted = target.partition("#")[0]
    lines: list[str] = []
    where: dict[str, tuple[str, int]] = {}  # task -> (node, attempt) under way
    for record in records:
        event = record.event
        if isinstance(event, NodeLeft):
            for task, (node, number) in list(where.items()):
                if node == event.node:
                    text = f"{task}#{number} ended: {event.cause}: {EXPLAINED[event.cause]}"
                    lines.append(_line(record, text + (f" ({event.detail})" if event.detail else "")))
                    del where[task]
            continue
        for text in _tell(event, wanted):
            lines.append(_line(record, text))
        if isinstance(event, AttemptAssigned) and _is(event.task, wanted):
            where[event.task] = (event.node, event.number)
        elif isinstance(event, (AttemptFinished, AttemptEnded)):
            where.pop(event.task, None)
    return lines


def _line(record: Record, text: str) -> str:
    at = record.event.at
    stamp = time.strftime("%H:%M:%S", time.localtime(at)) + f".{int(at % 1 * 1000):03d}"
    return f"{stamp}  {record.seq:>7}  {text}"


def _is(task: str, wanted: str) -> bool:
    return task == wanted or (not is_task(wanted) and task.startswith(wanted + "["))


def _tell(event: Event, wanted: str) -> Iterator[str]:
    if isinstance(event, CommandAccepted):
        for edit in event.edits:
            touched = names_of(edit)
            if wanted in touched or wanted.partition("[")[0] in touched:
                # SetPriority is told as "set priority".
                words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(edit).__name__).lower()
                # The reason of an undo ends in the number of the command that it takes back.
                reason = event.reason.partition(" ")[0] if event.undoes else event.reason
                yield f"{event.author}: {words}" + (f" ({reason})" if reason else "")
    elif isinstance(event, CommandRefused):
        if event.author == f"task:{wanted}" or event.id.startswith(wanted):
            yield f"what {event.author} asked for was refused, {event.rule}: {event.message}"
    elif isinstance(event, AttemptAssigned):
        if _is(event.task, wanted):
            share = "queued on" if event.queued else "assigned to"
            more = "".join(f", {x.node}" for x in event.others)
            gpus = f", GPUs {list(event.gpus)}" if event.gpus else ""
            cores = f"{event.cores} core" + ("" if event.cores == 1 else "s")
            yield f"{event.task}#{event.number} {share} {event.node}{more} ({cores}{gpus})"
    elif isinstance(event, AttemptStarted):
        if _is(event.task, wanted):
            yield f"{event.task}#{event.number} started" + (f" (pid {event.pid})" if event.pid else "")
    elif isinstance(event, AttemptReported):
        if _is(event.task, wanted):
            parts = [f"{k}={v}" for k, v in event.metrics.items()]
            if event.progress is not None:
                parts.append(f"{event.progress:.0%} done")
            yield f"{event.task}#{event.number} reported {', '.join(parts)}"
    elif isinstance(event, AttemptFinished):
        if _is(event.task, wanted):
            size = event.result.size or len(event.result.inline)
            grown = f", asks for {len(event.growth)} edits of the graph" if event.growth else ""
            took = event.ended - event.started
            yield f"{event.task}#{event.number} finished after {took:.3f} s, result {size} bytes{grown}"
    elif isinstance(event, AttemptEnded) and _is(event.task, wanted):
        code = "" if event.exit_code is None else f", exit code {event.exit_code}"
        text = f"{event.task}#{event.number} ended: {event.cause}: {EXPLAINED[event.cause]}{code}"
        if event.detail:
            text += "\n" + "\n".join("            | " + x for x in event.detail.rstrip().splitlines()[-40:])
        yield text
