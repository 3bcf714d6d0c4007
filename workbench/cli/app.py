"""The commands, their arguments and help texts; what they do is in the modules beside this one."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.text import put, put_json

app = typer.Typer(
    name="workbench",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Directory = Annotated[str, typer.Argument(metavar="DIR", help="The campaign's directory.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, everything else on stderr.")]
PoolText = Annotated[
    str | None,
    typer.Option(
        "--pool",
        metavar="POOL",
        help="local (this machine), or virtual nodes for synthetic tasks: nodes=16,cores=168,gpus=6.",
    ),
]
Mode = Annotated[str | None, typer.Option("--mode", metavar="MODE", help="sequential, asynchronous or adaptive.")]
Policy = Annotated[
    str | None, typer.Option("--policy", metavar="POLICY", help="Order in which ready tasks start, e.g. upward-rank.")
]
ReportFile = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Write the HTML report there at the end.")
]


@app.callback()
def workbench(
    context: typer.Context,
    as_version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    """Run AI-coupled HPC campaigns, watch them, and go on with them after any interruption."""
    if as_version:
        version()
        raise typer.Exit()
    if context.invoked_subcommand is None:
        put(context.get_help())


@app.command()
def run(
    target: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE|DIR",
            help="A campaign of the gallery (NAME or NAME?key=value&...), a Python file, a workflow (WfFormat or "
            "Pipelines-Stages-Tasks, JSON), or a campaign's directory.",
        ),
    ],
    pool: PoolText = None,
    mode: Mode = None,
    policy: Policy = None,
    time_scale: Annotated[
        str | None,
        typer.Option("--time-scale", metavar="X", help="Shorten the sleeps of synthetic tasks: 0.01 is 1/100."),
    ] = None,
    directory: Annotated[
        str | None, typer.Option("--dir", metavar="DIR", help="Where to keep the campaign; a new directory.")
    ] = None,
    report: ReportFile = None,
    as_json: Json = False,
) -> int:
    """Run a campaign to its end; Ctrl-C stops it in good order, and `resume` goes on."""
    from workbench.cli import source
    from workbench.cli.run import drive

    wishes = source.Wishes(pool=pool, mode=mode, policy=policy, time_scale=time_scale, directory=directory)
    return drive(lambda: source.campaign(target, wishes), report, as_json)


@app.command()
def resume(
    directory: Directory,
    pool: PoolText = None,
    mode: Mode = None,
    policy: Policy = None,
    report: ReportFile = None,
    as_json: Json = False,
) -> int:
    """Go on with a campaign whose process stopped or was killed; finished tasks do not run again."""
    from workbench.cli import source
    from workbench.cli.run import drive

    wishes = source.Wishes(pool=pool, mode=mode, policy=policy)
    return drive(lambda: source.resumed(directory, wishes), report, as_json)


@app.command()
def status(directory: Directory, as_json: Json = False) -> None:
    """Print how a campaign stands, whether it runs or not."""
    from workbench.cli import watch
    from workbench.cli.directory import require

    watch.status(require(directory), as_json)


@app.command()
def tail(
    directory: Directory,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Records of the past to begin with.")] = 20,
    since: Annotated[
        int | None, typer.Option("--since", metavar="SEQ", min=0, help="Begin with this record instead.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Wait for more while an engine runs the campaign.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Print what happens, a line for each record of the journal."""
    from workbench.cli import watch
    from workbench.cli.directory import require

    watch.tail(require(directory), lines, since, follow, as_json)


@app.command()
def story(
    directory: Directory,
    target: Annotated[str, typer.Argument(metavar="TASK", help="A task (sim[3]), an attempt (sim[3]#1) or a set.")],
    as_json: Json = False,
) -> None:
    """Tell what happened to a task and why it ended as it did."""
    from workbench.cli import tell
    from workbench.cli.directory import require

    tell.story(require(directory), target, as_json)


@app.command()
def report(
    directory: Directory,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: report.html in the directory.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write one self-contained HTML file about a campaign."""
    from workbench.cli import tell
    from workbench.cli.directory import require

    path = tell.report(require(directory), output)
    put_json({"report": str(path)}) if as_json else put(str(path))


@app.command()
def export(
    directory: Directory,
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="wfformat: WfFormat 1.5 of WfCommons.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: wfformat.json in the directory.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a campaign that has ended in the format of another tool."""
    from workbench.cli.directory import require
    from workbench.cli.export import export as write

    done = write(require(directory), form, output)
    put_json(done) if as_json else put(done["export"])


@app.command()
def stop(
    directory: Directory,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="S", min=0, help="How long to wait for the process, seconds.")
    ] = 60.0,
    as_json: Json = False,
) -> None:
    """Ask the process that runs a campaign to stop in good order."""
    from workbench.cli import control
    from workbench.cli.directory import require

    path = require(directory)
    holder = control.stop(path, timeout)
    if as_json:
        put_json({"dir": str(path), "stopped": holder is not None, "pid": holder.pid if holder else None})
    elif holder is None:
        put(f"nobody runs {path}; there is nothing to stop")
    else:
        put(f"stopped {holder}; go on with: workbench resume {path}")


@app.command()
def repair(directory: Directory, as_json: Json = False) -> None:
    """Make a damaged journal readable again; what is cut off is kept beside it."""
    from workbench.cli.directory import require
    from workbench.journal import repair as mend

    done = mend(require(directory))
    if not as_json:
        put(str(done))
        return
    put_json(
        {
            "kept": done.kept,
            "reason": done.reason,
            "segment": None if done.segment is None else str(done.segment),
            "position": done.position,
            "salvaged": done.salvaged,
            "export": None if done.export is None else str(done.export),
            "set_aside": [str(path) for path in done.set_aside],
        }
    )


@app.command()
def predict(
    target: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE|DIR",
            help="A campaign of the gallery, a Python or workflow file, or a campaign's directory: from where it is, "
            "or from its start if it has ended.",
        ),
    ],
    nodes: Annotated[
        int | None, typer.Option("--nodes", metavar="N", help="Nodes; without, the campaign's own pools.")
    ] = None,
    cores: Annotated[int | None, typer.Option("--cores", metavar="C", help="Cores of each node.")] = None,
    gpus: Annotated[int, typer.Option("--gpus", metavar="G", help="GPUs of each node.")] = 0,
    memory: Annotated[
        str, typer.Option("--memory", metavar="BYTES", help="Of each node, such as 64GiB; 0: not limited.")
    ] = "0",
    mode: Mode = None,
    policy: Policy = None,
    samples: Annotated[
        int | None, typer.Option("--samples", metavar="K", help="Futures to sample; default by the size, 20 to 100.")
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option("--calibrate", metavar="DIR", help="Overheads as in this campaign, which ran on the machine."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Predict when a campaign finishes: P10, P50, P90, each mode, and what no schedule can beat."""
    from workbench.cli import predict as prediction

    asked = prediction.Asked(nodes, cores, gpus, memory, mode, policy, samples, calibrate)
    prediction.run(target, asked, as_json)


@app.command()
def model(
    target: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE|DIR",
            help="A campaign of the gallery (NAME or NAME?key=value&...), a file, or a campaign's directory.",
        ),
    ],
    nodes: Annotated[int, typer.Option("--nodes", metavar="N", help="Nodes of the allocation.")],
    cores: Annotated[int, typer.Option("--cores", metavar="C", help="Cores of each node (hardware threads, if so).")],
    gpus: Annotated[int, typer.Option("--gpus", metavar="G", help="GPUs of each node.")] = 0,
    memory: Annotated[
        str, typer.Option("--memory", metavar="BYTES", help="Of each node, such as 64GiB; 0: not limited.")
    ] = "0",
    as_json: Json = False,
) -> None:
    """Explain a campaign by the paper's model: DOA, WLA, Eq. 2 to 6, improvement, and which sets hide which."""
    from workbench.cli.model import model as explain

    explain(target, nodes, cores, gpus, memory, as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Name the campaigns that ship, with their parameters."""
    from workbench.cli import source

    source.show_gallery(as_json)


@app.command()
def lab(
    path: Annotated[
        Path | None, typer.Argument(metavar="[PATH]", help="A notebook or directory to open.", show_default=False)
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free one.")] = 8888,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,
    as_json: Json = False,
) -> int:
    """Open JupyterLab on this machine (127.0.0.1 only)."""
    from workbench.cli.lab import serve

    return serve(path, port, browser, as_json)


@app.command()
def version(as_json: Json = False) -> None:
    """Print the version."""
    from workbench import __version__
    from workbench.model.events import FORMAT

    if as_json:
        put_json({"version": __version__, "journal_format": FORMAT, "python": platform.python_version()})
    else:
        put(f"campaign-workbench {__version__}")
