"""Node preparation: what is found on a host, the steps that it is asked for, how each ended.

Texts of files are their bytes as UTF-8; what isn't UTF-8 is kept by surrogate escapes, and comes
back as it was.
"""

from dsr1.hosts.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class FileState:
    """`kind`: absent, file, folder, link (its text is the target's) or other. `problem`: why it
    couldn't be read."""

    path: str
    kind: str
    text: str = ""
    problem: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class SystemdUnit:
    """A unit of systemd's that the host has."""

    name: str
    enabled: bool
    active: bool


@dataclass(frozen=True, slots=True)
class Gpus:
    """`on_bus`: by PCI. `persistence` of each by NVML, or why NVML has
    none."""

    on_bus: int
    persistence: tuple[int, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Driver:
    """NVIDIA's kernel module. Without it loaded, no parameters. `dma_buf`: adapters need no module
    to reach GPUs."""

    params: tuple[tuple[str, str], ...] = ()
    dma_buf: bool = False
    peermem: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """Who asked; `origin` is ssh, slurm or shell. Limits as this session has them; -1 is
    unlimited."""

    user: str
    uid: int
    groups: tuple[str, ...]
    origin: str
    memlock: int
    nofile: int
    nproc: int


@dataclass(frozen=True, slots=True)
class Memory:
    """In bytes."""

    total: int
    shm: int


@dataclass(frozen=True, slots=True)
class FileEdit:
    """A file's text, before (None: it isn't there) and after. `settle` runs once after such edits
    and their undoing."""

    checks: tuple[str, ...]
    why: str
    path: str
    before: str | None
    after: str
    settle: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A kernel variable, by its dotted name."""

    checks: tuple[str, ...]
    why: str
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class CommandStep:
    """Something that no file holds. Without `undo` there is nothing to undo, or a reboot does
    it."""

    checks: tuple[str, ...]
    why: str
    do: tuple[str, ...]
    undo: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EditRecord:
    """An edit that was begun. States are `files.state_of`'s, empty for a file that wasn't there.

    `after` has two while a file of ours is changed again. `backup` is a name in the store,
    `folders` are those we made.
    """

    path: str
    before: str
    after: tuple[str, ...]
    backup: str = ""
    folders: tuple[str, ...] = ()
    settle: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PrepJournal:
    """What was done to a host, oldest first. `owed`: commands that are due since an edit, or its
    undoing."""

    edits: tuple[EditRecord, ...] = ()
    settings: tuple[Sysctl, ...] = ()
    commands: tuple[CommandStep, ...] = ()
    owed: tuple[tuple[str, ...], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.edits or self.settings or self.commands or self.owed)

    def owing(self, command: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """`owed`, with a command that is now, unless it is empty."""
        return self.owed if not command or command in self.owed else (*self.owed, command)


@dataclass(frozen=True, slots=True)
class HostProbe:
    """What was found on a host, and what dsr1 did to it before."""

    system: str
    family: str
    session: Session
    memory: Memory
    gpus: Gpus
    driver: Driver
    adapters: int
    loaded: tuple[str, ...]
    available: tuple[str, ...]
    files: tuple[FileState, ...]
    sysctls: tuple[tuple[str, str], ...]
    services: tuple[SystemdUnit, ...]
    tools: tuple[str, ...]
    read_only: tuple[str, ...] = ()
    journal: PrepJournal = PrepJournal()
    journal_problem: str = ""


@dataclass(frozen=True, slots=True)
class PrepSteps:
    """In the order in which they are done; `settle` is owed from before."""

    edits: tuple[FileEdit, ...] = ()
    settle: tuple[tuple[str, ...], ...] = ()
    settings: tuple[Sysctl, ...] = ()
    commands: tuple[CommandStep, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.edits or self.settle or self.settings or self.commands)


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """`state`: done, failed, skipped (a step that it needs failed) or refused (the host has
    changed since it was probed)."""

    what: str
    state: str
    problem: str = ""


def outcome_of(what: str, problem: str) -> StepOutcome:
    """Of a step that was tried; without a problem it is done."""
    return StepOutcome(what, "failed" if problem else "done", problem)


@dataclass(frozen=True, slots=True)
class PrepReport:
    """What became of the steps, one by one."""

    outcomes: tuple[StepOutcome, ...]

    @property
    def bad(self) -> tuple[StepOutcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.state != "done")
