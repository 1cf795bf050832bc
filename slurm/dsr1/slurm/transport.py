"""The transport inside a job: steps carry it, and what the nodes share (a run's folder, dsr1
itself) isn't sent."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dsr1.hosts.errors import HostError
from dsr1.hosts.protocol.events import Gone
from dsr1.hosts.protocol.log_lines import read_logs
from dsr1.hosts.protocol.process import HostPlan
from dsr1.hosts.transport.base import NO_SECRETS
from dsr1.hosts.transport.ssh import ENTER, SEND_S, ShellTransport
from dsr1.slurm.allocation import Allocation
from dsr1.slurm.client import shrink
from dsr1.slurm.shell import make_shells
from dsr1.slurm.step import StepProgram

_COPY = (
    f'{ENTER}[ -O "$d/$2" ] || {{ t=$d/$2.$$; cp -- "$1" "$t" && chmod 700 "$t" && mv -f "$t"'
    ' "$d/$2"; }\n'
)
CLOSE_S = 20.0


class SrunTransport(ShellTransport):
    """Agents keep their files on their nodes, but their logs in `logs`/HOST/logs, where the login
    node reads them too.

    They outlive the job there.
    """

    def __init__(
        self, allocation: Allocation, program: StepProgram, run: str, logs: Path, run_id: str = ""
    ) -> None:
        self._steps = make_shells(allocation.places, allocation.job, program)
        super().__init__(self._steps, run, program.python, run_id)
        self._allocation, self._logs = allocation, logs
        self._given_up: set[str] = set()

    def start(
        self,
        plan: HostPlan,
        secrets: Mapping[str, str] = NO_SECRETS,
        kept: Mapping[str, str] = NO_SECRETS,
    ) -> None:
        there = replace(plan, logs=str(self._logs / plan.host / "logs"))
        super().start(there, secrets, kept)

    def logs(self, host: str, follow: Callable[[], bool]) -> Iterator[tuple[str, str]]:
        return read_logs(self._logs / host, follow)

    def upload(self, host: str, file: Path, name: str) -> None:
        done = self._steps[host].run(("sh", "-c", _COPY, "dsr1", str(file), name), SEND_S)
        if done.code != 0:
            raise HostError(f"{host}: can't be written to: {done.last_lines}")

    def stop(self, host: str, reason: str = "") -> Gone:
        """On one that was given up the step's program has ended all, if it lives: it hears
        nothing."""
        return Gone(()) if host in self._given_up else super().stop(host, reason)

    def give_up(self, hosts: Sequence[str]) -> tuple[str, ...]:
        """They leave the job: Slurm would end all of it once it notices that they are lost."""
        self._given_up |= set(hosts)
        named, places = ", ".join(hosts), self._allocation.places
        if self._allocation.is_lent:
            return (f"{named}: stays in job {self._allocation.job}, which is not dsr1's to change",)
        if any(place.group is not None for place in places):
            return (
                f"{named}: can't leave a heterogeneous job, which ends when Slurm notices the loss",
            )
        try:
            shrink(
                self._allocation.job,
                [p.host for p in places if p.host not in self._given_up],
                self._logs,
            )
        except HostError as error:
            return (
                f"{named}: can't leave the job, which may end when Slurm notices the loss: {error}",
            )
        return (f"{named}: left the job",)

    def close(self) -> None:
        """All at once, then until each has ended."""
        super().close()
        for step in self._steps.values():
            step.wait_dropped(CLOSE_S)
