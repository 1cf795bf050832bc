"""`python -m dsr1.launcher.run.supervision FOLDER [--take-over]`: a run's supervisor, in a process
of its own.
"""

import signal
import sys
from pathlib import Path

from dsr1.launcher.run.liveness.door import open_door
from dsr1.launcher.run.spawn import take_place
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.supervision.supervisor import Supervisor
from dsr1.launcher.run.transport import queue


def main() -> None:
    run = Run(Path(sys.argv[1]))
    if not take_place(run):
        return
    supervisor = Supervisor(run)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the shell that launched may go
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.request_stop())
    if allocation := run.lent_allocation():
        from dsr1.slurm.lent import watch_allocation  # what no other run needs

        warn_s = run.recipe().slurm.warn
        watch_allocation(queue(), allocation, warn_s, supervisor.request_stop)
    open_door(run.run_id(), supervisor.living)
    supervisor.supervise(take_over="--take-over" in sys.argv[2:])


if __name__ == "__main__":
    main()
