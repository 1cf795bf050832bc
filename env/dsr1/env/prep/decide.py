"""What would change on a host, decided from its probe: steps for its agent, and notes for a person.
Pure."""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain
from typing import TypeVar

from dsr1.env.prep.driver import fix_regkeys
from dsr1.env.prep.kernel import fix_numa_balancing, fix_reserved_ports, fix_thread_limits
from dsr1.env.prep.limits import fix_memlock, fix_nofile, fix_nproc
from dsr1.env.prep.modules import fix_driver, fix_gdrcopy, fix_peermem, fix_verbs
from dsr1.env.prep.parts import FileRewrite, PrepNote, PrepPart, file_at
from dsr1.env.prep.persistence import fix_persistence
from dsr1.env.prep.shm import fix_shm
from dsr1.env.prep.texts import oddity
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.prep import CommandStep, FileEdit, FileState, HostProbe, PrepSteps, Sysctl

PARTS: dict[str, Callable[[HostProbe], Iterator[PrepPart]]] = {
    "sys.modules": fix_driver,
    "ibgda.params": fix_regkeys,
    "ibgda.gdrcopy": fix_gdrcopy,
    "ibgda.mem_reg": fix_peermem,
    "ib.uverbs": fix_verbs,
    "sys.memlock": fix_memlock,
    "sys.nofile": fix_nofile,
    "sys.nproc": lambda probe: chain(fix_nproc(probe), fix_thread_limits(probe)),
    "gpu.persistence": fix_persistence,
    "sys.shm": fix_shm,
    "sys.numa_balancing": fix_numa_balancing,
}
PORTS = "net.ephemeral"
IDS = (*PARTS, PORTS)
"""Each part is named by the check that it mends."""


PartT = TypeVar("PartT")
CheckedPart = tuple[str, PrepPart]
"""A part, and the check that it mends."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """What would be done on a host, and what is left to a person."""

    steps: PrepSteps
    findings: tuple[Finding, ...]
    reboot: bool = False

    @property
    def hindered(self) -> bool:
        return any(finding.verdict == "FAIL" for finding in self.findings)


def decide(
    host: str, probe: HostProbe, ports: Sequence[int], ids: Collection[str] = IDS
) -> Preparation:
    parts = [
        (check, part) for check in IDS if check in ids for part in _parts_of(check, probe, ports)
    ]
    obstacles = _obstacles(probe, parts)
    notes = [*_of_kind(parts, PrepNote), *obstacles.items()]
    clear = [(check, part) for check, part in parts if check not in obstacles]
    findings = tuple(note.as_finding(host, check) for check, note in notes)
    return Preparation(_steps(probe, clear), findings, any(note.reboot for _, note in notes))


def _steps(probe: HostProbe, parts: Sequence[CheckedPart]) -> PrepSteps:
    edits = tuple(_edits(probe, _of_kind(parts, FileRewrite)))
    settled = {edit.settle for edit in edits}
    return PrepSteps(
        edits=edits,
        settle=tuple(command for command in probe.journal.owed if command not in settled),
        settings=tuple(setting for _, setting in _of_kind(parts, Sysctl)),
        commands=tuple(command for _, command in _of_kind(parts, CommandStep)),
    )


def _of_kind(parts: Sequence[CheckedPart], kind: type[PartT]) -> list[tuple[str, PartT]]:
    return [(check, part) for check, part in parts if isinstance(part, kind)]


def _parts_of(check: str, probe: HostProbe, ports: Sequence[int]) -> Iterator[PrepPart]:
    """As far as the host's files can be read and make sense."""
    try:
        yield from fix_reserved_ports(probe, ports) if check == PORTS else PARTS[check](probe)
    except ValueError as error:
        fix = "Log in as root, or look at it by hand."
        yield PrepNote("UNKNOWN", str(error), "files that can be read", fix)


def _obstacles(probe: HostProbe, parts: Sequence[CheckedPart]) -> dict[str, PrepNote]:
    """By check, a file that must be left alone: nothing else of that check is done either."""
    found = {}
    for check, rewrite in _of_kind(parts, FileRewrite):
        problem = _problem_of(file_at(probe, rewrite.path)) or _read_only(probe, rewrite.path)
        if problem:
            seen = f"{rewrite.path}: {problem}"
            found[check] = PrepNote(
                "FAIL", seen, "a file that can be changed", "Change it by hand."
            )
    return found


def _problem_of(file: FileState) -> str:
    if file.kind == "link":
        return f"it is a link to {file.target}, which others may share"
    if file.kind == "folder":
        return "it is a folder"
    if file.kind == "other":
        return "it is a special file"
    return file.problem or oddity(file.text)


def _read_only(probe: HostProbe, path: str) -> str:
    """Hosts that boot from an image have such folders."""
    for folder in probe.read_only:
        if path.startswith(f"{folder}/"):
            return f"{folder} is mounted read-only"
    return ""


def _edits(probe: HostProbe, rewrites: Sequence[tuple[str, FileRewrite]]) -> Iterator[FileEdit]:
    """One for each file, however many parts change it."""
    by_path: dict[str, list[tuple[str, FileRewrite]]] = {}
    for check, rewrite in rewrites:
        by_path.setdefault(rewrite.path, []).append((check, rewrite))
    for path, of_file in by_path.items():
        yield _edit(file_at(probe, path), of_file)


def _edit(file: FileState, rewrites: Sequence[tuple[str, FileRewrite]]) -> FileEdit:
    text = file.text
    for _, rewrite in rewrites:
        text = rewrite.new(text)
    return FileEdit(
        checks=tuple(dict.fromkeys(check for check, _ in rewrites)),
        why="\n".join(dict.fromkeys(rewrite.why for _, rewrite in rewrites)),
        path=file.path,
        before=None if file.kind == "absent" else file.text,
        after=text,
        settle=next((rewrite.settle for _, rewrite in rewrites if rewrite.settle), ()),
    )
