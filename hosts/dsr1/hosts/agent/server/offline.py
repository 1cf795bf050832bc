"""What can be told and done of a run's agent and its processes from /proc, whatever became of the
agent and its files. Nothing is touched that doesn't bear the run's identity."""

import contextlib
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dsr1.hosts.agent.kin.belonging import (
    AGENT_ITSELF,
    STRAYS,
    find_copies,
    find_run_processes,
)
from dsr1.hosts.agent.kin.procfs import FoundProcesses
from dsr1.hosts.agent.kin.unjudged import find_unjudged
from dsr1.hosts.agent.process.ending import AFTER_KILL_S, end_now, is_still
from dsr1.hosts.agent.process.records import (
    agent_path,
    process_path,
    read_plan,
    read_record,
    remove_secrets,
)
from dsr1.hosts.agent.process.scratch import remove_scratch
from dsr1.hosts.agent.process.timers import pause
from dsr1.hosts.agent.server.journal import read_last_number
from dsr1.hosts.protocol import control
from dsr1.hosts.protocol.atomic import write_file
from dsr1.hosts.protocol.boot import boot_id
from dsr1.hosts.protocol.codec import render_command
from dsr1.hosts.protocol.commands import Quit, Stop
from dsr1.hosts.protocol.events import Gone
from dsr1.hosts.protocol.identity import ProcStat
from dsr1.hosts.protocol.marks import AgentIdentity
from dsr1.hosts.protocol.process import HostPlan

# Of an agent that has its marks and doesn't listen yet.
STARTING_S = 2.0
MARGIN_S = 5.0
# Between SIGTERM and SIGKILL, where no plan is left to say it.
GRACE_S = 10.0


def read_own_plan(folder: Path, identity: AgentIdentity) -> HostPlan | None:
    """None: nothing of this run is on record there."""
    try:
        plan = read_plan(folder)
    except (OSError, ValueError):
        return None
    return plan if plan and plan.identity == identity else None


def end_identity(folder: Path, identity: AgentIdentity) -> Gone:
    """For a dead agent, or by itself at its end."""
    plan = read_own_plan(folder, identity)
    graces = _graces(plan) or dict.fromkeys(find_run_processes(identity), GRACE_S)
    names = graces.keys() - {AGENT_ITSELF, STRAYS}
    ended = end_now(identity, graces, tuple(sorted(names)))
    unjudged = find_unjudged(start_without_lineage(folder) if plan else None)
    gone = replace(ended, left=(*ended.left, *unjudged), spared=find_copies(identity))
    if plan and not gone.left:
        remove_scratch(folder)
        remove_secrets(folder)
    return gone


def start_without_lineage(folder: Path) -> float | None:
    """The start time of an agent that could have no lineage; None: it had one, or none ran since
    the boot."""
    with contextlib.suppress(OSError, ValueError):
        agent = read_record(agent_path(folder))
        if agent and not agent.lineage and agent.boot_id == boot_id():
            return agent.start_time
    return None


def _graces(plan: HostPlan | None) -> dict[str, float]:
    return {process.name: process.grace_s for process in plan.processes} if plan else {}


def stop_host(folder: Path, identity: AgentIdentity, reason: str = "") -> Gone:
    """The agent and all it started. The proof is always made here, also when the agent has ended
    them itself."""
    if agents := _agents(identity):
        graces = _graces(read_own_plan(folder, identity))
        wait_s = max(graces.values(), default=GRACE_S) + AFTER_KILL_S + MARGIN_S
        with contextlib.suppress(OSError):
            if order_end(identity, reason):
                _await_end(agents, wait_s)
    return end_identity(folder, identity)


def order_end(identity: AgentIdentity, reason: str = "") -> bool:
    """Tell the agent to end everything and quit. False: none listens."""
    line = _connect(identity)
    if line is None:
        return False
    with line:
        line.settimeout(MARGIN_S)
        line.sendall(render_command(Stop()) + render_command(Quit(reason)))
    return True


def _await_end(agents: Sequence[ProcStat], seconds: float) -> None:
    """One that doesn't quit in time is killed when its processes are ended, the last of all. Those
    that were found are watched: to read all of /proc again and again would keep a core busy."""
    until = time.monotonic() + seconds
    while any(map(is_still, agents)) and time.monotonic() < until:
        pause(0.02)


def _connect(identity: AgentIdentity) -> socket.socket | None:
    """Waits for one that is just starting."""
    until = time.monotonic() + STARTING_S
    while (line := control.connect_to_socket(identity, MARGIN_S)) is None:
        if time.monotonic() > until or not _agents(identity):
            return None
        pause(0.02)
    return line


def _agents(identity: AgentIdentity) -> list[ProcStat]:
    return find_run_processes(identity).get(AGENT_ITSELF, [])


def inspect_host(folder: Path, identity: AgentIdentity) -> dict[str, object]:
    """JSON's values; see HostState. The journal is read first: what happens meanwhile is both seen
    and told."""
    last_event = read_last_number(folder / "events.jsonl")
    plan = read_own_plan(folder, identity)
    found = find_run_processes(identity, _graces(plan))
    names = [process.name for process in plan.processes] if plan else []
    names += [name for name in found if name not in (*names, AGENT_ITSELF)]
    return {
        "agent": "alive" if AGENT_ITSELF in found else "dead",
        "boot_id": boot_id(),
        "last_event": last_event,
        "processes": {name: _inspect_process(folder, name, found) for name in names},
    }


def _inspect_process(folder: Path, name: str, found: FoundProcesses) -> dict[str, object]:
    record = None
    with contextlib.suppress(OSError, ValueError):
        record = read_record(process_path(folder, name))
    pid = record.pid if record else None
    if name in found and pid not in [stat.pid for stat in found[name]]:
        pid = pid or found[name][0].pid
    return {"state": "running" if name in found else "gone", "pid": pid}


def read_kept(folder: Path, identity: AgentIdentity) -> dict[str, str]:
    """What the agent was given of the run's own files, by name, with the run's secrets; nothing
    where it was given none."""
    files = sorted((folder / "kept").glob("[!.]*"))
    if read_own_plan(folder, identity) is None or not files:
        return {}
    secrets = sorted((folder / "secrets").glob("[!.]*"))
    found = {path.name: path.read_text() for path in files}
    return found | {f"secrets/{path.name}": path.read_text() for path in secrets}


def write_kept(folder: Path, identity: AgentIdentity, files: Mapping[str, str]) -> list[str]:
    """In the place of what the agent was given before; gives the names that were written. A name
    that leads elsewhere is none of the run's files."""
    if read_own_plan(folder, identity) is None or not (folder / "kept").is_dir():
        return []
    names = [name for name in files if not name.startswith(".") and "/" not in name]
    for name in names:
        write_file(folder / "kept" / name, files[name].encode())
    return names
