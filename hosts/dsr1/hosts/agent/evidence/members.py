"""The processes below the mains that live: their states, what they wait in, their stacks."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dsr1.hosts.agent.evidence.stacks import find_py_spy, kernel_stack, python_stacks
from dsr1.hosts.agent.kin.procfs import descendants, read_process_table
from dsr1.hosts.agent.process.member_name import LASTING, component_of, with_rank
from dsr1.hosts.protocol.evidence import MemberState
from dsr1.hosts.protocol.identity import read_stat

MOST_MEMBERS, STOPPED, BLOCKED = 512, "T", "D"


def list_members(mains: Mapping[str, int]) -> list[MemberState]:
    """The mains and the lasting members; helpers matter to nobody."""
    return list(_members(mains))[:MOST_MEMBERS]


def _members(mains: Mapping[str, int]) -> Iterator[MemberState]:
    table = read_process_table()
    for process, main in mains.items():
        for pid in sorted({main, *descendants(table, {main})} & table.keys()):
            name = "main" if pid == main else component_of(pid)
            if pid == main or LASTING.match(name):
                known_as = with_rank(name, component_of(table[pid].ppid))
                yield MemberState(process, known_as, pid, table[pid].state, _waits_in(pid))


def _waits_in(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/wchan").read_text().strip("0\n")
    return ""


def look_again(members: Sequence[MemberState], hang: bool) -> list[MemberState]:
    """A moment later, with the stacks of what is stopped or blocked, of a hang those of all. What
    was blocked for that moment alone isn't."""
    now = [_still(member) for member in members]
    wanted = [one.pid for one in now if hang and one.state != STOPPED]
    stacks = python_stacks(wanted, find_py_spy())
    return [replace(one, stack=stacks.get(one.pid) or _kernel_stack(one, hang)) for one in now]


def _still(member: MemberState) -> MemberState:
    stat = read_stat(member.pid) if member.state == BLOCKED else None
    return replace(member, state=stat.state) if stat else member


def _kernel_stack(member: MemberState, hang: bool) -> tuple[str, ...]:
    return kernel_stack(member.pid) if hang or member.state in (STOPPED, BLOCKED) else ()
