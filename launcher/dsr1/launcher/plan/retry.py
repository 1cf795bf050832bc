"""The plan of a further attempt: the same, but for what must not meet the remains of the one
before. Pure."""

from collections.abc import Container
from dataclasses import replace

from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.process import HostPlan, Process, Variable
from dsr1.launcher.commands.stacks import namespace_of
from dsr1.launcher.plan.plan import Plan

NAMESPACE = "DYN_NAMESPACE"


def replace_hosts(
    hosts: tuple[Host, ...], spares: tuple[Host, ...], gone: Container[str]
) -> tuple[Host, ...] | None:
    """A spare stands where the host was whose place it takes; None when there are too few."""
    free = [spare for spare in spares if spare.name not in gone]
    if sum(host.name in gone for host in hosts) > len(free):
        return None
    return tuple(free.pop(0) if host.name in gone else host for host in hosts)


def plan_again(plan: Plan, attempt: int) -> Plan:
    """A dead worker stays registered until its lease ends; in a namespace of its own nobody meets
    it."""
    service = replace(plan.service, namespace=namespace_of(plan.run, attempt))
    return replace(
        plan, service=service, hosts=tuple(_host(host, plan.run, attempt) for host in plan.hosts)
    )


def _host(host: HostPlan, run: str, attempt: int) -> HostPlan:
    return replace(
        host, processes=tuple(_process(process, run, attempt) for process in host.processes)
    )


def _process(process: Process, run: str, attempt: int) -> Process:
    return replace(
        process, env=tuple(_variable(variable, run, attempt) for variable in process.env)
    )


def _variable(variable: Variable, run: str, attempt: int) -> Variable:
    if variable.name != NAMESPACE:
        return variable
    return Variable(
        NAMESPACE,
        namespace_of(run, attempt),
        f"restart {attempt}: the one before may be listed yet",
    )
