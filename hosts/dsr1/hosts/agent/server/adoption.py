"""How an agent comes by its marks, before anything is imported that only the agent itself needs."""

import os
import sys
from pathlib import Path

from dsr1.hosts.agent.kin.lineage import lineage_of, take_lineage
from dsr1.hosts.agent.process.own_marks import own_marks
from dsr1.hosts.protocol.marks import read_marks, render_marks
from dsr1.hosts.protocol.process import HostPlan


class StartError(Exception):
    """The agent couldn't be started; nothing of it is left."""


def adopt_marks(plan: HostPlan, folder: Path, given: bytes) -> None:
    """The agent bears its run's marks and lineage, too: marks are given to an environment by exec
    alone, so this very command is run again, with all that it was given on stdin."""
    take_lineage(lineage_of(plan.identity))
    marks = own_marks(plan, folder)
    own = read_marks(os.environ)
    if own == marks:
        return
    memory = os.memfd_create("start")
    os.write(memory, given)
    os.lseek(memory, 0, os.SEEK_SET)
    os.dup2(memory, 0)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DSR1_")}
    argv = [sys.executable, *sys.orig_argv[1:]]
    os.execve(sys.executable, argv, clean | render_marks(marks))
