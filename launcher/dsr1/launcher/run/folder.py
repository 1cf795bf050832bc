"""A run's folder: files that are written by rename, and read back as the types they were."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dsr1.hosts.errors import LaunchFailed, RunNotFound
from dsr1.hosts.protocol.atomic import write_file
from dsr1.hosts.protocol.bounded import parse_bounded
from dsr1.hosts.protocol.identity import RecordedProcess, record_process
from dsr1.hosts.protocol.plain import from_plain, parse_json
from dsr1.launcher.lifecycle.changes import WantedChange
from dsr1.launcher.locks import locked
from dsr1.slurm.allocation import Allocation
from dsr1.slurm.handle import JobHandle
from dsr1.slurm.states import JobInfo

if TYPE_CHECKING:
    from dsr1.launcher.plan.plan import Plan
    from dsr1.launcher.run.supervision.changing.versions import ChangeGoal

Written = TypeVar("Written")
SUCCESSOR, PREDECESSOR = "successor.json", "predecessor.json"
CHANGE, GOAL, RECIPE = "change.json", "change-goal.json", "recipe.json"
SCRIPT, RESTARTS = "job.sh", "job-restarts"
TARGETS, SUPERVISOR_FILE = "targets.json", "supervisor.json"
SCHEMA_FILE, SCHEMA = "schema", 1
# Files that its end needs, whoever wrote them.
ENDED_BY = ("run-id", "job.json", "job-end.json", "allocation.json", SUCCESSOR)
ALLOCATION, STOP_ASKED, LOCK = "allocation.json", "stop-asked", ".lock"
MOST_BYTES, LOCKED_S = 256 * 2**20, 30.0


def read_own_file(file: Path) -> str:
    """ValueError: it is larger than anything that dsr1 writes, or no text."""
    with file.open("rb") as opened:
        if os.fstat(opened.fileno()).st_size > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES} bytes")
        return opened.read().decode()


class RunFolder:
    """By the run's name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name
        self._is_known = False
        self.spared: tuple[str, ...] = ()  # see StopResult, of its end

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """For who decides by what stands there whose it is to be, or that it is over. Where no
        file can be made, on a full disk say, or who has it hangs, all go on. RunNotFound: it
        is gone."""
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(locked(self.folder / LOCK, LOCKED_S))
            except FileNotFoundError:
                raise RunNotFound(f"{self.folder}: there is no such run any more") from None
            except OSError:
                pass
            yield

    def save_mark(self) -> tuple[int, int]:
        """Another with each save of its state, whatever it says."""
        found = (self.folder / "state.json").stat()
        return found.st_ino, found.st_mtime_ns

    def wanted_change(self) -> WantedChange | None:
        """The last that somebody wanted of the deployment. None: nobody did, or it can't be read:
        another version of dsr1 has written it."""
        with contextlib.suppress(LaunchFailed):
            return self._read_if_there(CHANGE, WantedChange)
        return None

    def save_wanted_change(self, change: WantedChange) -> None:
        self._write(CHANGE, asdict(change))

    def change_goal(self) -> "ChangeGoal | None":
        """Of the wanted change, where it is one of the plan."""
        if not (self.folder / GOAL).exists():
            return None
        # Who restarts an engine needs no plan.
        from dsr1.launcher.run.supervision.changing.versions import ChangeGoal

        return self._read(GOAL, ChangeGoal)

    def is_changing_plan(self) -> bool:
        change = self.wanted_change()
        return change is not None and not change.is_over and (self.folder / GOAL).exists()

    def save_change_goal(self, goal: "ChangeGoal | None") -> None:
        if goal is None:
            (self.folder / GOAL).unlink(missing_ok=True)
        else:
            self._write(GOAL, asdict(goal))

    def replace_recipe(self, text: str) -> None:
        """As of the same claim, whose time is the file's."""
        file = self.folder / RECIPE
        claimed = file.stat()
        write_file(file, text.encode())
        os.utime(file, ns=(claimed.st_atime_ns, claimed.st_mtime_ns))

    def recipe_text(self) -> str:
        """As JSON."""
        return self._read_text(RECIPE, str)

    def record_supervisor(self, pid: int) -> None:
        self._write(SUPERVISOR_FILE, asdict(record_process(pid)))

    def supervisor(self) -> int | None:
        """The pid of the supervisor if it lives: same pid, start time and boot."""
        found = self.supervisor_record()
        return found.pid if found and found.lives else None

    def elsewhere(self) -> str:
        """The machine that its supervisor was started on, where that is another one: a home may be
        shared. Empty: this one, or it isn't known."""
        found = self.supervisor_record()
        return found.elsewhere if found else ""

    def supervisor_record(self) -> RecordedProcess | None:
        """Whether it lives or not. None: none was recorded, or it can't be read."""
        try:
            return parse_json(RecordedProcess, read_own_file(self.folder / SUPERVISOR_FILE))
        except (OSError, ValueError):
            return None

    def successor(self) -> str:
        """The name of the run that takes over from it. Empty: none does."""
        return self._read(SUCCESSOR, str) if (self.folder / SUCCESSOR).exists() else ""

    def save_successor(self, name: str) -> None:
        self._write_text(SUCCESSOR, name)

    def predecessor(self) -> str | None:
        return self._read(PREDECESSOR, str) if (self.folder / PREDECESSOR).exists() else None

    def save_predecessor(self, name: str) -> None:
        self._write_text(PREDECESSOR, name)

    def job(self) -> JobHandle | None:
        """The job of Slurm's that it runs in, or waits for. None: it needs none."""
        return self._read_if_there("job.json", JobHandle)

    def save_job(self, handle: JobHandle) -> None:
        self.forget_job_end()
        self._write("job.json", asdict(handle))

    def forget_job_end(self) -> None:
        """It has come back, by a requeue."""
        (self.folder / "job-end.json").unlink(missing_ok=True)

    def script(self) -> str:
        """Its job's. Empty: it isn't kept."""
        with contextlib.suppress(OSError, ValueError):
            return read_own_file(self.folder / SCRIPT)
        return ""

    def save_script(self, text: str) -> None:
        write_file(self.folder / SCRIPT, text.encode())

    def restarts(self) -> int:
        """How often its job had been requeued when it last entered the run."""
        with contextlib.suppress(OSError, ValueError):
            return int(read_own_file(self.folder / RESTARTS))
        return 0

    def save_restarts(self, count: int) -> None:
        write_file(self.folder / RESTARTS, str(count).encode())

    def save_allocation(self, allocation: Allocation) -> None:
        self._write(ALLOCATION, asdict(allocation))

    def allocation(self) -> Allocation:
        """What its job was given."""
        return self._read(ALLOCATION, Allocation)

    def is_in_job(self) -> bool:
        """Whether steps of a job are its hosts' agents: its own, or its user's."""
        return (self.folder / ALLOCATION).exists()

    def lent_allocation(self) -> Allocation | None:
        """The one of its user's that it is in. None: it isn't in one. LaunchFailed: that can't be
        read, and a job that may be its user's must not be taken for its own."""
        try:
            found = self._read_if_there(ALLOCATION, Allocation)
        except LaunchFailed:
            job = self.job()
            raise LaunchFailed(
                f"{self.folder / ALLOCATION}: can't be read, so it isn't known whether job"
                f" {job.job if job else '?'} is the run's own or one that its user had before. A"
                " dsr1 of the version that wrote it can stop it; so does scancel, for an own one"
            ) from None
        return found if found and found.is_lent else None

    def ask_to_stop(self) -> None:
        """For a supervisor that can't be told otherwise."""
        write_file(self.folder / STOP_ASKED, b"")

    def is_asked_to_stop(self) -> bool:
        return (self.folder / STOP_ASKED).exists()

    def forget_asked_stop(self) -> None:
        (self.folder / STOP_ASKED).unlink(missing_ok=True)

    def job_end(self) -> JobInfo | None:
        """How Slurm says that the job ended; it forgets, the run doesn't."""
        return self._read_if_there("job-end.json", JobInfo)

    def save_job_end(self, info: JobInfo) -> None:
        self._write("job-end.json", asdict(info))

    def _write_text(self, name: str, text: str) -> None:
        write_file(self.folder / name, json.dumps(text).encode())

    def _save_targets(self, plan: "Plan") -> None:
        """What of it can be scraped, for a Prometheus that watches the file."""
        from dsr1.launcher.metrics.prometheus.targets import direct_groups  # it needs plans

        self._write(TARGETS, direct_groups(plan))

    def _write(self, name: str, value: object) -> None:
        write_file(self.folder / name, json.dumps(value, indent=1).encode())

    def _read(self, name: str, kind: type[Written]) -> Written:
        return self._read_json(name, lambda plain: from_plain(kind, plain, name))

    def _read_if_there(self, name: str, kind: type[Written]) -> Written | None:
        return self._read(name, kind) if (self.folder / name).exists() else None

    def _read_json(self, name: str, parse: Callable[[Any], Written]) -> Written:
        return self._read_text(name, lambda text: parse(parse_bounded(text)))

    def save_schema(self) -> None:
        write_file(self.folder / SCHEMA_FILE, str(SCHEMA).encode())

    def _refuse_newer(self) -> None:
        """LaunchFailed: a newer dsr1 has written it, and what its files say may mean something
        else. Folders from before there was a schema are read."""
        with contextlib.suppress(OSError, ValueError):
            found = int((self.folder / SCHEMA_FILE).read_text())
            if found > SCHEMA:
                raise LaunchFailed(
                    f"{self.folder}: is of a newer dsr1 (schema {found}; this one knows"
                    f" {SCHEMA}): use that one, or a newer. `dsr1 stop {self.name}` still ends the"
                    " run"
                )

    def _read_text(self, name: str, parse: Callable[[str], Written]) -> Written:
        file = self.folder / name
        if not self._is_known and name not in ENDED_BY:
            self._refuse_newer()
            self._is_known = True
        try:
            return parse(read_own_file(file))
        except (OSError, ValueError) as error:
            raise LaunchFailed(
                f"{file}: can't be read: {error}. `dsr1 stop {self.name}` still ends the run"
            ) from None
