"""`.ci/run` on machines that lack something: what it installs, as whom, and when it gives up."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.codebase.sources import ROOT

APT = """#!/bin/sh
echo "apt-get as $(id -u) $DEBIAN_FRONTEND: $*" >> "$LOG"
case " $* " in
  *" update "*) exit "${UPDATE:-0}" ;;
esac
[ -n "$USELESS" ] && exit 0
for package; do
  case "$package" in
    chromium) program=chromium ;;
    mpich) program=mpiexec.hydra ;;
    *) continue ;;
  esac
  printf '#!/bin/sh\\n' > "$BIN/$program" && chmod 700 "$BIN/$program"
done
"""
MAKE = """#!/bin/sh
echo "make $* browser=$WORKBENCH_REQUIRE_BROWSER mpi=$WORKBENCH_REQUIRE_MPI" >> "$LOG"
exit 5
"""
ID = '#!/bin/sh\necho "${ROLE:-0}"\n'
SUDO = '#!/bin/sh\n[ -n "$SUDO" ] || exit 1\nshift\nROLE=0 exec "$@"\n'


class Machine:
    """A PATH of its own: the programs that the script uses, and stand-ins for what would change the machine."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bin = directory / "bin"
        self.log = directory / "log"
        self.bin.mkdir()
        self.log.touch()
        (directory / "clone" / ".ci").mkdir(parents=True)
        shutil.copy(ROOT / ".ci" / "run", directory / "clone" / ".ci" / "run")
        for name in ("bash", "sh", "env", "dirname", "chmod", "true"):
            (self.bin / name).symlink_to(str(shutil.which(name)))
        for name, text in {"apt-get": APT, "make": MAKE, "id": ID, "sudo": SUDO, "python3": "#!/bin/sh\n"}.items():
            self.add(name, text)

    def add(self, name: str, text: str = "#!/bin/sh\n") -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o700)

    def run(self, **more: str) -> tuple[int, str, list[str]]:
        """Exit status, what it said, and which commands it gave."""
        env = {"PATH": os.fspath(self.bin), "BIN": os.fspath(self.bin), "LOG": os.fspath(self.log), **more}
        done = subprocess.run(
            [self.bin / "bash", self.directory / "clone" / ".ci" / "run"],
            env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, self.log.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


TESTS = "make test browser=1 mpi=1"
OPTIONS = "-qq -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3"


def test_nothing_is_installed_where_nothing_is_missing(machine: Machine) -> None:
    for name in ("chromium", "mpiexec.hydra"):
        machine.add(name)
    assert machine.run() == (5, "", [TESTS])


def test_what_is_missing_is_installed_without_questions_and_then_tested(machine: Machine) -> None:
    code, said, commands = machine.run()
    assert (code, said) == (5, "Installing chromium fonts-dejavu-core mpich from Debian\n")
    assert commands == [
        f"apt-get as 0 noninteractive: {OPTIONS} update",
        f"apt-get as 0 noninteractive: {OPTIONS} install --no-install-recommends chromium fonts-dejavu-core mpich",
        TESTS,
    ]


def test_lists_that_cannot_be_renewed_are_no_end(machine: Machine) -> None:
    machine.add("chromium")
    code, said, commands = machine.run(UPDATE="100")
    assert code == 5 and "going on" in said and commands[-1] == TESTS


def test_who_is_not_root_uses_sudo_or_is_told_what_to_do(machine: Machine) -> None:
    code, said, commands = machine.run(ROLE="1000")
    assert code == 1 and "apt-get install chromium fonts-dejavu-core mpich" in said and commands == []
    code, said, commands = machine.run(ROLE="1000", SUDO="yes")
    assert code == 5, said
    assert commands[0].startswith("apt-get as 0 noninteractive:") and commands[-1] == TESTS


def test_a_package_that_brings_nothing_fails_before_the_tests(machine: Machine) -> None:
    code, said, commands = machine.run(USELESS="yes")
    assert code == 1 and "still not found on PATH: chromium fonts-dejavu-core mpich" in said
    assert TESTS not in commands
