"""Starts one process so that it can't be lost: it runs its command only once its pid is on
record."""

import contextlib
import os
import select
import signal
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from dsr1.hosts.agent.kin.lineage import lineage_of, take_lineage
from dsr1.hosts.agent.process.open_files import raise_open_files
from dsr1.hosts.agent.process.records import (
    ABOUT_TO_SPAWN,
    ProcessRecord,
    log_path,
    make_record,
    process_path,
    secret_path,
    write_record,
)
from dsr1.hosts.agent.process.scratch import read_scratch
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.marks import LINEAGE, Marks, render_marks
from dsr1.hosts.protocol.process import Process, SecretVariable

EXEC_WAIT_S = 2.0


@dataclass(frozen=True, slots=True)
class SpawnedProcess:
    """A process that runs its command."""

    record: ProcessRecord
    pid: int


def make_environment(
    base: dict[str, str], marks: Marks, process: Process, folder: Path
) -> dict[str, str]:
    """The marks come last: they prove later that a process is ours."""
    own = {variable.name: variable.value for variable in process.env}
    own |= {secret.name: _secret(secret, folder) for secret in process.secrets}
    scratch = {"TMPDIR": path} if (path := read_scratch(folder)) else {}
    return {**base, **scratch, **own, **render_marks(_marks_of(process, marks))}


def _marks_of(process: Process, agent: Marks) -> Marks:
    lineage = lineage_of(agent.identity, process.name) if agent.lineage else 0
    return replace(agent, process=process.name, lineage=lineage)


def _secret(secret: SecretVariable, folder: Path) -> str:
    path = secret_path(folder, secret.file)
    return str(path) if secret.as_path else path.read_text()


def _restore_signals() -> None:
    """An ignored signal stays ignored through exec. Python ignores two, and a shell two of a
    background job's."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _become(
    process: Process, env: dict[str, str], folder: Path, log: int, gate: int, errors: int
) -> NoReturn:
    """In the child. Its end of every other file closes on exec."""
    try:
        # A group, no session: sessions are the scheduler's autogroups (sched(7)), and on Linux 6.18
        # one of them that polls, as NIXL's progress thread does, kept the others from running for
        # 30 s.
        os.setpgid(0, 0)
        _restore_signals()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(folder)
        if lineage := int(env.get(LINEAGE, "0")):
            take_lineage(lineage)
        if not process.ranks:  # etcd, a frontend: strangers' idle connections are open files, too
            raise_open_files()
        # End of file: the agent died or couldn't record the pid, so nobody would know of this
        # process.
        if os.read(gate, 1):
            os.execvpe(process.argv[0], process.argv, env)
    except BaseException as error:  # noqa: BLE001 - whatever it is, a fork of the agent must not go on as the agent
        with contextlib.suppress(OSError):
            os.write(
                errors,
                f"{process.argv[0] if process.argv else None!r}: {error}".encode(errors="replace")[
                    :2000
                ],
            )
    os._exit(127)


def _fork(process: Process, env: dict[str, str], folder: Path, log: int) -> tuple[int, int, int]:
    """Pid, the gate to let it go, and the pipe with its error."""
    gate_read, gate_write = os.pipe()
    errors_read, errors_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(gate_write)
        _become(process, env, folder, log, gate_read, errors_write)
    os.close(gate_read)
    os.close(errors_write)
    return pid, gate_write, errors_read


def _let_go(pid: int, gate: int, path: Path) -> SpawnedProcess:
    """Its pid goes on record, then it may run."""
    try:
        record = make_record(pid)
        write_record(path, record)
        os.write(gate, b"g")
    except OSError:
        os.close(gate)
        os.waitpid(pid, 0)
        raise
    os.close(gate)
    return SpawnedProcess(record, pid)


def _await_exec(pid: int, errors: int) -> None:
    """The pipe closes on exec. Waits a bounded time: exec may hang on a dead network file
    system."""
    ready = select.select([errors], [], [], EXEC_WAIT_S)[0]
    if ready and (text := os.read(errors, 4096).decode(errors="replace")):
        os.waitpid(pid, 0)
        raise OSError(text)


def spawn(process: Process, marks: Marks, folder: Path) -> SpawnedProcess:
    """OSError: it couldn't be started, and nothing of it runs."""
    path = process_path(folder, process.name)
    write_record(path, ABOUT_TO_SPAWN)
    log = os.open(log_path(folder, process.name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        env = make_environment(dict(os.environ), marks, process, folder)
        pid, gate, errors = _fork(process, env, folder, log)
    finally:
        os.close(log)
    try:
        born = _let_go(pid, gate, path)
        _await_exec(pid, errors)
    finally:
        os.close(errors)
    return born
