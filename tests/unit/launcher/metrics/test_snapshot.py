"""What real pages of vLLM, Dynamo and an agent's devices become."""

from collections.abc import Sequence
from pathlib import Path

from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.facts.devices import DEVICES
from dsr1.hosts.protocol.http import HttpGet, HttpGot
from dsr1.launcher.health.members import watched_ranks
from dsr1.launcher.health.readings import read_servers
from dsr1.launcher.metrics.samples import Snapshot
from dsr1.launcher.metrics.snapshot import make_snapshot
from dsr1.launcher.metrics.wanted import wanted_readings
from dsr1.launcher.plan.plan import Plan, make_plan
from dsr1.launcher.recipe.load import parse_recipe

DATA = Path(__file__).parents[3] / "data"
FRONTEND = (DATA / "dynamo-1.6.1" / "frontend-metrics.txt").read_text()
MOCKER = (DATA / "dynamo-1.6.1" / "mocker-metrics.txt").read_text()
VLLM = (DATA / "h200-x4" / "vllm-metrics.txt").read_text()
DISAGG = (DATA / "h200-x4" / "disagg-metrics.txt").read_text()
GPUS = """\
dsr1_gpu_power_w{gpu="0"} 412.5
dsr1_gpu_memory_used_bytes{gpu="0"} 7e+10
dsr1_gpu_unheard_of{gpu="0"} 1
dsr1_rdma_sent_bytes{device="mlx5_0",port="1"} 4096
"""


class Pages:
    """Agents whose servers give these pages, of which only the wanted lines pass."""

    def __init__(self, pages: dict[str, str]) -> None:
        self._pages = pages

    def get(self, host: str, gets: Sequence[HttpGet]) -> tuple[HttpGot, ...]:
        return tuple(self._answer(get) for get in gets)

    def _answer(self, get: HttpGet) -> HttpGot:
        if get.path == "/health":
            return HttpGot(0, 200, "{}")
        lines = self._pages.get(get.process, "").splitlines(True)
        kept = [line for line in lines if not get.keep or line.startswith(get.keep)]
        return HttpGot(0, 200, "".join(kept))


def plan_of(text: str) -> Plan:
    recipe = parse_recipe(f"name: t\nmodel: {{path: /m}}\n{text}", "t.yaml")
    return make_plan(recipe, [Host("n1", "10.0.0.1", "eth0")], "r", "/r")


def snapshot(plan: Plan, pages: dict[str, str]) -> Snapshot:
    ranks = watched_ranks(plan)
    more = wanted_readings(plan, 5.0, devices=True)
    return make_snapshot(ranks, read_servers(plan, ranks, Pages(pages), 5.0, more), 1000.0, 5.0)


def test_vllms_own_server_tells_of_its_ranks_and_its_clients() -> None:
    plan = plan_of("stack: vllm\nengines: {main: {ranks_per_node: 4, layout: per_node}}")
    found = snapshot(plan, {"main-0": VLLM, DEVICES: GPUS})
    assert [(rank.engine, rank.rank) for rank in found.ranks] == [("main", n) for n in range(4)]
    assert all(rank.running == 0 and rank.kv_usage == 0 for rank in found.ranks)
    (server,) = found.frontends
    assert server.process == "main-0"
    tokens = sum(rank.generated_tokens or 0 for rank in found.ranks)
    assert server.output_tokens == tokens == 388
    assert server.ttft.counts[-1] == server.requests
    assert len(server.ttft.counts) == len(server.ttft.bounds) + 1


def test_gpus_and_ports_come_with_the_rest() -> None:
    found = snapshot(plan_of("engines: {main: {ranks_per_node: 1}}"), {DEVICES: GPUS})
    (gpu,), (port,) = found.gpus, found.ports
    assert (gpu.host, gpu.gpu, gpu.gauges.power_w) == ("n1", "0", 412.5)
    assert gpu.gauges.temperature_c is None
    assert (port.port, port.counters.sent_bytes) == ("mlx5_0:1", 4096)


def test_nixl_is_told_by_rank() -> None:
    backend = DISAGG[DISAGG.index('dynamo_component="backend"') - 200 :]
    found = snapshot(plan_of("engines: {main: {ranks_per_node: 2}}"), {"main-0": backend})
    assert [rank.generated_tokens for rank in found.ranks] == [26544, 26804]
    assert all((rank.nixl_transfers or 0) > 0 for rank in found.ranks)
    assert all(rank.nixl_failed == 0 for rank in found.ranks)


def test_dynamos_frontend_and_simulated_ranks() -> None:
    plan = plan_of("stack: mocker\nengines: {main: {ranks_per_node: 2}}")
    found = snapshot(plan, {"frontend": FRONTEND, "main-0": MOCKER})
    assert [(rank.running, rank.waiting) for rank in found.ranks] == [(0, 0), (0, 0)]
    assert [rank.dropped_events for rank in found.ranks] == [0, None]
    assert found.ranks[0].generated_tokens is None  # it doesn't tell
    (server,) = found.frontends
    assert (server.requests, server.failed, server.output_tokens) == (14, 0, 268)
    assert server.ttft.counts[-1] == 14
    assert server.hit_count is not None


def test_a_page_that_is_cut_or_anothers_costs_its_lines_alone() -> None:
    plan = plan_of("engines: {main: {ranks_per_node: 2}}")
    page = 'vllm:num_requests_running{engine="0"} 3.0\nvllm:num_requests_running{engine="1'
    found = snapshot(plan, {"main-0": page, "frontend": "<html>\n{}} x\n\x00", DEVICES: "a{ 1"})
    assert [rank.running for rank in found.ranks] == [3, None]
    assert found.gpus == ()
