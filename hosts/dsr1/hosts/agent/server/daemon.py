"""Turns the starter into an agent: a process of its own session, on record before anybody is told
of it."""

import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from dsr1.hosts.agent.process.records import (
    agent_path,
    make_record,
    old_folder,
    render_record,
    write_plan,
    write_record,
    write_secrets,
)
from dsr1.hosts.agent.process.scratch import make_scratch, remove_scratch
from dsr1.hosts.agent.server.offline import end_records, inspect_host
from dsr1.hosts.agent.server.server import AgentServer, say
from dsr1.hosts.protocol import control
from dsr1.hosts.protocol.process import HostPlan

PR_SET_CHILD_SUBREAPER = 36


class StartError(Exception):
    """The agent couldn't be started; nothing of it is left."""


def clear_stale_agent(folder: Path) -> None:
    """A restart finds its predecessor's folder: once nothing of it is alive it is kept under
    another name."""
    seen = inspect_host(folder)
    processes = seen["processes"]
    assert isinstance(processes, dict)
    if seen["agent"] == "alive" or any(
        process["state"] == "running" for process in processes.values()
    ):
        return
    number = next(n for n in itertools.count(1) if not old_folder(folder, n).exists())
    with contextlib.suppress(OSError):  # another starter was quicker: mkdir decides
        folder.rename(old_folder(folder, number))


def claim(folder: Path) -> None:
    """mkdir succeeds for one caller only, so a folder has one agent at a time."""
    if agent_path(folder).exists():
        clear_stale_agent(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise StartError(
            f"an agent was already started in {folder}; use another folder, or `end` it"
        ) from None
    except OSError as error:
        raise StartError(f"cannot create {folder}: {error}") from error


def start(plan: HostPlan, secrets: Mapping[str, str], folder: Path) -> str:
    """Returns the agent's record once it listens."""
    os.closerange(3, 256)
    claim(folder)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _be_agent(plan, secrets, folder, write)
    os.close(write)
    with os.fdopen(read) as pipe:
        answer = pipe.read()
    if not answer.startswith("{"):
        remove_scratch(folder)
        shutil.rmtree(folder, ignore_errors=True)
        raise StartError(answer or f"the agent in {folder} ended at once")
    return answer


def _be_agent(plan: HostPlan, secrets: Mapping[str, str], folder: Path, pipe: int) -> NoReturn:
    """The starter reads the pipe: the record, or why there is none."""
    try:
        _detach(folder)
        write_plan(folder, plan)
        write_secrets(folder, secrets)
        make_scratch(folder)
        door = control.listen_on_socket(folder)
        server = AgentServer(plan, folder, door)
        record = make_record(os.getpid())
        write_record(agent_path(folder), record)
        os.write(pipe, render_record(record).encode())
        os.close(pipe)
    except BaseException as error:  # noqa: BLE001 - a fork of the starter must not go on as the starter
        with contextlib.suppress(OSError):
            os.write(pipe, f"the agent cannot start in {folder}: {error}".encode(errors="replace"))
        os._exit(1)
    _serve(server, folder)


def _detach(folder: Path) -> None:
    os.setsid()
    os.umask(0o077)
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(folder / "agent.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for file, place in ((null, 0), (log, 1), (log, 2)):
        os.dup2(file, place)
    os.close(null)
    os.close(log)
    # Orphans of our processes come back to us instead of init, and so stay recognisable as ours.
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def _serve(server: AgentServer, folder: Path) -> NoReturn:
    """Whatever goes wrong in the agent, its processes don't outlive it unowned."""
    code = 0
    try:
        server.run()
    except BaseException:  # noqa: BLE001 - told in agent.log
        say(traceback.format_exc())
        code = 1
    try:
        signal.set_wakeup_fd(-1)
        end_records(folder)
    finally:
        os._exit(code)
