"""The transport inside a job: steps carry it, and what the nodes share (a run's folder, dsr1 itself) isn't sent."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from dsr1.hosts.errors import HostError
from dsr1.hosts.log_lines import read_logs
from dsr1.hosts.process import HostPlan
from dsr1.hosts.ssh import ENTER, SEND_S, ShellTransport
from dsr1.hosts.transport import NO_SECRETS
from dsr1.slurm.step import StepShell

_COPY = f'{ENTER}[ -O "$d/$2" ] || {{ t=$d/$2.$$; cp -- "$1" "$t" && chmod 700 "$t" && mv -f "$t" "$d/$2"; }}\n'
CLOSE_S = 20.0


class SrunTransport(ShellTransport):
    """Agents keep their files on their nodes, but their logs in `logs`/HOST/logs, where the login node reads them too.

    They outlive the job there.
    """

    def __init__(self, shells: Mapping[str, StepShell], run: str, python: str, logs: Path) -> None:
        super().__init__(shells, run, python)
        self._steps, self._logs = shells, logs

    def start(self, plan: HostPlan, secrets: Mapping[str, str] = NO_SECRETS) -> None:
        super().start(replace(plan, logs=str(self._logs / plan.host / "logs")), secrets)

    def logs(self, host: str, follow: Callable[[], bool]) -> Iterator[tuple[str, str]]:
        return read_logs(self._logs / host, follow)

    def put(self, host: str, file: Path, name: str) -> None:
        done = self._steps[host].run(("sh", "-c", _COPY, "dsr1", str(file), name), SEND_S)
        if done.code != 0:
            raise HostError(f"{host}: can't be written to: {done.last_words}")

    def close(self) -> None:
        """All at once, then until each has ended."""
        super().close()
        for step in self._steps.values():
            step.wait_dropped(CLOSE_S)
