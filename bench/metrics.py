"""Measure what it costs to know what a run does, for 16 hosts with 8 ranks and 8 GPUs each, and
print a table; with RUN, what the agents and the supervisor of that run take on this machine, for a
minute. Nothing is asserted: machines differ.

usage: python bench/metrics.py [RUN]

A run for it, without a GPU: dsr1 launch tiny --name r --set stack=mocker
    --set 'engines.main={nodes: 1, ranks_per_node: 8, layout: per_gpu}'
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.fleet import fleet_plan, fleet_snapshot  # noqa: E402

from dsr1.hosts.agent.devices.gauges import GAUGES  # noqa: E402
from dsr1.hosts.agent.network.http_get import parse_http_answer  # noqa: E402
from dsr1.hosts.protocol.facts.devices import DEVICES, GPU  # noqa: E402
from dsr1.hosts.protocol.http import HttpGet, HttpGot  # noqa: E402
from dsr1.launcher.cli.views.top import TopFrame, top_lines  # noqa: E402
from dsr1.launcher.health.members import watched_ranks  # noqa: E402
from dsr1.launcher.health.readings import read_servers  # noqa: E402
from dsr1.launcher.metrics.recorder import EVERY_S  # noqa: E402
from dsr1.launcher.metrics.snapshot import make_snapshot  # noqa: E402
from dsr1.launcher.metrics.store import FILE, LiveMetrics, add_snapshot  # noqa: E402
from dsr1.launcher.metrics.view import make_view  # noqa: E402
from dsr1.launcher.metrics.wanted import wanted_readings  # noqa: E402
from dsr1.launcher.state_folder import state_folder  # noqa: E402

REAL = ROOT / "tests" / "data" / "vllm-logs" / "h100-r1-5layer-metrics.txt"
REFRESH_S = 2.0
MINUTE_S = 60.0


def whole_page() -> str:
    """Of a worker of eight ranks, as vLLM 0.31 writes it: every line, once a rank."""
    lines = [line for line in REAL.read_text().splitlines(True) if 'engine="0"' in line]
    return "".join(
        line.replace('engine="0"', f'engine="{rank}"') for rank in range(8) for line in lines
    )


class Hosts:
    """Agents that answer at once, with what they would let through."""

    def __init__(self, page: str) -> None:
        self._page = page
        self._gpus = "".join(
            f'{GPU}{name}{{gpu="{gpu}"}} 1.5\n' for gpu in range(8) for name in GAUGES
        )

    def get(self, host: str, gets: Sequence[HttpGet]) -> tuple[HttpGot, ...]:
        return tuple(HttpGot(0, 200, self._body(get)) for get in gets)

    def _body(self, get: HttpGet) -> str:
        if get.process == DEVICES:
            return self._gpus
        lines = self._page.splitlines(True) if get.path == "/metrics" else []
        return "".join(line for line in lines if line.startswith(get.keep))


def cpu_s(work: Callable[[], object], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times


def main() -> None:
    if len(sys.argv) > 1:
        measure(sys.argv[1])
    else:
        reckon()


def measure(name: str) -> None:
    """What its processes really take: sockets, logs, metrics and questions included."""
    folder = state_folder() / "runs" / name
    files = [*folder.glob("hosts/*/agent.json"), folder / "supervisor.json"]
    found = {file: psutil.Process(json.loads(file.read_text())["pid"]) for file in files}
    before = {file: _cpu(process) for file, process in found.items()}
    began = time.monotonic()
    time.sleep(MINUTE_S)
    took = time.monotonic() - began
    for file, process in found.items():
        of = "supervisor" if file.stem == "supervisor" else f"agent of {file.parent.name}"
        print(f"{of:<60} {100 * (_cpu(process) - before[file]) / took:.2f} % of a core")


def _cpu(process: psutil.Process) -> float:
    """Without its children: those are the run's own processes."""
    times = process.cpu_times()
    return times.user + times.system


def reckon() -> None:
    plan, page = fleet_plan(), whole_page()
    ranks, hosts = watched_ranks(plan), Hosts(page)
    more = wanted_readings(plan, 5.0, devices=True)
    answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(page)}\r\n\r\n{page}".encode()
    order = HttpGet("decode-0", 1, "/metrics", keep=more.lines)
    folder = Path(tempfile.mkdtemp())

    def collect() -> None:
        readings = read_servers(plan, ranks, hosts, 5.0, more)
        add_snapshot(folder, make_snapshot(ranks, readings, time.time(), time.monotonic()))

    began = time.monotonic()
    cpu_collect = cpu_s(collect, 3)
    wall = (time.monotonic() - began) / 3
    agent = cpu_s(lambda: parse_http_answer(order, answer), 20)
    for look in range(60):
        add_snapshot(folder, fleet_snapshot(plan, look))
    live = LiveMetrics(folder)
    _, kept = live.look()

    def screen() -> None:
        live.look()
        for line in top_lines(TopFrame("r", "ready", 1.0), make_view(kept), 29):
            str(line)

    rows = [
        ("collecting 16 hosts x 8 ranks, wall", f"{1000 * wall:.0f} ms"),
        ("collecting, CPU of the supervisor", share(cpu_collect, EVERY_S)),
        (f"a page of {len(page) >> 10} KiB (8 ranks), CPU of an agent", share(agent, EVERY_S)),
        ("dsr1 top, CPU of a screen", share(cpu_s(screen, 10), REFRESH_S)),
        ("61 snapshots", f"{(folder / FILE).stat().st_size / 61 / 1024:.1f} KiB each"),
    ]
    for name, value in rows:
        print(f"{name:<60} {value}")


def share(seconds: float, of: float) -> str:
    return f"{1000 * seconds:.1f} ms, {100 * seconds / of:.2f} % of a core every {of:g} s"


if __name__ == "__main__":
    main()
