"""What really listens on this host for a run: read from the kernel, not from the plan."""

from dsr1.hosts.agent.kin.belonging import AGENT_ITSELF, find_run_processes
from dsr1.hosts.protocol.marks import AgentIdentity


def open_listeners(identity: AgentIdentity) -> list[tuple[str, str, int]]:
    """(process, address, port) of every TCP socket that a live member of the run's processes
    listens on."""
    import psutil

    members = find_run_processes(identity)
    members.pop(AGENT_ITSELF, None)
    owner = {stat.pid: name for name, stats in members.items() for stat in stats}
    found = set()
    for line in psutil.net_connections("tcp"):
        if line.status == psutil.CONN_LISTEN and line.pid in owner and line.laddr:
            found.add((owner[line.pid], line.laddr.ip, line.laddr.port))
    return sorted(found)
