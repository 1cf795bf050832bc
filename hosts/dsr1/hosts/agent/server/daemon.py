"""Turns the starter into an agent: a process of its own session, on record before anybody is told
of it."""

import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import traceback
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from dsr1.hosts.agent.kin.belonging import AGENT_ITSELF, find_run_processes
from dsr1.hosts.agent.process.folder import AgentFolder
from dsr1.hosts.agent.process.own_marks import own_marks
from dsr1.hosts.agent.process.records import agent_path, make_record, old_folder, render_record
from dsr1.hosts.agent.process.say import say
from dsr1.hosts.agent.process.scratch import make_scratch, remove_scratch
from dsr1.hosts.agent.server.adoption import StartError
from dsr1.hosts.agent.server.found import find_rival
from dsr1.hosts.agent.server.offline import end_identity
from dsr1.hosts.agent.server.server import AgentServer
from dsr1.hosts.protocol import control
from dsr1.hosts.protocol.codec import StartOrder
from dsr1.hosts.protocol.marks import AgentIdentity
from dsr1.hosts.protocol.process import HostPlan

PR_SET_CHILD_SUBREAPER = 36


def claim(plan: HostPlan, folder: Path) -> None:
    """mkdir succeeds for one caller only, so a folder has one agent at a time. What a dead agent
    has left there is kept under another name."""
    if rival := find_rival(folder, plan.identity):
        who = rival.origin or "somebody unknown"
        raise StartError(
            f"run {rival.run} is there already, launched by {who}: stop that one, or take another"
            " --name"
        )
    if agent_path(folder).exists() and not _is_alive(plan.identity):
        _put_aside(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise StartError(f"an agent was already started in {folder}; stop this run first") from None
    except OSError as error:
        raise StartError(f"cannot create {folder}: {error}") from error


def _is_alive(identity: AgentIdentity) -> bool:
    """Whether anything of it is, but for this very start: who starts now is told apart by its
    socket."""
    found = find_run_processes(identity)
    listens = control.connect_to_socket(identity)
    if listens is not None:
        listens.close()
    return listens is not None or any(name != AGENT_ITSELF for name in found)


def _put_aside(folder: Path) -> None:
    number = next(n for n in itertools.count(1) if not old_folder(folder, n).exists())
    with contextlib.suppress(OSError):  # another starter was quicker: mkdir decides
        folder.rename(old_folder(folder, number))


def start(start_order: StartOrder, folder: Path) -> str:
    """Returns the agent's record once it listens."""
    os.closerange(3, 256)
    claim(start_order.plan, folder)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _be_agent(start_order, folder, write)
    os.close(write)
    with os.fdopen(read) as pipe:
        answer = pipe.read()
    if not answer.startswith("{"):
        remove_scratch(folder)
        shutil.rmtree(folder, ignore_errors=True)
        raise StartError(answer or f"the agent in {folder} ended at once")
    return answer


def _be_agent(start_order: StartOrder, folder: Path, pipe: int) -> NoReturn:
    """The starter reads the pipe: the record, or why there is none."""
    plan = start_order.plan
    try:
        _detach(folder)
        door = control.listen_on_socket(plan.identity)
        own = AgentFolder(folder, plan, start_order.secrets, start_order.kept, make_scratch())
        server = AgentServer(plan, own, door)
        record = replace(make_record(os.getpid()), lineage=own_marks(plan, folder).lineage)
        own.record_agent(record)
        os.write(pipe, render_record(record).encode())
        os.close(pipe)
    except BaseException as error:  # noqa: BLE001 - a fork of the starter must not go on as the starter
        with contextlib.suppress(OSError):
            os.write(pipe, f"the agent cannot start in {folder}: {error}".encode(errors="replace"))
        os._exit(1)
    _serve(server, folder, plan.identity)


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


def _serve(server: AgentServer, folder: Path, identity: AgentIdentity) -> NoReturn:
    """Whatever goes wrong in the agent, its processes don't outlive it unowned."""
    code = 0
    try:
        server.run()
    except BaseException:  # noqa: BLE001 - told in agent.log
        say(traceback.format_exc())
        code = 1
    try:
        signal.set_wakeup_fd(-1)
        end_identity(folder, identity)
    finally:
        os._exit(code)
