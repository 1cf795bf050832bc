"""The fabric's test: orders for every host of a plan, and the jobs that carry them out."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from dsr1.env.node import control_plane
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.jobs.messages import JobProgress
from dsr1.hosts.protocol.jobs.orders import FABRIC, FabricOrder
from dsr1.hosts.protocol.process import Process, Variable
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.connect import connect_hosts
from dsr1.hosts.transport.jobs import run_job_on_all
from dsr1.launcher.plan.plan import Plan, make_plan
from dsr1.launcher.plan.processes import with_setup
from dsr1.launcher.plan.runtime_knowledge import is_asked_for
from dsr1.launcher.preflight.connectivity import port_of
from dsr1.launcher.preflight.fabric_report import FabricReport, better, doubtful_pairs, read_links
from dsr1.launcher.preflight.survey_result import Survey
from dsr1.launcher.recipe.models import Recipe

TUNED = ("NCCL_", "GLOO_", "TP_", "UCX_")
# A rank looks after its pairs itself: torch's watchdog would end it for one that fails, and write a
# trace to its home.
OWN_ENV = {
    "TORCH_NCCL_ASYNC_ERROR_HANDLING": "0",
    "TORCH_NCCL_DUMP_ON_TIMEOUT": "0",
    "OMP_NUM_THREADS": "1",
}
START_S, ROUND_S = 90.0, 5.0  # imports and meeting; one pair, two ways, NCCL's connecting included


def measure_fabric(recipe: Recipe, survey: Survey) -> FabricReport:
    """Runs on all hosts that answered, for a bounded time; nothing of it is left, also after
    Ctrl-C."""
    answered = [host for host in survey.hosts if host.name in survey.facts]
    hosts = [host for host in answered if host.interface or len(answered) == 1]
    strayed = tuple((host.name, host.address) for host in answered if host not in hosts)
    if len(hosts) < 2 or not survey.accesses:
        return FabricReport(tuple(host.name for host in hosts), (), strayed)
    plan = make_plan(recipe, survey.hosts, "fabric", "fabric", survey.facts)
    orders = make_orders(recipe, plan, hosts)
    accesses = [access for access in survey.accesses if access.name in orders]
    print(
        f"measuring between {len(orders)} hosts, {_limit_s(len(orders)):.0f} s at most",
        file=sys.stderr,
    )
    with connect_hosts(accesses, recipe.runtime.interpreter) as (transport, _):
        first = replace(_measured(transport, orders), strayed=strayed)
        pairs = doubtful_pairs(first)
        return _measured_again(transport, orders, first, pairs) if pairs else first


def _measured_again(
    transport: Transport,
    orders: Mapping[str, FabricOrder],
    first: FabricReport,
    pairs: Sequence[tuple[int, int]],
) -> FabricReport:
    """Alone, so that a busy moment is no slow link."""
    limit_s = _limit_s(len(pairs))
    again = {
        host: replace(order, pairs=tuple(pairs), limit_s=limit_s) for host, order in orders.items()
    }
    print(f"measuring {len(pairs)} pairs once more, one at a time", file=sys.stderr)
    return better(first, _measured(transport, again))


def _measured(transport: Transport, orders: Mapping[str, FabricOrder]) -> FabricReport:
    results = run_job_on_all(transport, FABRIC, orders, _show_nothing, together=True)
    return FabricReport(tuple(orders), tuple(read_links(list(orders), results)))


def _limit_s(hosts: int) -> float:
    return START_S + ROUND_S * hosts


def _show_nothing(host: str, progress: JobProgress) -> None:
    """It takes seconds."""


def make_orders(recipe: Recipe, plan: Plan, hosts: Sequence[Host]) -> dict[str, FabricOrder]:
    """By host. One rank a GPU of the plan, all of a host together; without GPUs one
    a host."""
    on_gpus = recipe.uses_gpus
    first = FabricOrder(
        python=tuple(with_setup(recipe.runtime, (recipe.runtime.interpreter,))),
        device="cuda" if on_gpus else "cpu",
        local_ranks=max(1, min(host.gpus for host in hosts)) if on_gpus else 1,
        hosts=len(hosts),
        host=0,
        address=hosts[0].address,
        port=port_of(plan, hosts[0]) or recipe.ports.base,
        limit_s=_limit_s(len(hosts)),
    )
    return {
        host.name: replace(first, host=number, env=fabric_environment(plan, host))
        for number, host in enumerate(hosts)
    }


def fabric_environment(plan: Plan, host: Host) -> dict[str, str]:
    """What a worker of this host gets to talk with, so that the test goes the ways that it will
    go."""
    workers = [process for process in plan.processes if process.host == host.name and process.ranks]
    wanted = (variable for process in workers[:1] for variable in _tuned(process))
    return {**{v.name: v.value for v in (*control_plane(host), *wanted)}, **OWN_ENV}


def _tuned(process: Process) -> Iterator[Variable]:
    yield from (v for v in process.env if v.name.startswith(TUNED) or is_asked_for(v))
