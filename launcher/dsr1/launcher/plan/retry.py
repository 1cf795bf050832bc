"""The plan of a further attempt: the same, but for what must not meet the remains of the one
before. Pure."""

from collections.abc import Container
from dataclasses import replace

from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.process import HostPlan, Process, Variable
from dsr1.launcher.commands.dynamo import namespace_of
from dsr1.launcher.plan.plan import Plan

NAMESPACE = "DYN_NAMESPACE"


def replace_hosts(
    hosts: tuple[Host, ...], spares: tuple[Host, ...], gone: Container[str]
) -> tuple[Host, ...] | None:
    """Each lost host is replaced by a spare, in its position; None when there are too few."""
    free = [spare for spare in spares if spare.name not in gone]
    if sum(host.name in gone for host in hosts) > len(free):
        return None
    return tuple(free.pop(0) if host.name in gone else host for host in hosts)


def plan_again(plan: Plan, attempt: int) -> Plan:
    """A dead worker stays registered until its lease ends; in a namespace of its own nobody
    finds it."""
    fresh = namespace_of(plan.run, plan.run_id, attempt)
    source = f"restart {attempt}: the workers before it may still be registered"
    return _in_namespace(plan, Variable(NAMESPACE, fresh, source))


def join_namespace(plan: Plan, running: Plan) -> Plan:
    """The plan in the namespace of what runs, whatever restart that is."""
    variables = (one for process in running.processes for one in process.env)
    namespace = next((one for one in variables if one.name == NAMESPACE), None)
    return _in_namespace(plan, namespace) if namespace else plan


def changed_groups(before: Plan, after: Plan) -> frozenset[str]:
    """The engines whose processes aren't the same in both plans."""
    changed = set(before.processes) ^ set(after.processes)
    return frozenset(process.group for process in changed)


def _in_namespace(plan: Plan, namespace: Variable) -> Plan:
    return replace(
        plan,
        service=replace(plan.service, namespace=namespace.value),
        hosts=tuple(_host_plan(host, namespace) for host in plan.hosts),
    )


def _host_plan(host: HostPlan, namespace: Variable) -> HostPlan:
    return replace(host, processes=tuple(_process(one, namespace) for one in host.processes))


def _process(process: Process, namespace: Variable) -> Process:
    env = tuple(namespace if one.name == NAMESPACE else one for one in process.env)
    return replace(process, env=env)
