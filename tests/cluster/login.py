"""dsr1 on the login host of a cluster, as its user runs it, and what its tests ask of the hosts."""

import json
import shlex
import subprocess
from collections.abc import Mapping
from types import MappingProxyType

from tests.answers import data_of, phases_of
from tests.built import MODEL, ROOT, RUNTIME
from tests.cluster.hosts import Cluster, Completed
from tests.waiting import HANGS_S, until

MOCKER = ("--set", "stack=mocker")
# Where a host is to be lost; elsewhere it would be by a machine that is busy for so long.
SOON_LOST = ("--set", "timeouts.lost=6")
# Else a worker leaves when etcd has not heard it for 6 s, which a cut of a moment may last on a busy
# machine.
PATIENT_ETCD = ("--set", "runtime.env.ETCD_LEASE_TTL='240'")
DSR1 = (str(ROOT / ".cache" / "venv" / "bin" / "python"), "-m", "dsr1.launcher.cli.main")
NO_ENV: Mapping[str, str] = MappingProxyType({})


class Login:
    """The login host, or another one (`box`), as its user, or another one, sees it."""

    def __init__(
        self,
        cluster: Cluster,
        env: Mapping[str, str] = NO_ENV,
        box: str = "login",
        user: str = "launch",
    ) -> None:
        self.cluster, self.box, self.user = cluster, box, user
        self._env = {
            **env,
            "PYTHONPATH": ":".join(
                str(ROOT / part) for part in ("launcher", "hosts", "env", "slurm")
            ),
        }

    def dsr1(self, *argv: str, timeout: float = HANGS_S) -> Completed:
        return self.cluster.run(self.box, (*DSR1, *argv), self.user, env=self._env, timeout=timeout)

    def shell(self, line: str, timeout: float = HANGS_S) -> Completed:
        """A line as a user types it, with dsr1 on the PATH."""
        function = f'dsr1() {{ {shlex.join(DSR1)} "$@"; }}'
        argv = ("bash", "-c", f"{function}\n{line}")
        return self.cluster.run(self.box, argv, self.user, env=self._env, timeout=timeout)

    def begin(self, *argv: str, stdin: int | None = None) -> "subprocess.Popen[str]":
        """A command that goes on while the test does something else."""
        command = self.cluster.command(self.box, (*DSR1, *argv), self.user, env=self._env)
        return subprocess.Popen(
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def launch(self, name: str, hosts: str, *more: str) -> Completed:
        return self.dsr1(*launching(name, hosts), *more)

    def launch_to_end(self, name: str, hosts: str, *more: str) -> None:
        """Launch, ask every rank, stop: all must go well."""
        launched = self.launch(name, hosts, *more)
        assert launched.returncode == 0, launched.stderr
        assert self.dsr1("smoke", name).returncode == 0
        stopped = self.dsr1("stop", name)
        assert stopped.returncode == 0, stopped.stderr

    def write(self, file: str, text: str) -> None:
        """Into the user's home, closed to others."""
        script = 'umask 077; mkdir -p "$HOME/$(dirname "$0")"; printf %s "$1" > "$HOME/$0"'
        assert (
            self.cluster.run(self.box, ("sh", "-c", script, file, text), self.user).returncode == 0
        )

    def status(self, name: str) -> dict[str, object]:
        told: dict[str, object] = data_of(self.dsr1("status", name, "--json").stdout)
        return told

    def phase(self, name: str) -> str:
        return phases_of(self.dsr1("ps", "--json").stdout)[name]

    def reason(self, name: str) -> str:
        """Why it failed; waits until it has."""
        until(lambda: self.recorded(name)["phase"] == "failed")
        assert self.phase(name) == "failed"
        return str(self.recorded(name)["reason"])

    def recorded(self, name: str) -> dict[str, object]:
        """Its state as its folder has it, which costs no command of dsr1's."""
        told: dict[str, object] = json.loads(self.read(name, "state.json"))
        return told

    def read(self, name: str, file: str) -> str:
        folder = ".local/state/dsr1/runs"
        return self.cluster.run(
            self.box, ("sh", "-c", f'cat "$HOME/{folder}/{name}/{file}"'), self.user
        ).stdout


def launching(name: str, hosts: str) -> tuple[str, ...]:
    return (
        "launch",
        "tiny",
        "--name",
        name,
        "--hosts",
        hosts,
        "--venv",
        str(RUNTIME),
        "--model",
        str(MODEL),
    )


def of_a_run(cluster: Cluster, box: str) -> list[str]:
    """Command lines of what a run starts, on one host."""
    words = ("dynamo", "vllm", "VLLM", "etcd", "agent-")
    return [
        line for _, line in cluster.processes(box, "launch") if any(word in line for word in words)
    ]


def assert_clean(cluster: Cluster, *boxes: str) -> None:
    assert {box: of_a_run(cluster, box) for box in boxes} == {box: [] for box in boxes}


def kill(cluster: Cluster, box: str, word: str, signal: str = "KILL") -> None:
    """One process of the run, found as an operator would: by what it is."""
    pid = next(pid for pid, line in cluster.processes(box, "launch") if word in line)
    assert cluster.run(box, ("kill", f"-{signal}", str(pid))).returncode == 0
