"""Kernel variables: set now, and at boot by one file of ours in /etc/sysctl.d. Pure."""

import re
from collections.abc import Callable, Iterator, Sequence

from dsr1.env.prep.parts import FileRewrite, PrepNote, PrepPart, file_at, folders_of, texts_below
from dsr1.env.prep.texts import with_line
from dsr1.hosts.protocol.facts.port_ranges import parse_range, parse_reserved
from dsr1.hosts.protocol.prep import HostProbe, Sysctl

# after 99-sysctl.conf, which is /etc/sysctl.conf where that is read at all
OURS = "/etc/sysctl.d/99-zz-dsr1.conf"
THREADS = 65536
BALANCING, RESERVED, RANGE = (
    "kernel.numa_balancing",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_local_port_range",
)


def fix_numa_balancing(probe: HostProbe) -> Iterator[PrepPart]:
    why = (
        "the kernel moves pages between sockets under running ranks, and every rank waits for the"
        " slowest"
    )
    if BALANCING not in dict(probe.sysctls):
        yield PrepNote("SKIP", "this kernel has no NUMA balancing", "")
    yield from _variable(
        probe, "sys.numa_balancing", (BALANCING, "0", why), lambda value: value == "0"
    )


def fix_thread_limits(probe: HostProbe) -> Iterator[PrepPart]:
    why = "every thread of every rank needs a process id"
    for name, wanted in (("kernel.pid_max", "4194304"), ("kernel.threads-max", "1048576")):
        yield from _variable(
            probe, "sys.nproc", (name, wanted, why), lambda value: int(value or 0) >= THREADS
        )


def _variable(
    probe: HostProbe, check: str, setting: tuple[str, str, str], good: Callable[[str], bool]
) -> Iterator[PrepPart]:
    """`setting`: name, value, why. A value that is right now and in no file is the kernel's own, or
    somebody sets it."""
    name, wanted, why = setting
    now, later = dict(probe.sysctls).get(name), at_boot(probe, name)
    if now is None:
        return
    if not good(now if later is None else later):
        yield _written(name, wanted, why)
    if not good(now):
        yield Sysctl((check,), why, name, now, wanted)


def fix_reserved_ports(probe: HostProbe, ports: Sequence[int]) -> Iterator[PrepPart]:
    """Of the recipe's ports those that an outgoing connection could take first. What is reserved
    already stays so."""
    sysctls = dict(probe.sysctls)
    low, high = parse_range(sysctls.get(RANGE, ""))
    now, later = _ports(sysctls.get(RESERVED, "")), _ports(at_boot(probe, RESERVED) or "")
    risky = {port for port in ports if low <= port <= high}
    why = (
        f"outgoing connections use {low}-{high}: one could take a rank's port before the rank"
        " binds it"
    )
    wanted = render_ports(now | later | risky)
    if not risky <= (later or now):
        yield _written(RESERVED, wanted, why)
    if not risky <= now:
        yield Sysctl(("net.ephemeral",), why, RESERVED, sysctls.get(RESERVED, ""), wanted)


def _written(name: str, value: str, why: str) -> FileRewrite:
    return FileRewrite(
        why, OURS, lambda text: with_line(text, f"{name} = {value}", rf"\s*-?{re.escape(name)}\s*=")
    )


def _ports(text: str) -> set[int]:
    return {port for first, last in parse_reserved(text) for port in range(first, last + 1)}


def render_ports(ports: set[int]) -> str:
    """As the kernel tells them: `8000,20000-20017`."""
    runs: list[list[int]] = []
    for port in sorted(ports):
        if runs and port == runs[-1][-1] + 1:
            runs[-1][-1] = port
        else:
            runs.append([port, port])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def at_boot(probe: HostProbe, name: str) -> str | None:
    """What the files say, the last winning. None: nothing."""
    key = re.compile(
        rf"^[ \t]*-?(?:{re.escape(name)}|{re.escape(name.replace('.', '/'))})[ \t]*=[ \t]*(.*?)["
        r" \t]*$",
        re.M,
    )
    files = [file_at(probe, "/etc/sysctl.conf"), *texts_below(probe, *folders_of("sysctl.d"))]
    found = [value for file in files for value in key.findall(file.text)]
    return found[-1] if found else None
