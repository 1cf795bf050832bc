"""What would change on a host, from what it told: steps for its agent, and notes for a person.
Pure."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from dsr1.env.prep.driver import fix_regkeys
from dsr1.env.prep.kernel import fix_numa_balancing, fix_reserved_ports, fix_thread_limits
from dsr1.env.prep.limits import fix_memlock, fix_nofile, fix_nproc
from dsr1.env.prep.modules import fix_driver, fix_gdrcopy, fix_peermem, fix_verbs
from dsr1.env.prep.parts import FileRewrite, PrepNote, PrepPart, file_at
from dsr1.env.prep.persistence import fix_persistence
from dsr1.env.prep.shm import fix_shm
from dsr1.env.prep.texts import oddity
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
    "sys.nproc": lambda seen: chain(fix_nproc(seen), fix_thread_limits(seen)),
    "gpu.persistence": fix_persistence,
    "sys.shm": fix_shm,
    "sys.numa_balancing": fix_numa_balancing,
}
PORTS = "net.ephemeral"
IDS = (*PARTS, PORTS)
"""Each part is named by the check that it mends."""


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
    host: str, seen: HostProbe, ports: Sequence[int], ids: Collection[str] = IDS
) -> Preparation:
    wanted = [
        (check, part) for check in IDS if check in ids for part in _parts_of(check, seen, ports)
    ]
    blocked = dict(_blocked(seen, wanted))
    notes = [(check, part) for check, part in wanted if isinstance(part, PrepNote)] + list(
        blocked.items()
    )
    clear = [(check, part) for check, part in wanted if check not in blocked]
    edits = tuple(
        _edits(seen, [(check, part) for check, part in clear if isinstance(part, FileRewrite)])
    )
    due = {edit.settle for edit in edits}
    steps = PrepSteps(
        edits=edits,
        settle=tuple(command for command in seen.journal.owed if command not in due),
        settings=tuple(part for _, part in clear if isinstance(part, Sysctl)),
        commands=tuple(part for _, part in clear if isinstance(part, CommandStep)),
    )
    findings = tuple(Finding(host, check, n.verdict, n.seen, n.wanted, n.fix) for check, n in notes)
    return Preparation(steps, findings, any(note.reboot for _, note in notes))


def _parts_of(check: str, seen: HostProbe, ports: Sequence[int]) -> Iterator[PrepPart]:
    """As far as what the host told can be read and makes sense."""
    try:
        yield from fix_reserved_ports(seen, ports) if check == PORTS else PARTS[check](seen)
    except ValueError as error:
        yield PrepNote(
            "UNKNOWN", str(error), "what can be read", "Log in as root, or look at it by hand."
        )


def _blocked(
    seen: HostProbe, wanted: Sequence[tuple[str, PrepPart]]
) -> Iterator[tuple[str, PrepNote]]:
    """Files that we leave alone, and so everything that the same check asks for."""
    for check, part in wanted:
        if isinstance(part, FileRewrite):
            file = file_at(seen, part.path)
            if why := _hindrance(file) or _read_only(seen, part.path):
                yield (
                    check,
                    PrepNote(
                        "FAIL",
                        f"{part.path}: {why}",
                        "a file that can be changed",
                        "Change it by hand.",
                    ),
                )


def _hindrance(file: FileState) -> str:
    if file.kind == "link":
        return f"it is a link to {file.target}, which others may share"
    if file.kind in ("folder", "other"):
        return f"{'a folder' if file.kind == 'folder' else 'a special file'} is there"
    return file.problem or oddity(file.text)


def _read_only(seen: HostProbe, path: str) -> str:
    """Hosts that boot from an image have such folders."""
    return next(
        (
            f"{folder} is mounted read-only"
            for folder in seen.read_only
            if path.startswith(f"{folder}/")
        ),
        "",
    )


def _edits(seen: HostProbe, rewrites: Sequence[tuple[str, FileRewrite]]) -> Iterator[FileEdit]:
    """One a file, however many parts change it."""
    for path in dict.fromkeys(rewrite.path for _, rewrite in rewrites):
        mine = [(check, rewrite) for check, rewrite in rewrites if rewrite.path == path]
        file = file_at(seen, path)
        text = file.text
        for _, rewrite in mine:
            text = rewrite.new(text)
        checks = tuple(dict.fromkeys(check for check, _ in mine))
        why = "\n".join(dict.fromkeys(rewrite.why for _, rewrite in mine))
        settle = next((rewrite.settle for _, rewrite in mine if rewrite.settle), ())
        yield FileEdit(
            checks, why, path, None if file.kind == "absent" else file.text, text, settle
        )
