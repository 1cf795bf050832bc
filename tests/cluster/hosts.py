"""A cluster of hosts with sshd on this machine: each its own network, processes, mounts, host name
and boot id."""

import shutil
import struct
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.cluster.box import PATH, Box, hold, namespaces, pids_in, release
from tests.cluster.layout import (
    USERS,
    build_clock,
    make_key,
    render_hosts,
    write_etc,
    write_home,
    write_view,
)
from tests.waiting import HANGS_S, until

LOGIN = "login"
Completed = subprocess.CompletedProcess[str]
TOOLS = {"sshd": "openssh-server", "ssh": "openssh-client", "ip": "iproute2"}
TOOLS |= {"sudo": "sudo", "nft": "nftables", "curl": "curl"}
"""The Debian package of each."""


class Cluster:
    """`login`, where the launching side runs, and the named hosts, on one bridge: 10.77.0.1 and
    upwards.

    Every host can read the machine's files and write none of them, except that /etc and /usr/local
    are its own copies, and /home, /tmp, /run, /root, /var/tmp, /var/log and /dev/shm its own. The
    checkout and its Python environments lie at the paths they have. Users: `launch` (2000), whose
    key every host takes, and `other` (2001), whom none lets in.
    """

    def __init__(self, folder: Path, boxes: Sequence[Box]) -> None:
        self.folder = folder
        self.boxes = {box.name: box for box in boxes}
        self._bridge: subprocess.Popen[bytes] | None = None
        self._spaces: frozenset[str] = frozenset()
        self._held: list[int] = []

    @classmethod
    def up(
        cls,
        folder: Path,
        names: Sequence[str],
        *,
        shared_home: bool = False,
        loopback_names: Collection[str] = (),
    ) -> "Cluster":
        """`loopback_names` are the hosts whose own name means 127.0.1.1 to them, as on Debian."""
        made = cls(folder, make_boxes(folder, (LOGIN, *names), shared_home, loopback_names))
        try:
            made._start_bridge()
            made._start(tuple(made.boxes.values()))
        except BaseException:
            made.down()
            raise
        return made

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.down()

    def command(
        self,
        box: str,
        argv: Sequence[str],
        user: str = "launch",
        env: Mapping[str, str] | None = None,
    ) -> tuple[str, ...]:
        """What `run` runs, for Popen: in a session of its own, in the user's home; it dies with the
        nsenter process."""
        home = "/root" if user == "root" else f"/home/{user}"
        told = {
            "HOME": home,
            "USER": user,
            "LOGNAME": user,
            "SHELL": "/bin/bash",
            "PATH": PATH,
            "LANG": "C.UTF-8",
        }
        given = [f"{name}={value}" for name, value in (told | dict(env or {})).items()]
        enter = ("nsenter", "-t", str(self._alive(box).pid), "-m", "-u", "-i", "-n", "-p")
        become = (
            "setpriv",
            "--reuid",
            user,
            "--regid",
            user,
            "--init-groups",
            "--pdeathsig",
            "KILL",
            "setsid",
        )
        return (*enter, *become, "env", "-i", "-C", home, *given, *argv)

    def run(
        self,
        box: str,
        argv: Sequence[str],
        user: str = "launch",
        env: Mapping[str, str] | None = None,
        timeout: float = HANGS_S,
    ) -> Completed:
        command = self.command(box, argv, user, env)
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def path(self, box: str, inside: str) -> Path:
        """Where the test finds a file of a host that is up."""
        return Path(f"/proc/{self._alive(box).pid}/root", inside.lstrip("/"))

    def processes(self, box: str, user: str | None = None) -> list[tuple[int, str]]:
        """(pid as the host sees it, command line) of what is alive there; nothing when it is
        down."""
        return self.boxes[box].processes(USERS[user] if user else None)

    def crash(self, box: str) -> None:
        """Power loss: the cable goes first, so that no peer is told by a FIN or RST."""
        if self.boxes[box].up:
            self._ip(f"link del {self.boxes[box].cable}")
        self.boxes[box].kill()
        self.boxes[box].reap()

    def boot(self, box: str) -> None:
        """With another boot id and empty memory file systems; the homes are as they were."""
        if not self.boxes[box].up:
            self._start((self.boxes[box],))

    def cut(self, box: str) -> None:
        """Pulls the cable; the host itself goes on."""
        self._ip(f"link set {self._alive(box).cable} down")

    def heal(self, box: str) -> None:
        self._ip(f"link set {self._alive(box).cable} up")
        until(self.boxes[box].linked, f"the link of {box}")
        for one in self.boxes.values():  # who asks now may hear of a question that is on its way
            if one.up:  # since before, and that nobody will answer: no route to host
                self._neighbours_forgotten(one)

    def _neighbours_forgotten(self, box: Box) -> None:
        flush = ("ip", "neigh", "flush", "dev", "eth0")
        subprocess.run(("nsenter", "-t", str(box.pid), "-n", *flush), check=True, timeout=HANGS_S)

    def set_clock(self, box: str, ahead_s: int) -> None:
        """Of all that runs there, and of what will: so far ahead of the machine's."""
        with self.path(box, "/run/clock").open("r+b") as file:  # processes have it mapped
            file.write(struct.pack("d", ahead_s))

    def stop_sshd(self, box: str) -> None:
        """No new session; those that are there stay."""
        if self.boxes[box].listens():
            self._must(box, ("sh", "-c", "kill $(cat /run/sshd.pid)"))
        until(lambda: not self.boxes[box].listens(), f"sshd of {box} stops")

    def start_sshd(self, box: str) -> None:
        if not self.boxes[box].listens():
            self._must(box, ("sh", "-c", 'exec "$(command -v sshd)" -E /var/log/sshd.log'))
        until(self.boxes[box].serves, f"sshd of {box} listens")

    @property
    def bridge_pid(self) -> int:
        """A process in the namespace that has the other ends of all cables."""
        assert self._bridge is not None
        return self._bridge.pid

    def down(self) -> None:
        """Ends everything, and waits until it is gone; the folder stays, for its logs. It may be
        called again."""
        for box in self.boxes.values():
            box.kill()
        if self._bridge is not None:
            self._bridge.communicate()
            self._bridge = None
        for box in self.boxes.values():
            box.reap()
        until(lambda: not any(pids_in(self._spaces)), "the end of every process of the cluster")
        release(self._held)

    def _start_bridge(self) -> None:
        """A namespace with the bridge in it, which lasts as long as a `cat` whose input this
        process holds open."""
        command = ("unshare", "--net", "cat")
        self._bridge = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._bridge.stdin is not None
        assert self._bridge.stdout is not None
        self._bridge.stdin.write(b"\n")
        self._bridge.stdin.flush()
        self._bridge.stdout.readline()
        self._held = hold(self._bridge.pid)
        self._spaces = frozenset(
            space for space in namespaces(self._bridge.pid) if space.startswith("net:")
        )
        self._ip("link add bridge type bridge", "link set bridge up")

    def _start(self, boxes: Sequence[Box]) -> None:
        """All at once, each step on every host before the next."""
        for box in boxes:
            box.start()
        for box in boxes:
            box.identify()
        plugs = [
            (
                f"link add {box.cable} type veth peer name eth0 address {box.card} netns {box.pid}",
                box.cable,
            )
            for box in boxes
        ]
        self._ip(
            *(line for add, cable in plugs for line in (add, f"link set {cable} master bridge up"))
        )
        for box in boxes:
            box.set_up_network()
        for box in boxes:
            box.wait_ready()

    def _ip(self, *lines: str) -> None:
        assert self._bridge is not None
        subprocess.run(
            ("nsenter", "-t", str(self._bridge.pid), "-n", "ip", "-batch", "-"),
            input="\n".join(lines) + "\n",
            text=True,
            check=True,
            timeout=HANGS_S,
        )

    def _alive(self, box: str) -> Box:
        if not self.boxes[box].up:
            raise RuntimeError(f"{box} is down")
        return self.boxes[box]

    def _must(self, box: str, argv: Sequence[str]) -> None:
        done = self.run(box, argv, user="root")
        if done.returncode != 0:
            raise RuntimeError(f"{box}: {argv}: {done.stderr}")


def make_boxes(
    folder: Path,
    names: Sequence[str],
    shared_home: bool = False,
    loopback_names: Collection[str] = (),
) -> list[Box]:
    """Writes what the hosts are made of: keys, accounts, homes, and their view of the machine."""
    addresses = {name: f"10.77.{(n + 1) // 256}.{(n + 1) % 256}" for n, name in enumerate(names)}
    boxes = [Box(name, addresses[name], f"v{n}", folder / name) for n, name in enumerate(names)]
    keys = {box.name: make_key(box.folder / "etc" / "ssh" / "host_key", box.name) for box in boxes}
    known_hosts = "".join(f"{name},{addresses[name]} {key}\n" for name, key in keys.items())
    key, clock = folder / "key", folder / "clock.so"
    make_key(key, "launch")
    build_clock(clock)
    for box in boxes:
        homes = folder / "home" if shared_home else box.folder / "home"
        if not homes.exists():
            write_home(homes, key, known_hosts)
        write_etc(
            box.folder / "etc",
            box.name,
            render_hosts(addresses, box.name, box.name in loopback_names),
        )
        shutil.copy(clock, box.folder / "etc")
        write_view(box.folder, homes)
        (box.folder / "boot_id").touch()
    return boxes
