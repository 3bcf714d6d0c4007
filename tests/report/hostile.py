"""A campaign in which every text that a user, a task or a file can choose is a given one."""

from __future__ import annotations

from collections.abc import Sequence

from tests.report.campaigns import Run, declared
from workbench.model import events as ev
from workbench.model.causes import Cause
from workbench.model.edits import AddEdges, AddSet, ReplaceSpec, Steer
from workbench.model.resources import NodeShape, Pool
from workbench.model.specs import Edge, Plan
from workbench.report import Tables


def told(texts: Sequence[str]) -> Tables:
    """Tables of a campaign of ``len(texts)`` sets; text i goes into the i-th of everything."""
    # A target that ends in "]" is a task's id, so no set can be called that.
    texts = [f"{text}." if text.endswith("]") else text for text in texts]
    pool = Pool(texts[0], len(texts), NodeShape(4, 1))
    specs = [declared(text, 2, 5.0, 1, i % 2) for i, text in enumerate(texts)]
    edits = [AddSet(s, (Edge(specs[i - 1].name, s.name),) if i % 7 else ()) for i, s in enumerate(specs)]
    run = Run(edits, pool, name=texts[1], policy="auto")
    names = iter(texts)
    run.fate = lambda task, number: Cause.UserError if task.endswith("[1]") and int(run.at) % 2 else None
    for text in texts:
        run.detail = f"{text}\n  {text}\n{text}"
        run.step()
        name = next(names)
        run.add(ev.NodeJoined(run.at, f"node {name}", pool.name, 4, 1, 0, text))
        edit = ReplaceSpec(name, tags={text: text}, parameters={text: text})
        said = (edit, Steer(name, {text: text}))
        run.add(ev.CommandAccepted(run.at, f"c {text}", said, author=text, reason=text, undoes=text))
        task = f"{name}[0]"
        owner = run.state.task(task)
        if owner is not None and owner.node:
            run.add(ev.AttemptReported(run.at, task, owner.number, {text: 1.0}))
            wish = AddEdges((Edge(text, text),))
            run.add(ev.AttemptFinished(run.at, task, owner.number, run.at, run.at, growth=(wish,)))
            run.add(ev.CommandRefused(run.at, f"{task}+", f"task:{task}", text, text))
        # Some texts stand in every forecast, because views show the last one.
        others = {other: 120.0 + i for i, other in enumerate((text, *texts[-6:-3]))}
        ends = {name: (80.0, 90.0, 100.0)}
        run.add(ev.ForecastMade(run.at, 100.0, 50.0, text, text, 0, others, 90.0, 100.0, 110.0, ends, 20))
        run.add(ev.PolicyChosen(run.at, Plan("fifo"), 100.0, text, others))
    run.detail = "\n".join(texts)
    run.run()
    tables = Tables()
    tables.fold(run.records)
    return tables
