"""ssh.py [HOSTS]: one look at many hosts over SSH, against what people use today. Needs root, ssh,
pdsh and clush.

It makes the hosts on this machine (tests/cluster), whose cores all of them share, and prints a
table of medians.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = [str(ROOT / part) for part in ("launcher", "hosts", "env", "slurm")]
sys.path[:0] = [str(ROOT), *PARTS]
ROUNDS, AT_ONCE = 3, 128
PYTHON = ROOT / ".cache" / "runtime" / "bin" / "python"


def cost(work: Callable[[], object]) -> tuple[float, float]:
    """Wall seconds, and seconds of CPU that the launching side takes; the rest is sshd's and what
    runs there."""
    began, spent = time.monotonic(), cpu()
    work()
    return time.monotonic() - began, cpu() - spent


def cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def all_at_once(work: Callable[[str], object], hosts: Sequence[str]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(work, hosts))


def bare_fabric(hosts: Sequence[str]) -> None:
    from fabric import Connection

    def run(host: str) -> None:
        with Connection(host, connect_timeout=30) as connection:
            connection.run("true", hide=True, in_stream=False)

    all_at_once(run, hosts)


def ssh_in_threads(hosts: Sequence[str]) -> None:
    all_at_once(
        lambda host: subprocess.run(("ssh", host, "true"), check=True, stdin=subprocess.DEVNULL),
        hosts,
    )


def one_command(*command: str) -> Callable[[Sequence[str]], None]:
    def run(hosts: Sequence[str]) -> None:
        argv = [word.replace("HOSTS", ",".join(hosts)) for word in command]
        subprocess.run(
            argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=300
        )

    return run


def dsr1_looks(hosts: Sequence[str]) -> None:
    """Connect, send the agent where it isn't yet, run it, read what it saw."""
    from dsr1.hosts.inventory.parse import parse_hosts
    from dsr1.hosts.transport.ssh import SshTransport

    transport = SshTransport(parse_hosts(",".join(hosts)), "bench", str(PYTHON))
    all_at_once(lambda host: transport.introduce(host, ""), hosts)
    transport.close()


WAYS: dict[str, Callable[[Sequence[str]], None]] = {
    "bare Fabric, true": bare_fabric,
    "dsr1, the agent's look": dsr1_looks,
    "ssh in threads, true": ssh_in_threads,
    "pdsh, true": one_command("pdsh", "-R", "ssh", "-f", str(AT_ONCE), "-w", "HOSTS", "true"),
    "clush, true": one_command("clush", "-f", str(AT_ONCE), "-w", "HOSTS", "true"),
}


def tell(name: str, seconds: float, spent: float) -> None:
    print(f"{name:<28} {seconds:6.2f} s {spent:6.2f} s of CPU here", flush=True)


def measure(hosts: Sequence[str]) -> None:
    """Inside the login host. The first look sends the agent, and is told apart."""
    tell("dsr1, the very first look", *cost(lambda: dsr1_looks(hosts)))
    for name, way in WAYS.items():
        tool = name.partition(",")[0]
        if tool in ("pdsh", "clush") and not shutil.which(tool):
            print(f"{name:<28} not installed: left out")
            continue
        costs = [cost(lambda way=way: way(hosts)) for _ in range(ROUNDS)]  # type: ignore[misc]
        tell(name, *map(statistics.median, zip(*costs, strict=True)))


def main(count: int) -> None:
    from tests.cluster.hosts import Cluster

    hosts = [f"n{number}" for number in range(1, count + 1)]
    with tempfile.TemporaryDirectory() as folder, Cluster.up(Path(folder), hosts) as cluster:
        print(f"{count} hosts, medians of {ROUNDS}", flush=True)
        argv = (sys.executable, str(Path(__file__).resolve()), "--inside", *hosts)
        command = cluster.command(
            "login", argv, env={"PATH": f"{ROOT}/.cache/venv/bin:/usr/bin:/bin"}
        )
        subprocess.run(command, stdin=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        measure(sys.argv[2:])
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 128)
