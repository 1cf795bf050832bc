"""What really listens on this host for a run: read from the kernel, not from the plan."""

from pathlib import Path

from dsr1.hosts.agent.process.procfs import find_members
from dsr1.hosts.agent.process.records import read_plan
from dsr1.hosts.agent.server.offline import read_targets


def open_listeners(folder: Path) -> list[tuple[str, str, int]]:
    """(process, address, port) of every TCP socket that a live member of the run's processes
    listens on."""
    import psutil

    plan = read_plan(folder)
    members = find_members(read_targets(folder, plan), None, strays=False) if plan else {}
    owner = {stat.pid: name for name, stats in members.items() for stat in stats}
    found = set()
    for line in psutil.net_connections("tcp"):
        if line.status == psutil.CONN_LISTEN and line.pid in owner and line.laddr:
            found.add((owner[line.pid], line.laddr.ip, line.laddr.port))
    return sorted(found)
