"""Runs of this user that something lives of on this host, whoever launched them."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from dsr1.hosts.agent.kin.belonging import AGENT_ITSELF, Kin, read_kin
from dsr1.hosts.agent.kin.lineage import agent_part, lineage_of
from dsr1.hosts.agent.kin.procfs import is_ours, read_process_table
from dsr1.hosts.agent.process.records import read_plan
from dsr1.hosts.agent.server.lease import ask_watcher
from dsr1.hosts.protocol.marks import AgentIdentity, Marks

UNNAMED = Marks(AgentIdentity("", ""), "(unknown)", "")


def list_host_runs() -> list[dict[str, object]]:
    """JSON's values, see HostRun."""
    return [
        {
            "run": marks.run,
            "run_id": marks.identity.run_id,
            "host": marks.identity.host,
            "folder": marks.folder,
            "origin": marks.origin,
            "alive": sorted(set(names) - {AGENT_ITSELF}),
            "agent": AGENT_ITSELF in names,
            "watched": ask_watcher(marks.identity) if AGENT_ITSELF in names else "",
        }
        for marks, names in _find_agents().values()
    ]


def find_rival(folder: Path, identity: AgentIdentity) -> Marks | None:
    """Another run's agent or process of the same folder, which is that of the same name."""
    for marks, _ in _find_agents().values():
        if marks.folder == str(folder) and marks.identity != identity:
            return marks
    return None


def _find_agents() -> dict[AgentIdentity, tuple[Marks, list[str]]]:
    """Each with its marks, and the names of what lives of it. What can't be dumped says nothing of
    itself: its agent is told by its lineage."""
    kin = read_kin(read_process_table()).values()
    named = {one: one.marks for one in kin if one.marks and one.is_of(one.marks.identity)}
    known = {agent_part(lineage_of(marks.identity)): marks for marks in named.values()}
    silent = [one for one in kin if one not in named and _is_kin(one)]
    if any(agent_part(one.lineage) not in known for one in silent):
        known = {agent_part(lineage_of(marks.identity)): marks for marks in _on_record()} | known
    found: dict[AgentIdentity, tuple[Marks, list[str]]] = {}
    for marks in named.values():
        _, names = found.setdefault(marks.identity, (marks, []))
        names.append(marks.process or AGENT_ITSELF)
    for one in silent:
        marks = known.get(agent_part(one.lineage), UNNAMED)
        _, names = found.setdefault(marks.identity, (marks, []))
        names.append(_shown(one))
    return found


def _is_kin(kin: Kin) -> bool:
    """Of this user's: another one's lineage is shown, too."""
    return bool(agent_part(kin.lineage)) and is_ours(kin.stat.pid)


def _shown(kin: Kin) -> str:
    return f"pid {kin.stat.pid}"


def _on_record() -> Iterator[Marks]:
    """Of agents that have left their plans in the folder that dsr1 has on a host."""
    for folder in Path(f"/tmp/dsr1-{os.getuid()}").glob("*/*"):
        with contextlib.suppress(OSError, ValueError):
            if plan := read_plan(folder):
                yield Marks(plan.identity, plan.run, str(folder), plan.origin.words)
