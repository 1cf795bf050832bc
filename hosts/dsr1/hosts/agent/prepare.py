"""Looks whether a host has what its part of a plan needs, before anything starts there. A finding for everything."""

import errno
import importlib.metadata
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from dsr1.hosts.agent.ports import PortLocks, bind_error, holder_of, parse_range, parse_reserved
from dsr1.hosts.events import Finding
from dsr1.hosts.process import HostPlan

NET = Path("/proc/sys/net/ipv4")
PORT_FIX = "End that process, or choose another port in the recipe."


def prepare(plan: HostPlan, folder: Path, locks: PortLocks) -> tuple[Finding, ...]:
    """Takes the ports' locks; the rest only looks."""
    needs = plan.requirements
    looks = (
        check_ports(plan, locks),
        check_ephemeral(plan.host, plan_ports(plan), NET),
        *(check_package(plan.host, name) for name in needs.packages),
        *(check_pin(plan.host, *pin) for pin in needs.pins),
        *(check_path(plan.host, path) for path in needs.paths),
        check_disk(plan.host, folder, needs.free_bytes),
    )
    return tuple(finding for look in looks for finding in _guarded(plan.host, look))


def _guarded(host: str, look: Iterator[Finding]) -> Iterator[Finding]:
    """A check that fails itself says so; it must not take the agent with it."""
    try:
        yield from look
    except Exception as error:  # noqa: BLE001 - foreign metadata and file systems can raise anything
        seen = f"the check itself failed: {type(error).__name__}: {error}"
        yield Finding(host, "agent.check", "UNKNOWN", seen, "a check that runs", "Report this to the authors of dsr1.")


def plan_ports(plan: HostPlan) -> list[int]:
    return [port for process in plan.processes for port in process.ports]


def check_ports(plan: HostPlan, locks: PortLocks) -> Iterator[Finding]:
    ports = plan_ports(plan)
    bad = [finding for port, count in Counter(ports).items() for finding in _check_port(plan, port, count, locks)]
    yield from bad
    if not bad:
        seen = f"{len(ports)} free: {_shorten(ports)}" if ports else "none needed"
        yield Finding(plan.host, "net.ports_free", "PASS", seen, "the plan's ports, free", "")


def _shorten(ports: list[int], most: int = 12) -> str:
    return ", ".join(map(str, ports[:most])) + (", ..." if len(ports) > most else "")


def _check_port(plan: HostPlan, port: int, count: int, locks: PortLocks) -> Iterator[Finding]:
    def fail(seen: str, fix: str, verdict: str = "FAIL") -> Finding:
        return Finding(plan.host, "net.ports_free", verdict, seen, f"port {port} for this run alone", fix)

    if count > 1:
        yield fail(f"{count} processes of the plan want port {port}", "Give each its own port in the recipe.")
    try:
        if other := locks.take(port):
            yield fail(f"port {port} is reserved by run {other}", f"Stop run {other}, or choose another port.")
            return
    except OSError as error:
        yield fail(f"cannot be reserved: {error}", f"Remove {error.filename or 'the lock folder'}.", "WARN")
    if problem := bind_error(plan.address, port) or bind_error("0.0.0.0", port):
        yield fail(*_explain(plan, port, problem))


def _explain(plan: HostPlan, port: int, problem: OSError) -> tuple[str, str]:
    """What was seen, and what to do."""
    if problem.errno == errno.EADDRINUSE:
        return f"port {port} is held by {holder_of(port)}", PORT_FIX
    if problem.errno == errno.EACCES:
        return f"port {port} may not be bound: {problem}", "Choose a port of 1024 or above in the recipe."
    seen = f"{plan.address} port {port} cannot be bound: {problem}"
    return seen, f"Give {plan.host} an address that is one of its own (see `ip addr` there)."


def check_ephemeral(host: str, ports: list[int], net: Path) -> Iterator[Finding]:
    """A port in the range of outgoing connections can be taken by any of them, at any time before its process binds."""
    wanted = "ports that no outgoing connection can take"
    try:
        low, high = parse_range((net / "ip_local_port_range").read_text())
        reserved = parse_reserved((net / "ip_local_reserved_ports").read_text())
    except (OSError, ValueError) as error:
        yield Finding(host, "net.ephemeral", "UNKNOWN", str(error), wanted, "Choose ports below 32768.")
        return
    risky = [port for port in ports if low <= port <= high and not any(a <= port <= b for a, b in reserved)]
    if not risky:
        yield Finding(host, "net.ephemeral", "PASS", f"none in {low}-{high}", wanted, "")
        return
    setting = f"sysctl -w net.ipv4.ip_local_reserved_ports={','.join(map(str, risky))}"
    fix = f"Choose ports outside {low}-{high}, or reserve them as root: {setting} (beside those reserved already)."
    yield Finding(host, "net.ephemeral", "WARN", f"{_shorten(risky)} in {low}-{high}", wanted, fix)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_package(host: str, name: str) -> Iterator[Finding]:
    version = _version(name)
    fix = "" if version else f"Install {name} into the runtime's Python, or name another one in the recipe's runtime."
    seen = f"{name} {version}" if version else f"{name} is not there"
    yield Finding(host, "sw.packages", "PASS" if version else "FAIL", seen, name, fix)


def pinned_specifiers(distribution: str, dependency: str) -> list[str]:
    """What the distribution asks of the dependency: always, and under the extra of the dependency's own name, else any.

    PackageNotFoundError: there is no such distribution.
    """
    from packaging.requirements import Requirement

    asked = [Requirement(line) for line in importlib.metadata.requires(distribution) or ()]
    asked = [one for one in asked if _canonical(one.name) == _canonical(dependency)]
    extras = importlib.metadata.metadata(distribution).get_all("Provides-Extra") or []
    own = [extra for extra in extras if _canonical(extra) == _canonical(dependency)]

    def applies(one: Requirement, under: list[str]) -> bool:
        return one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ["", *under])

    found = [one for one in asked if applies(one, own)] or [one for one in asked if applies(one, extras)]
    return sorted({str(one.specifier) for one in found})


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def check_pin(host: str, distribution: str, dependency: str) -> Iterator[Finding]:
    wanted = f"{dependency} as {distribution} asks"
    try:
        from packaging.specifiers import SpecifierSet

        asked = pinned_specifiers(distribution, dependency)
    except importlib.metadata.PackageNotFoundError:
        fix = f"Install {distribution} into the runtime's Python."
        yield Finding(host, "sw.pins", "FAIL", f"{distribution} is not there", wanted, fix)
        return
    except ImportError:
        fix = "Install packaging into the runtime's Python."
        yield Finding(host, "sw.pins", "UNKNOWN", "the package packaging is not there", wanted, fix)
        return
    version = _version(dependency)
    if not asked:
        yield Finding(host, "sw.pins", "SKIP", f"{distribution} asks nothing of {dependency}", wanted, "")
        return
    good = version is not None and all(SpecifierSet(one).contains(version, prereleases=True) for one in asked)
    wanted = f"{dependency} {', '.join(asked)} ({distribution} {_version(distribution)})"
    fix = "" if good else f"Install the {dependency} that {distribution} was built for: {wanted}."
    yield Finding(host, "sw.pins", "PASS" if good else "FAIL", f"{dependency} {version or 'is not there'}", wanted, fix)


def check_path(host: str, path: str) -> Iterator[Finding]:
    """A folder must be readable and searchable."""
    mode = os.R_OK | (os.X_OK if Path(path).is_dir() else 0)
    if os.access(path, mode):
        yield Finding(host, "model.dir", "PASS", path, "there and readable", "")
        return
    there = os.path.lexists(path)
    fix = f"Make {path} readable for uid {os.geteuid()}." if there else f"Put it there on {host}, or mount it: {path}."
    yield Finding(host, "model.dir", "FAIL", f"{path} is {'not readable' if there else 'not there'}", path, fix)


def check_disk(host: str, folder: Path, wanted: int) -> Iterator[Finding]:
    seen = os.statvfs(folder)
    free = seen.f_bavail * seen.f_frsize
    fix = "" if free >= wanted else f"Free some space below {folder}, or move the run's directory to another disk."
    sizes = f"{free / 2**20:.0f} MiB free below {folder}", f"at least {wanted / 2**20:.0f} MiB"
    yield Finding(host, "disk.free", "PASS" if free >= wanted else "FAIL", *sizes, fix)
