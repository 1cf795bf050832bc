"""A deployment of 16 hosts with 8 ranks each that nobody started: its run's folder, and what was
read of it."""

from pathlib import Path

from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.facts.devices import GpuGauges, RdmaCounters
from dsr1.launcher.health.verdicts import FAILED, STALLED, RankHealth
from dsr1.launcher.metrics.samples import (
    FrontendSample,
    GpuSample,
    Histogram,
    PortSample,
    RankSample,
    Snapshot,
)
from dsr1.launcher.plan.plan import Plan, make_plan
from dsr1.launcher.recipe.load import parse_recipe
from dsr1.launcher.run.ranks import Moment, all_ready, first_table
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run

RECIPE = """
name: fleet
model: {path: /m}
engines:
  prefill: {nodes: 4, ranks_per_node: 8, role: prefill}
  decode: {nodes: 12, ranks_per_node: 8, role: decode}
"""
BOUNDS = (0.01, 0.1, 1.0)
START = 1_800_000_000.0


def fleet_plan(run: str = "fleet") -> Plan:
    hosts = [Host(f"node{n:02}", f"10.0.0.{n}", "eth0") for n in range(1, 17)]
    return make_plan(parse_recipe(RECIPE, "fleet.yaml"), hosts, run, "/r")


AILING = RankHealth("decode", 9, "node02", "decode-1", FAILED, STALLED, "makes no progress", START)


def fleet_snapshot(plan: Plan, look: int) -> Snapshot:
    """The `look`-th: each rank has written 100 tokens more a second, and read 1000."""
    return Snapshot(
        START + 10.0 * look,
        10.0 * look,
        tuple(
            RankSample(
                one.engine,
                one.rank,
                one.host,
                one.process,
                one.engine,
                running=10.0 + one.rank % 8,
                waiting=4.0 if one.host == "node07" else 0.0,
                deferred=0.0,
                kv_usage=0.5 + one.rank % 5 / 10,
                preemptions=0.0,
                prompt_tokens=10_000.0 * look,
                generated_tokens=1000.0 * look,
                nixl_bytes=1e9 * look,
                nixl_failed=0.0,
            )
            for one in plan.ranks
        ),
        (
            FrontendSample(
                "frontend",
                "node01",
                requests=50.0 * look,
                failed=0.0,
                output_tokens=128_000.0 * look,
                input_tokens=1_280_000.0 * look,
                ttft=Histogram(BOUNDS, (0.0, 50.0 * look, 100.0 * look, 100.0 * look)),
                itl=Histogram(BOUNDS, (0.0, 100.0 * look, 100.0 * look, 100.0 * look)),
            ),
        ),
        tuple(
            GpuSample(
                host.host,
                str(gpu),
                GpuGauges(
                    memory_used_bytes=70e9,
                    memory_total_bytes=80e9,
                    power_w=500.0,
                    temperature_c=60.0,
                    throttle=0x40 if (host.host, gpu) == ("node03", 2) else 1,
                    nvlink_errors=0.0,
                ),
            )
            for host in plan.hosts
            for gpu in range(8)
        ),
        tuple(
            PortSample(host.host, f"mlx5_{port}:1", RdmaCounters(1e9 * look, 1e9 * look, 0.0))
            for host in plan.hosts
            for port in range(8)
        ),
        ("node05",) if look > 3 else (),
    )


def fleet_run(folder: Path, plan: Plan) -> Run:
    """Its folder, without processes: the run serves, and a rank has failed."""
    run = Run(folder / "runs" / plan.run)
    run.folder.mkdir(parents=True)
    run.save_plan(plan)
    ranks = all_ready(first_table(plan, Moment(START, 0.0)), Moment(START + 65, 65.0))
    run.save(RunState("degraded", START, ready_after=65.0, ranks=ranks, ailing=(AILING,)))
    return run
