"""What a part of the preparation can ask for, and what all of them read from a host's probe."""

from collections.abc import Callable

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.prep import CommandStep, FileState, HostProbe, Sysctl, SystemdUnit


@dataclass(frozen=True, slots=True)
class FileRewrite:
    """A new text for a file, made of the one it has (empty: it isn't there). Several may change one
    file."""

    why: str
    path: str
    new: Callable[[str], str]
    settle: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PrepNote:
    """What is left to a person (WARN), prevents the change (FAIL), can't be known (UNKNOWN), or
    isn't needed here (SKIP)."""

    verdict: str
    seen: str
    wanted: str
    fix: str = ""
    reboot: bool = False

    def as_finding(self, host: str, check: str) -> Finding:
        return Finding(host, check, self.verdict, self.seen, self.wanted, self.fix)


PrepPart = FileRewrite | Sysctl | CommandStep | PrepNote
RELOAD = ("systemctl", "daemon-reload")


def file_at(probe: HostProbe, path: str) -> FileState:
    return next((file for file in probe.files if file.path == path), FileState(path, "absent"))


def texts_below(probe: HostProbe, *folders: str) -> list[FileState]:
    """Files of drop-in folders as they are read: by name, one in an earlier folder hiding its
    namesakes.

    ValueError: one can't be read, and what it says would be overruled.
    """
    found: dict[str, FileState] = {}
    for folder in folders:
        for file in probe.files:
            above, _, name = file.path.rpartition("/")
            if above == folder and name.endswith(".conf") and file.kind != "absent":
                found.setdefault(name, file)
    return [readable(found[name]) for name in sorted(found)]


def readable(file: FileState) -> FileState:
    if file.problem:
        raise ValueError(f"{file.path} can't be read: {file.problem}")
    return file


def folders_of(name: str) -> tuple[str, ...]:
    """Where systemd and kmod look for `name`, the first winning."""
    return tuple(
        f"{root}/{name}" for root in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")
    )


def service_of(probe: HostProbe, name: str) -> SystemdUnit | None:
    return next((service for service in probe.services if service.name == name), None)


def package(probe: HostProbe, debian: str, rhel: str) -> str:
    return {"debian": f"apt install {debian}", "rhel": f"dnf install {rhel}"}.get(
        probe.family, f"{debian} or {rhel}"
    )
