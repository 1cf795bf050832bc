"""An agent's folder: held against cleaners by a lock, and put back when it vanished all the same,
since the agent has in memory all that stood in it.

systemd-tmpfiles passes over a directory that somebody has locked, and all below it (flock, seen
with version 252; RHEL's default ages /tmp after 10 days, Debian 12's doesn't). Others, and people
with rm -r, know no locks.
"""

import contextlib
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path

from dsr1.hosts.agent.process.records import (
    ProcessRecord,
    agent_path,
    log_path,
    process_path,
    write_plan,
    write_record,
    write_secrets,
)
from dsr1.hosts.agent.process.scratch import link_scratch
from dsr1.hosts.protocol.atomic import write_file
from dsr1.hosts.protocol.process import HostPlan


class AgentFolder:
    """`kept` are files of the run, by name, for whoever rebuilds its folder from its hosts."""

    def __init__(
        self,
        path: Path,
        plan: HostPlan,
        secrets: Mapping[str, str],
        kept: Mapping[str, str],
        scratch: str,
    ) -> None:
        self.path = path
        self._plan, self._secrets, self._kept, self._scratch = plan, secrets, kept, scratch
        self._agent: ProcessRecord | None = None
        self._processes: dict[str, ProcessRecord] = {}
        self._logs: dict[str, int] = {}
        self._locks: list[int] = []
        self.write()

    def write(self) -> None:
        """What isn't there."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock()
        write_plan(self.path, self._plan)
        write_secrets(self.path, self._secrets)
        (self.path / "kept").mkdir(mode=0o700, exist_ok=True)
        for name, text in self._kept.items():
            if not (self.path / "kept" / name).exists():  # it may be newer than at the start
                write_file(self.path / "kept" / name, text.encode())
        link_scratch(self.path, self._scratch)
        if self._agent:
            write_record(agent_path(self.path), self._agent)

    def replan(self, plan: HostPlan) -> None:
        """For whoever ends the processes without their agent."""
        self._plan = plan
        write_plan(self.path, plan)

    def record_agent(self, record: ProcessRecord) -> None:
        self._agent = record
        write_record(agent_path(self.path), record)

    def record_process(self, name: str, record: ProcessRecord) -> None:
        """Of one that was started; its log is held open."""
        self._processes[name] = record
        if name in self._logs:
            os.close(self._logs.pop(name))
        with contextlib.suppress(OSError):
            self._logs[name] = os.open(log_path(self.path, name), os.O_RDONLY)

    def restore(self) -> bool:
        """Whether anything had vanished. OSError: it can't be put back now."""
        if self._is_whole():
            return False
        Path(self._scratch).mkdir(mode=0o700, exist_ok=True)
        self.write()
        for name, record in self._processes.items():
            write_record(process_path(self.path, name), record)
            self._show_log(name)
        return True

    def _is_whole(self) -> bool:
        """Named are those of its files that a cleaner by age would take one by one."""
        wanted = [self.path / "plan.json", agent_path(self.path), Path(self._scratch)]
        for name in self._processes:
            wanted += [process_path(self.path, name), log_path(self.path, name)]
        wanted += [self.path / "kept" / name for name in self._kept]
        return all(path.exists() for path in wanted)

    def _show_log(self, name: str) -> None:
        """A log that has no name any more grows on: it is read through the agent, which has it
        open."""
        path = log_path(self.path, name)
        if not path.exists() and name in self._logs:
            path.unlink(missing_ok=True)
            path.symlink_to(f"/proc/{os.getpid()}/fd/{self._logs[name]}")

    def _lock(self) -> None:
        """Shared: a lock is all that counts. Also on what dsr1 has directly below /tmp."""
        for handle in self._locks:
            os.close(handle)
        self._locks = []
        for path in {self.path, Path(self._scratch), *_own_bases(self.path)}:
            with contextlib.suppress(OSError):
                handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
                self._locks.append(handle)
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)


def _own_bases(path: Path) -> list[Path]:
    base = Path(f"/tmp/dsr1-{os.getuid()}")
    return [base] if base in path.parents else []
