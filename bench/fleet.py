"""fleet.py [HOSTS]: what a run over many hosts costs. Needs root, ssh and `make runtime model`.

It makes the hosts on this machine (tests/cluster), whose cores all of them share, and prints a
table: the mocker launched on all of them, the supervisor while nothing happens, and logs followed
from all at once.
"""

import resource
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = [str(ROOT / part) for part in ("launcher", "hosts", "env", "slurm")]
sys.path[:0] = [str(ROOT), *PARTS]
RUNTIME, MODEL = ROOT / ".cache" / "runtime", ROOT / ".cache" / "tiny-model"
DSR1 = (sys.executable, "-m", "dsr1.launcher.cli.main")
MIB = 2**20
LINE = (
    "(EngineCore_DP0 pid=4242) INFO 11-24 03:13:55 [core.py:170] %07d a line of a log, as vLLM"
    " writes them"
)
END = "the end"
WRITE = f"""
import sys
for first in range(0, int(sys.argv[1]), 1000):
    print("\\n".join({LINE!r} % n for n in range(first, first + 1000)))
print({END!r})
"""


def launched(hosts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """One rank a host. A rank has started once its process is spawned: its host says so by its
    first log line."""
    from dsr1.launcher.run.store import find_run

    settings = [
        f"engines.main.nodes={len(hosts)}",
        "stack=mocker",
        "timeouts.ready=900",
        "timeouts.importing=900",
    ]
    argv = [
        *DSR1,
        "launch",
        "tiny",
        "--name",
        "fleet",
        "--hosts",
        ",".join(hosts),
        "--venv",
        str(RUNTIME),
    ]
    argv += ["--model", str(MODEL), *(word for setting in settings for word in ("--set", setting))]
    began = time.monotonic()
    launch = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    try:
        yield "launch: every process started", f"{_wait_spawned(launch, len(hosts)) - began:.1f} s"
        launch.wait(900)
        yield "launch: ready", f"{time.monotonic() - began:.1f} s, exit {launch.returncode}"
        yield from _idle(find_run("fleet").supervisor())
        yield "status", ", then ".join(_status_times() for _ in range(5))
    finally:
        began = time.monotonic()
        stopped = subprocess.run((*DSR1, "stop", "fleet"), check=False, stdout=subprocess.DEVNULL)
        yield (
            "stop, absence proven on every host",
            f"{time.monotonic() - began:.1f} s, exit {stopped.returncode}",
        )


def _wait_spawned(launch: "subprocess.Popen[bytes]", wanted: int) -> float:
    from dsr1.launcher.run.store import list_runs

    while launch.poll() is None:
        runs = list_runs()
        ranks = runs[-1].state().ranks if runs and (runs[-1].folder / "state.json").exists() else ()
        if sum(row.phase != "starting" for row in ranks) >= wanted:
            break
        time.sleep(0.1)
    return time.monotonic()


def _status_times() -> str:
    """The CPU is what a launching machine has to give, whose hosts have cores of their own."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run((*DSR1, "status", "fleet"), check=False, stdout=subprocess.DEVNULL)
    wall_s, used = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return f"{wall_s:.2f} s ({cpu_s:.2f} s of CPU)"


def _idle(pid: int | None, seconds: float = 20) -> Iterator[tuple[str, str]]:
    import psutil

    supervisor = psutil.Process(pid)
    before = sum(supervisor.cpu_times()[:2])
    time.sleep(seconds)
    share = (sum(supervisor.cpu_times()[:2]) - before) / seconds
    yield "supervisor, idle", f"{share:.1%} of a core, {supervisor.memory_info().rss / MIB:.0f} MB"


def followed(hosts: Sequence[str], lines: int = 80_000) -> Iterator[tuple[str, str]]:
    """Every host writes its lines while all are followed; they are counted, and must come in
    order."""
    from dsr1.hosts.inventory.parse import parse_hosts
    from dsr1.hosts.protocol.commands import Prepare, Spawn
    from dsr1.hosts.protocol.process import HostPlan, Process
    from dsr1.hosts.transport.parallel import run_parallel
    from dsr1.hosts.transport.ssh import SshTransport

    python = str(RUNTIME / "bin" / "python")
    run_id = secrets.token_hex(16)
    transport = SshTransport(parse_hosts(",".join(hosts)), "logs", python, run_id)
    argv = (python, "-c", WRITE, str(lines))
    plans = {
        host: HostPlan("logs", host, "", (Process(f"w-{host}", "g", host, argv),), run_id=run_id)
        for host in hosts
    }
    run_parallel(transport.start, plans)
    counts = dict.fromkeys(hosts, 0)
    done, sizes = threading.Event(), dict.fromkeys(hosts, 0)

    def follow(host: str) -> None:
        for _, text in transport.logs(host, lambda: not done.is_set()):
            sizes[host] += len(text) + 1
            text, end, _ = text.partition(END)
            if text:
                check_order(host, text, counts)
            if end:
                return

    try:
        links = [transport.attach(host, 0) for host in hosts]
        began = time.monotonic()
        for link, host in zip(links, hosts, strict=True):
            link.send(Prepare())
            link.send(Spawn((f"w-{host}",)))
        readers = [threading.Thread(target=follow, args=(host,)) for host in hosts]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(300)
        seconds = time.monotonic() - began
    finally:
        done.set()
        run_parallel(transport.stop, {host: host for host in hosts})
        transport.close()
    total, size = sum(counts.values()), sum(sizes.values()) / MIB
    lost = lines * len(hosts) - total
    yield (
        "logs followed while they are written",
        f"{size / seconds:.0f} MB/s ({size:.0f} MB), {lost} lines lost",
    )


def check_order(host: str, text: str, counts: dict[str, int]) -> None:
    """A block begins where the last one ended, and its ends are as far apart as it has lines: cheap
    to tell."""
    block = text.rstrip("\n")
    first, last = block.partition("\n")[0], block.rpartition("\n")[2]
    lines = block.count("\n") + 1
    assert first == LINE % counts[host], f"{host}: {first!r} after line {counts[host]}"
    assert last == LINE % (counts[host] + lines - 1), f"{host}: {last!r} ends {lines} lines"
    counts[host] += lines


def measure(hosts: Sequence[str]) -> None:
    for part in (launched, followed):
        for what, told in part(hosts):
            print(f"{what:<40} {told}", flush=True)


def main(count: int) -> None:
    from tests.cluster.hosts import Cluster

    hosts = [f"n{number}" for number in range(1, count + 1)]
    with tempfile.TemporaryDirectory() as folder, Cluster.up(Path(folder), hosts) as cluster:
        print(f"{count} hosts on this machine", flush=True)
        argv = (sys.executable, str(Path(__file__).resolve()), "--inside", *hosts)
        env = {"PATH": f"{ROOT}/.cache/venv/bin:/usr/bin:/bin", "PYTHONPATH": ":".join(PARTS)}
        subprocess.run(
            cluster.command("login", argv, env=env), stdin=subprocess.DEVNULL, check=True
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        measure(sys.argv[2:])
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 64)
