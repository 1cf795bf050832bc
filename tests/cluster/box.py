"""One host of a cluster: the process that it lives in, and what runs on it."""

import contextlib
import os
import select
import signal
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.waiting import HANGS_S, until

from dsr1.hosts.protocol.identity import read_stat, start_time

INIT = Path(__file__).parent / "init.sh"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KINDS = ("pid", "net", "mnt", "uts", "ipc")


def namespaces(pid: int) -> frozenset[str]:
    """Those of a process, as `net:[4026531840]`; empty when it is gone."""
    found = set()
    for kind in KINDS:
        with contextlib.suppress(OSError):
            found.add(str(Path(f"/proc/{pid}/ns/{kind}").readlink()))
    return frozenset(found)


def hold(pid: int) -> list[int]:
    """Keeps its namespaces until the handles are closed: the kernel gives the number of one that is
    gone to the next, which another test's hosts may be in."""
    return [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY) for kind in KINDS]


def release(held: list[int]) -> None:
    while held:
        os.close(held.pop())


def pids_in(spaces: frozenset[str]) -> Iterator[int]:
    """Every process of the machine that is in one of the namespaces."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and namespaces(int(entry.name)) & spaces:
            yield int(entry.name)


@dataclass(slots=True)
class Box:
    """`folder` outlives a crash: it holds the disk (etc, home) and the logs. `pid` is its pid 1, 0
    when down."""

    name: str
    address: str
    cable: str
    folder: Path
    pid: int = 0
    started: float = 0.0
    spaces: frozenset[str] = frozenset()
    _held: list[int] = field(default_factory=list)
    _unshare: "subprocess.Popen[bytes] | None" = None

    @property
    def card(self) -> str:
        """The same Ethernet address after every boot, so that its neighbours' ARP tables stay
        right."""
        return "02:00:" + ":".join(f"{int(part):02x}" for part in self.address.split("."))

    @property
    def up(self) -> bool:
        return self.pid != 0 and start_time(self.pid) == self.started

    def start(self) -> None:
        """Gives it a process, and no network yet. `--kill-child` and the pipe end it with the one
        who started it."""
        (self.folder / "boot_id").write_text(f"{uuid.uuid4()}\n")
        unshare = (
            "unshare",
            "--net",
            "--uts",
            "--mount",
            "--pid",
            "--ipc",
            "--fork",
            "--kill-child",
        )
        with (self.folder / "log" / "init.log").open("ab") as log:
            self._unshare = subprocess.Popen(
                (*unshare, "bash", str(INIT), self.name),
                cwd=self.folder,
                env={"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                start_new_session=True,
            )

    def identify(self) -> None:
        """Waits for its pid 1, and records it."""
        self.pid = int(self._next_line())
        self.started = start_time(self.pid) or 0.0
        self.spaces = namespaces(self.pid) - namespaces(os.getpid())
        self._held = hold(self.pid)
        (self.folder / "pid").write_text(f"{self.pid} {self.started:.0f}\n")

    def set_up_network(self) -> None:
        """To be called once it has an eth0."""
        assert self._unshare is not None
        assert self._unshare.stdin is not None
        self._unshare.stdin.write(f"{self.address}\n".encode())

    def wait_ready(self) -> None:
        if (said := self._next_line()) != "ready":
            raise RuntimeError(f"{self.name} said {said!r}, not ready")
        until(self.serves, f"sshd of {self.name} listens")
        until(self.linked, f"the link of {self.name}")

    def listens(self) -> bool:
        """Whether something listens on port 22 (0x16) there; 0A is LISTEN."""
        try:
            lines = Path(f"/proc/{self.pid}/net/tcp").read_text().splitlines()[1:]
        except OSError:
            return False
        return any(line.split()[1].endswith(":0016") and line.split()[3] == "0A" for line in lines)

    def serves(self) -> bool:
        """Whether sshd listens, and has written down its pid, which it does after."""
        return self.listens() and Path(f"/proc/{self.pid}/root/run/sshd.pid").exists()

    def linked(self) -> bool:
        """Whether its end of the cable knows of the other: the kernel tells it with a delay."""
        state = Path(f"/proc/{self.pid}/root/sys/class/net/eth0/operstate")
        return state.exists() and state.read_text() == "up\n"

    def kill(self) -> None:
        """The kernel ends every process of a pid namespace with its pid 1."""
        if self.up:
            os.kill(self.pid, signal.SIGKILL)
        self.pid = 0

    def reap(self) -> None:
        """Waits until nothing of it is alive, and says so; its namespaces end with it."""
        if self._unshare is not None:
            for pipe in (self._unshare.stdin, self._unshare.stdout):
                if pipe is not None:
                    pipe.close()
            self._unshare.wait(HANGS_S)
            self._unshare = None
        until(lambda: not any(pids_in(self.spaces)), f"the end of every process of {self.name}")
        self.spaces = frozenset()
        release(self._held)

    def processes(self, uid: int | None = None) -> list[tuple[int, str]]:
        """(pid as the host itself sees it, command line) of whatever is alive on it, of one user or
        all."""
        mine = frozenset(space for space in self.spaces if space.startswith("pid:"))
        return sorted(told for pid in pids_in(mine) if (told := _tell(pid, uid)) is not None)

    def _next_line(self) -> str:
        assert self._unshare is not None
        assert self._unshare.stdout is not None
        pipe = self._unshare.stdout.fileno()
        readable, _, _ = select.select([pipe], [], [], HANGS_S)
        said = os.read(pipe, 100).decode().strip() if readable else ""
        if not said:
            log = (self.folder / "log" / "init.log").read_text()
            raise RuntimeError(f"{self.name} did not start: {log.strip() or 'it says nothing'}")
        return said


def _tell(pid: int, uid: int | None) -> tuple[int, str] | None:
    stat = read_stat(pid)
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return None
    status = {line.partition(":")[0]: line.partition(":")[2].split() for line in lines}
    if stat is None or not stat.alive or (uid is not None and int(status["Uid"][0]) != uid):
        return None
    return int(status["NSpid"][-1]), b" ".join(argv).decode(errors="replace")
