"""What would change on a host, from what it told: steps for its agent, and notes for a person.
Pure."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from dsr1.env.prep.driver import regkeys
from dsr1.env.prep.kernel import numa_balancing, reserved_ports, threads
from dsr1.env.prep.limits import memlock, nofile, nproc
from dsr1.env.prep.modules import driver, gdrcopy, peermem, verbs
from dsr1.env.prep.parts import Note, Part, Rewrite, file_at
from dsr1.env.prep.persistence import persistence
from dsr1.env.prep.shm import shm
from dsr1.env.prep.texts import oddity
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.prep import Command, Edit, File, Seen, Setting, Steps

PARTS: dict[str, Callable[[Seen], Iterator[Part]]] = {
    "sys.modules": driver,
    "ibgda.params": regkeys,
    "ibgda.gdrcopy": gdrcopy,
    "ibgda.mem_reg": peermem,
    "ib.uverbs": verbs,
    "sys.memlock": memlock,
    "sys.nofile": nofile,
    "sys.nproc": lambda seen: chain(nproc(seen), threads(seen)),
    "gpu.persistence": persistence,
    "sys.shm": shm,
    "sys.numa_balancing": numa_balancing,
}
PORTS = "net.ephemeral"
IDS = (*PARTS, PORTS)
"""Each part is named by the check that it mends."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """What would be done on a host, and what is left to a person."""

    steps: Steps
    findings: tuple[Finding, ...]
    reboot: bool = False

    @property
    def hindered(self) -> bool:
        return any(finding.verdict == "FAIL" for finding in self.findings)


def decide(host: str, seen: Seen, ports: Sequence[int], ids: Collection[str] = IDS) -> Preparation:
    wanted = [
        (check, part) for check in IDS if check in ids for part in _parts_of(check, seen, ports)
    ]
    blocked = dict(_blocked(seen, wanted))
    notes = [(check, part) for check, part in wanted if isinstance(part, Note)] + list(
        blocked.items()
    )
    clear = [(check, part) for check, part in wanted if check not in blocked]
    edits = tuple(
        _edits(seen, [(check, part) for check, part in clear if isinstance(part, Rewrite)])
    )
    due = {edit.settle for edit in edits}
    steps = Steps(
        edits=edits,
        settle=tuple(command for command in seen.journal.owed if command not in due),
        settings=tuple(part for _, part in clear if isinstance(part, Setting)),
        commands=tuple(part for _, part in clear if isinstance(part, Command)),
    )
    findings = tuple(Finding(host, check, n.verdict, n.seen, n.wanted, n.fix) for check, n in notes)
    return Preparation(steps, findings, any(note.reboot for _, note in notes))


def _parts_of(check: str, seen: Seen, ports: Sequence[int]) -> Iterator[Part]:
    """As far as what the host told can be read and makes sense."""
    try:
        yield from reserved_ports(seen, ports) if check == PORTS else PARTS[check](seen)
    except ValueError as error:
        yield Note(
            "UNKNOWN", str(error), "what can be read", "Log in as root, or look at it by hand."
        )


def _blocked(seen: Seen, wanted: Sequence[tuple[str, Part]]) -> Iterator[tuple[str, Note]]:
    """Files that we leave alone, and so everything that the same check asks for."""
    for check, part in wanted:
        if isinstance(part, Rewrite):
            file = file_at(seen, part.path)
            if why := _hindrance(file) or _read_only(seen, part.path):
                yield (
                    check,
                    Note(
                        "FAIL",
                        f"{part.path}: {why}",
                        "a file that can be changed",
                        "Change it by hand.",
                    ),
                )


def _hindrance(file: File) -> str:
    if file.kind == "link":
        return f"it is a link to {file.target}, which others may share"
    if file.kind in ("folder", "other"):
        return f"{'a folder' if file.kind == 'folder' else 'a special file'} is there"
    return file.problem or oddity(file.text)


def _read_only(seen: Seen, path: str) -> str:
    """Hosts that boot from an image have such folders."""
    return next(
        (
            f"{folder} is mounted read-only"
            for folder in seen.read_only
            if path.startswith(f"{folder}/")
        ),
        "",
    )


def _edits(seen: Seen, rewrites: Sequence[tuple[str, Rewrite]]) -> Iterator[Edit]:
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
        yield Edit(checks, why, path, None if file.kind == "absent" else file.text, text, settle)
