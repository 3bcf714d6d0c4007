"""The command line: `workbench run`, `resume`, `predict`, `model`, `status`, `tail`, `story`, `report`, `export`,
`stop`, `repair`, `list`, `lab`.

Rules of this room:

1. Results go to stdout, everything else to stderr; with ``--json`` stdout carries JSON alone.
2. What a user can cause ends in one sentence on stderr that names the thing and the way out, and in the exit code of
   the error (2 unless it says otherwise). A traceback means a defect of ours, and only then is one shown.
3. No text of a campaign is taken as markup or control sequences by the terminal (`cli.text`).
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Sequence

from workbench.model.errors import WorkbenchError

__all__ = ["commands", "main"]


def commands() -> list[str]:
    """Names of all commands."""
    from workbench.cli.app import app

    return [command.name or str(getattr(command.callback, "__name__", "")) for command in app.registered_commands]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the entry point of the ``workbench`` script.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of the process where left out.

    Returns
    -------
    int
        0; 1 when tasks failed for good; 2 for input that makes no sense; 128 + n after signal n.
    """
    from workbench.cli.text import telling_log

    with telling_log(logging.getLogger("workbench")):
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    from workbench.cli.app import app
    from workbench.cli.text import line, tell

    try:
        code = app(args=None if argv is None else list(argv), prog_name="workbench", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except WorkbenchError as error:
        tell(f"workbench: {line(str(error))}")
        return error.exit_code
    except KeyboardInterrupt:
        tell("workbench: interrupted")
        return 128 + signal.SIGINT
    except Exception as error:
        # typer reports a wrong option or argument by an exception that carries its sentence and its exit code.
        sentence, code = getattr(error, "format_message", None), getattr(error, "exit_code", None)
        if isinstance(code, int) and sentence is None:
            return code
        if not isinstance(code, int) or sentence is None:
            raise
        tell(f"workbench: {line(sentence()).rstrip('.')}; see workbench --help")
        return code
