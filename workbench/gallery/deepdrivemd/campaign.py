"""DeepDriveMD as an asynchronous campaign: simulations that never wait for learning.

The loop of DeepDriveMD is simulate -> aggregate -> train -> infer -> decide where the next simulations start. Run as
a loop, the processors idle while the network trains. Here two ensembles of simulations take turns, and each round's
learning happens while the other ensemble simulates::

    round      0            1            2            3
    sim     [#### 0 ####][#### 1 ####][#### 2 ####][#### 3 ####]        no core idles for want of a decision
    agg                  [0]          [1]          [2]
    infer                 [0]          [1]          [2]                 with the newest model that exists: train k-1
    agent                  [0]----+     [1]----+                        stops what gives way in the round that runs,
    train                 [ 0 ]   |    [ 1 ]   |                        and grows the round after it
                                  +-> sim 2    +-> sim 3

    sim k -> agg k -> infer k -> agent k -> sim k+2, agg k+2, infer k+2, agent k+2 (added to the running graph)
                agg k -> train k -> infer k+1         agg k-1 -> agg k       train k-1 -> train k

* The agent of round k never waits for the training of round k: it uses the newest model that is there, `train` k-1
  (only the first round has no older one, so the third round of simulations is the only one that ever waits for a
  training). Training continues beside the next simulations.
* The task ``load-libraries`` makes a worker load the learning libraries while the first simulations run.
* The agent decides while round k+1 runs. Simulations of that round whose starting point has been overtaken
  (`select.unproductive`) are asked to stop; they keep their frames, and the steps that they did not use start new
  simulations from outliers.
* The agent adds the tasks of round k+2 to the running campaign: the graph grows as long as the budget of steps lasts,
  and then with the task ``outcome``. The budget is the same for every mode.
* ``ensembles=1`` gives the loop as first published: simulations wait, the newest model is that of the same round.

Several runs (modes x seeds, ``mode="compare"``) share the sets: `sim-3` then holds the simulations of all runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from workbench import task
from workbench.gallery.deepdrivemd import ledger as books
from workbench.gallery.deepdrivemd import outcome as result
from workbench.gallery.deepdrivemd import setup as setups
from workbench.gallery.deepdrivemd import work
from workbench.gallery.deepdrivemd.ledger import Inferred, Ledger
from workbench.gallery.deepdrivemd.setup import Setup
from workbench.gallery.deepdrivemd.simulate import seed_for

if TYPE_CHECKING:
    from workbench.api.declare import Declarer
    from workbench.api.handles import TaskHandle

MD = ("numpy", "openmm", "workbench.gallery.deepdrivemd.campaign")
ML = (*MD, "torch", "sklearn.neighbors", "workbench.gallery.deepdrivemd.vae")
FULL = {"iterations": 8, "simulations": 8, "steps": 10_000}
QUICK = {"iterations": 4, "simulations": 4, "steps": 30_000}


def deepdrivemd(
    c: Declarer,
    mode: str | Sequence[str] = "both",
    order: str | Iterable[str] | None = ("q", "rmsd"),
    rank: str = "rmsd",
    iterations: int | None = None,
    simulations: int | None = None,
    steps: int | None = None,
    temperature: float = 305.0,
    seed: int = 1,
    seeds: Sequence[int] = (),
    quick: bool = False,
    ensembles: int = 2,
    every: int = 200,
    heat_steps: int = 5000,
    window: int = 4,
    first_epochs: int = 12,
    epochs: int = 4,
    early_stop: bool = True,
    train_cores: int = 1,
) -> None:
    """Declare the campaign in `c`; its task ``outcome`` will hold the result (`outcome.Outcome`).

    Parameters
    ----------
    c : Campaign or Declarer
        Where to declare.
    mode : str
        ``plain``, ``lof``, ``rmsd``, ``both`` (as published), several of them with commas, or ``compare`` for all
        four side by side.
    order : str or sequence of str
        Order parameters to report: ``q``, ``rmsd``, ``rg``, or ``none``.
    rank : str
        The order parameter that modes ``rmsd`` and ``both`` rank frames by; must be one of `order`.
    iterations, simulations, steps : int
        The budget of each run is their product, in steps; `simulations` run side by side. 8, 8 and 10 000 unless
        stated; 4, 4 and 30 000 with `quick`.
    temperature : float
        Kelvin; can be changed while the campaign runs.
    seed, seeds : int, sequence of int
        One run for each mode and seed; `seeds` replaces `seed`.
    quick : bool
        A small budget, under two minutes on two cores with everything.
    ensembles : int
        2: simulations never wait for learning; 1: the synchronous loop.
    every : int
        Steps between frames.
    heat_steps : int
        Length of the run at 450 K that unfolds the starting structures.
    window : int
        Iterations whose frames are learned from and chosen among.
    first_epochs, epochs : int
        Passes over the window in the first training, and in one iteration later.
    early_stop : bool
        Whether the agent may stop simulations. The results of a campaign with False depend on its seeds alone.
    train_cores : int
        Cores of a training task.

    Raises
    ------
    WorkbenchError
        Naming the parameter that is out of range, before anything is declared.
    """
    size = QUICK if quick else FULL
    setup = setups.check(
        mode=mode, order=order, rank=rank, seeds=tuple(seeds) or (seed,),
        iterations=size["iterations"] if iterations is None else iterations,
        simulations=size["simulations"] if simulations is None else simulations,
        steps=size["steps"] if steps is None else steps, every=every, heat_steps=heat_steps, temperature=temperature,
        ensembles=ensembles, window=window, first_epochs=first_epochs, epochs=epochs, early_stop=early_stop,
        train_cores=train_cores,
    )  # fmt: skip
    if any(run.learns for run in setup.runs):
        c.task(load_libraries, name="load-libraries", preload=ML, stage=0, priority=20)
    book = books.opened(setup)
    plans: list[books.Plan] = []
    for _ in range(setup.ensembles):
        segments = books.first_segments(setup, book)
        if segments:
            plan = books.plan(setup, book, segments)
            plans.append(plan)
            book = plan.book
    before: Any = book
    for plan in plans:
        before = declare_round(c, setup, plan, before)


def declare_round(d: Declarer, setup: Setup, plan: books.Plan, before: Any) -> TaskHandle:
    """Declare the five sets of a planned round; `before` is the previous agent (for the first: the ledger).

    Returns the handle of the round's agent.
    """
    k, stage, runs = plan.round, 5 * plan.round, list(plan.segments)
    jobs = [{**one, "seed": seed_for(setup.runs[r].seed, k, i)} for r in runs for i, one in enumerate(plan.segments[r])]
    sims = d.map(
        work.simulate, jobs, name=f"sim-{k}", temperature=setup.temperature, every=setup.every,
        heat_steps=setup.heat_steps, order=list(setup.order), preload=MD, stage=stage, retries=2,
        labels=[_label(setup, r, i) for r in runs for i in range(len(plan.segments[r]))],
    )  # fmt: skip
    agg = d.map(
        work.aggregate,
        [
            {"previous": _known(d, plan.older[r].gathered), "segments": [sims[i] for i in plan.places[r]]}
            for r in runs
        ],
        name=f"agg-{k}", round=k, every=setup.every, window=setup.window * setup.ensembles, order=list(setup.order),
        preload=MD, stage=stage + 1, priority=10, retries=2, labels=[_label(setup, r) for r in runs],
    )  # fmt: skip
    gathered = dict(zip(runs, agg, strict=True))
    models: dict[int, Any] = {}
    if plan.learners:
        trained = d.map(
            work.train,
            [
                {
                    "gathered": gathered[r],
                    "model": _known(d, plan.older[r].model),
                    "seed": seed_for(setup.runs[r].seed, k),
                }
                for r in plan.learners
            ],
            name=f"train-{k}", epochs=setup.first_epochs if k == 0 else -(-setup.epochs // setup.ensembles), preload=ML,
            cores=setup.train_cores, stage=stage + 2, priority=5, retries=2,
            labels=[_label(setup, r) for r in plan.learners],
        )  # fmt: skip
        models = dict(zip(plan.learners, trained, strict=True))
    judged = [
        {
            "run": r,
            "gathered": gathered[r],
            "model": _model(d, setup, plan.older[r].model, models.get(r)),
            "most": _most(setup, k, plan.book["runs"][r]["left"]),
        }
        for r in runs
    ]
    inferred = d.map(
        work.infer, judged, setup, before, name=f"infer-{k}", round=k,
        preload=ML if any(setup.runs[r].learns for r in runs) else MD, stage=stage + 3, priority=10, retries=2,
        labels=[_label(setup, r) for r in runs],
    )  # fmt: skip
    return d.task(
        agent, inferred, before, setup, name=f"agent-{k}", round=k, preload=MD, stage=stage + 4, priority=10, retries=2
    )


def load_libraries() -> None:
    """Nothing: its worker loads the learning libraries (seconds) beside the first simulations, not after them."""


def _most(setup: Setup, k: int, left: int) -> int:
    """Restart points that are worth choosing in round `k`: none when nothing can be left to start."""
    if left < setup.every and not (setup.early_stop and setup.ensembles > 1):
        return 0
    return 2 * setup.size(k + setup.ensembles)


def _model(d: Declarer, setup: Setup, older: str, own: Any) -> Any:
    """The newest model that inference need not wait for; with one ensemble, and in the first round, this round's."""
    return d.handle(older) if older and (setup.ensembles > 1 or own is None) else own


def _known(d: Declarer, target: str) -> Any:
    return d.handle(target) if target else None


def _label(setup: Setup, r: int, i: int | None = None) -> str:
    run = setup.runs[r]
    return f"{run.mode}, seed {run.seed}" + ("" if i is None else f", {i}")


def agent(inferred: list[Inferred], book: Ledger, setup: Setup, *, round: int) -> Ledger:
    """Decide: stop simulations that give way, start new ones, and grow the graph by the next round or the outcome.

    `book` is the ledger as the agent before left it; the result is the ledger as it stands now.
    """
    book, segments, give_way = books.settle(setup, book, round, inferred)
    with task.grow() as g:
        if give_way:
            g.task(stop, f"sim-{round + 1}", give_way, name=f"stop-{round}", stage=5 * round + 4, priority=20)
        if segments:
            plan = books.plan(setup, book, segments)
            before = g.handle(f"agent-{book['last']}[0]")
            declare_round(g, setup, plan, before)
            book = plan.book
        elif round == book["last"]:
            g.task(
                result.outcome,
                [g.handle(b["gathered"]) for b in book["runs"]],
                [_known(g, b["model"]) for b in book["runs"]],
                book, setup, name="outcome", preload=MD, stage=5 * (round + 1), retries=2,
            )  # fmt: skip
    task.report(
        stopped=len(give_way), started=sum(map(len, segments.values())), left=sum(b["left"] for b in book["runs"])
    )
    return book


def stop(simulations: str, give_way: list[int]) -> int:
    """Ask the tasks `give_way` of the set `simulations` to end and keep what they have; gives their number.

    A task of its own, because what a task asks for is accepted or refused as a whole: when all the simulations have
    ended before the request arrives, it is refused as too late, and the agent's next round must not be refused with it.
    The list goes to the whole set, so that those which have not started yet find it when they do.
    """
    with task.grow() as g:
        g.steer(simulations, give_way=give_way)
    return len(give_way)
