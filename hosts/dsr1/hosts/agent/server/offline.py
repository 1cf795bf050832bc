"""What can be told and done of an agent's processes without it, from its records and /proc."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from dsr1.hosts.agent.process.ending import AFTER_KILL_S, end_now
from dsr1.hosts.agent.process.procfs import StopTarget, find_members
from dsr1.hosts.agent.process.records import (
    ProcessRecord,
    agent_path,
    make_mark,
    process_path,
    read_plan,
    read_record,
)
from dsr1.hosts.agent.process.scratch import remove_scratch
from dsr1.hosts.protocol import control
from dsr1.hosts.protocol.codec import render_command
from dsr1.hosts.protocol.commands import Quit, Stop
from dsr1.hosts.protocol.events import Gone
from dsr1.hosts.protocol.identity import is_alive
from dsr1.hosts.protocol.process import HostPlan

# An agent that has its folder and no record yet is still starting.
STARTING_S = 2.0
MARGIN_S = 5.0


def read_targets(folder: Path, plan: HostPlan) -> tuple[StopTarget, ...]:
    """The processes that were spawned. Without an agent's record there are none: it is written
    first."""
    agent = read_record(agent_path(folder))
    if agent is None:
        return ()
    records = (
        (process, read_record(process_path(folder, process.name))) for process in plan.processes
    )
    return tuple(
        StopTarget(process.name, make_mark(agent), record, process.grace_s)
        for process, record in records
        if record and record.pid is not None
    )


def end_records(folder: Path) -> Gone:
    """For a dead agent, or by itself at its end."""
    plan = read_plan(folder)
    if plan is None:
        return Gone(())
    gone = end_now(read_targets(folder, plan), tuple(process.name for process in plan.processes))
    if not gone.left:
        remove_scratch(folder)
    return gone


def stop_recorded(folder: Path) -> Gone:
    """The agent and all it started. The proof is always made here, also when the agent has ended
    them itself."""
    agent = _await_record(folder) if folder.is_dir() else None
    if agent and _alive(agent):
        _ask_to_quit(folder, agent)
    return end_records(folder)


def inspect_host(folder: Path) -> dict[str, object]:
    """JSON's values; see HostState."""
    agent, plan = read_record(agent_path(folder)), read_plan(folder)
    names = [process.name for process in plan.processes] if plan else []
    targets = read_targets(folder, plan) if plan else ()
    living = find_members(targets, None, strays=False)
    pids = {target.name: target.record.pid for target in targets}
    return {
        "agent": "alive" if agent and _alive(agent) else "dead",
        "processes": {
            name: {"state": "running" if name in living else "gone", "pid": pids.get(name)}
            for name in names
        },
    }


def _alive(record: ProcessRecord) -> bool:
    return record.pid is not None and is_alive(record.pid, record.start_time, record.boot_id)


def _wait(seconds: float, done: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not done() and time.monotonic() < until:
        time.sleep(0.02)
    return done()


def _await_record(folder: Path) -> ProcessRecord | None:
    _wait(STARTING_S, lambda: agent_path(folder).exists())
    return read_record(agent_path(folder))


def _ask_to_quit(folder: Path, agent: ProcessRecord) -> None:
    """An agent that doesn't quit in time is killed; its processes are then ended from its
    records."""
    with contextlib.suppress(OSError):
        line = control.connect_to_socket(folder)
        if line is not None:
            with line:
                line.sendall(render_command(Stop()) + render_command(Quit()))
    plan = read_plan(folder)
    grace = max((process.grace_s for process in plan.processes), default=0.0) if plan else 0.0
    if (
        not _wait(grace + AFTER_KILL_S + MARGIN_S, lambda: not _alive(agent))
        and agent.pid is not None
    ):
        with contextlib.suppress(ProcessLookupError):
            os.kill(agent.pid, signal.SIGKILL)
        _wait(MARGIN_S, lambda: not _alive(agent))
