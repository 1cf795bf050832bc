"""The files that a host is made of, and which of the machine's directories it sees."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.waiting import HANGS_S

ROOT = Path(__file__).resolve().parents[2]
USERS = {"launch": 2000, "other": 2001}
# A host has these to itself, empty at every boot. The mode is the directory's.
OWN = {
    "/tmp": 0o1777,
    "/var/tmp": 0o1777,
    "/dev/shm": 0o1777,
    "/run": 0o755,
    "/home": 0o755,
    "/root": 0o755,
}

SSHD = """\
AddressFamily inet
HostKey /etc/ssh/host_key
PidFile /run/sshd.pid
PermitRootLogin no
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
PrintLastLog no
MaxStartups 200
LogLevel VERBOSE
Subsystem sftp internal-sftp
"""


def make_key(file: Path, comment: str) -> str:
    """A new key pair; gives the public half, as `type key`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(file)),
        check=True,
        timeout=HANGS_S,
    )
    return " ".join(file.with_suffix(".pub").read_text().split()[:2])


def render_hosts(addresses: Mapping[str, str], name: str, loopback_name: bool) -> str:
    """With `loopback_name` the host knows itself as 127.0.1.1, as Debian's installer writes it."""
    known = {**addresses, name: "127.0.1.1"} if loopback_name else addresses
    return "".join(
        f"{address} {host}\n" for host, address in {"localhost": "127.0.0.1", **known}.items()
    )


def build_clock(library: Path) -> None:
    compiler = ("cc", "-O1", "-shared", "-fPIC", "-o", str(library))
    subprocess.run(
        (*compiler, str(Path(__file__).with_name("clock.c"))), check=True, timeout=HANGS_S
    )


def write_etc(etc: Path, name: str, hosts: str) -> None:
    """What differs from the machine's own /etc."""
    etc.mkdir(parents=True, exist_ok=True)
    (etc / "hosts").write_text(hosts)
    (etc / "ld.so.preload").write_text("/etc/clock.so\n")
    (etc / "hostname").write_text(f"{name}\n")
    (etc / "resolv.conf").write_text("")
    (etc / "nsswitch.conf").write_text(
        "passwd: files\ngroup: files\nshadow: files\nhosts: files\nnetworks: files\n"
    )
    (etc / "ssh").mkdir(exist_ok=True)
    (etc / "ssh" / "sshd_config").write_text(SSHD)
    users = [f"{user}:x:{uid}:{uid}::/home/{user}:/bin/bash" for user, uid in USERS.items()]
    sshd = "sshd:x:2999:65534::/run/sshd:/usr/sbin/nologin"
    _write_accounts(etc / "passwd", [*users, sshd])
    _write_accounts(etc / "group", [f"{user}:x:{uid}:" for user, uid in USERS.items()])
    _write_accounts(etc / "shadow", [f"{user}:*:19000:0:99999:7:::" for user in (*USERS, "sshd")])
    (etc / "shadow").chmod(0o600)


def _write_accounts(file: Path, lines: Sequence[str]) -> None:
    """The machine's own lines, less those of the same name or number."""
    names = {line.split(":")[0] for line in lines}
    ids = {line.split(":")[2] for line in lines} if file.name != "shadow" else set()
    own = [line.split(":") for line in Path("/etc", file.name).read_text().splitlines()]
    kept = [":".join(parts) for parts in own if parts[0] not in names and not {parts[2]} & ids]
    file.write_text("\n".join([*kept, *lines]) + "\n")


def write_home(homes: Path, key: Path, known_hosts: str) -> None:
    """A home for each user; `launch` can log in with its key anywhere, and knows every host."""
    for user, uid in USERS.items():
        ssh = homes / user / ".ssh"
        ssh.mkdir(parents=True)
        (ssh / "known_hosts").write_text(known_hosts)
        if user == "launch":
            shutil.copy(key, ssh / "id_ed25519")
            shutil.copy(key.with_suffix(".pub"), ssh / "id_ed25519.pub")
            shutil.copy(key.with_suffix(".pub"), ssh / "authorized_keys")
        for path in (homes / user, ssh, *ssh.iterdir()):
            path.chmod(0o700 if path.is_dir() else 0o600)
            os.chown(path, uid, uid)


def write_view(box: Path, homes: Path) -> None:
    """`covers` (mode, directory) are the host's own directories, `shown` (kind, source, where) what
    lies in them: to write (bind), to read, or to change in memory alone (copy)."""
    for folder in ("work", "log"):
        (box / folder).mkdir(exist_ok=True)
    covers = dict(OWN)
    shown = [
        ("bind", box / "log", "/var/log"),
        *(("bind", homes / user, f"work/covers/home/{user}") for user in USERS),
    ]
    for path in _needed():
        shut = _first_shut(path.parent)
        if shut is not None and not _below(shut, covers):
            covers[str(shut)] = 0o755
        where = f"work/covers{path}" if _below(path, covers) else str(path)
        kind = "read" if _open(path) else "copy"
        if (kind, where) != ("read", str(path)):
            shown.append((kind, path, where))
    (box / "covers").write_text("".join(f"{mode:o}\t{path}\n" for path, mode in covers.items()))
    (box / "shown").write_text(
        "".join(f"{kind}\t{source}\t{where}\n" for kind, source, where in shown)
    )


def _needed() -> list[Path]:
    """The checkout, what it keeps in its cache, and the Python installations that the two
    environments stand on."""
    cache = ROOT / ".cache"
    found = [
        ROOT,
        cache,
        cache / "runtime",
        cache / "tiny-model",
        Path(sys.prefix),
        Path(sys.base_prefix),
    ]
    found += _bases(Path(sys.prefix)) + _bases(cache / "runtime")
    paths = sorted({form for path in found if path.exists() for form in (path, path.resolve())})
    return [
        path
        for path in paths
        if path != Path("/usr") and not any(parent in paths for parent in path.parents)
    ]


def _bases(environment: Path) -> list[Path]:
    """The installation that a virtual environment was made with."""
    config = environment / "pyvenv.cfg"
    lines = config.read_text().splitlines() if config.exists() else []
    return [
        Path(line.split("=", 1)[1].strip()).parent
        for line in lines
        if line.split("=")[0].strip() == "home"
    ]


def _downwards(path: Path) -> Iterator[Path]:
    yield from reversed((path, *path.parents))


def _open(path: Path) -> bool:
    """Whether every user can look into it."""
    return path.stat().st_mode & 0o005 == 0o005


def _first_shut(path: Path) -> Path | None:
    """The topmost directory on the way there that other users cannot pass."""
    return next((step for step in _downwards(path) if not step.stat().st_mode & 0o001), None)


def _below(path: Path, covers: Mapping[str, int]) -> bool:
    return any(str(step) in covers for step in _downwards(path))
