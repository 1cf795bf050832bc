"""What an agent leaves on disk, so that its processes can be found and ended without it."""

import itertools
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.atomic import write_file
from dsr1.hosts.protocol.boot import boot_id
from dsr1.hosts.protocol.codec import parse_plan, render_plan
from dsr1.hosts.protocol.identity import start_time
from dsr1.hosts.protocol.plain import from_plain
from dsr1.hosts.protocol.process import HostPlan


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One process, or the agent. `pid` None: about to be spawned; nothing runs before its pid is
    recorded. `lineage` is the agent's, see lineage.py; 0: it could have none, or is an older
    one."""

    pid: int | None
    start_time: float
    boot_id: str
    lineage: int = 0


ABOUT_TO_SPAWN = ProcessRecord(None, 0.0, "")


def make_record(pid: int) -> ProcessRecord:
    return ProcessRecord(pid, start_time(pid) or 0.0, boot_id())


def render_record(record: ProcessRecord) -> str:
    return json.dumps(asdict(record))


def write_record(path: Path, record: ProcessRecord) -> None:
    write_file(path, render_record(record).encode() + b"\n")


def read_record(path: Path) -> ProcessRecord | None:
    """None: there is none."""
    try:
        return from_plain(ProcessRecord, json.loads(_read(path)))
    except FileNotFoundError:
        return None


def _read(path: Path) -> bytes:
    """Whatever has been put there: a FIFO that nobody writes to is empty, and no wait for ever."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        return file.read()


def agent_path(folder: Path) -> Path:
    return folder / "agent.json"


def process_path(folder: Path, name: str) -> Path:
    return folder / "processes" / f"{name}.json"


def kills_path(folder: Path) -> Path:
    """How often the kernel had killed for want of memory, noted as it grew."""
    return folder / "oom-kills"


def log_path(folder: Path, name: str) -> Path:
    return folder / "logs" / f"{name}.log"


def secret_path(folder: Path, name: str) -> Path:
    return folder / "secrets" / name


def write_secrets(folder: Path, secrets: Mapping[str, str]) -> None:
    """In a folder that only we can enter; write_file closes each file to others as well."""
    (folder / "secrets").mkdir(mode=0o700, exist_ok=True)
    for name, text in secrets.items():
        if not name.replace("-", "").replace(".", "").isalnum() or name.startswith("."):
            raise ValueError(f"{name!r} is no name for a secret")
        write_file(secret_path(folder, name), text.encode())


def remove_secrets(folder: Path) -> None:
    """Of a run that is over: nobody needs them any more."""
    shutil.rmtree(folder / "secrets", ignore_errors=True)


def write_plan(folder: Path, plan: HostPlan) -> None:
    (folder / "processes").mkdir(mode=0o700, exist_ok=True)
    if (folder / "logs").is_symlink() or (folder / "logs").is_dir():
        pass
    elif plan.logs:
        _make_logs(Path(plan.logs))
        (folder / "logs").symlink_to(plan.logs)
    else:
        (folder / "logs").mkdir(mode=0o700)
    write_file(folder / "plan.json", render_plan(plan))


def _make_logs(folder: Path) -> None:
    """A restart keeps what its predecessor logged, under another name."""
    if folder.exists():
        folder.rename(
            next(name for n in itertools.count(1) if not (name := old_folder(folder, n)).exists())
        )
    folder.mkdir(mode=0o700, parents=True)


def old_folder(folder: Path, number: int) -> Path:
    return folder.with_name(f"{folder.name}~{number}")


def read_plan(folder: Path) -> HostPlan | None:
    """None: no agent came so far there."""
    try:
        return parse_plan(_read(folder / "plan.json"))
    except FileNotFoundError:
        return None
