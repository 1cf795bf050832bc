"""Files of known host keys, as ssh itself reads them: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT."""

import base64
import contextlib
import fnmatch
import functools
import hmac
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dsr1.hosts.dataclass import dataclass

SSH_PORT = 22
KEY, AUTHORITY, REVOKED = "", "@cert-authority", "@revoked"
_SYSTEM = (Path("/etc/ssh/ssh_known_hosts"), Path("/etc/ssh/ssh_known_hosts2"))


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A line. `names` is its list of patterns, or one hash; `key` is base64."""

    marker: str
    names: str
    kind: str
    key: str

    def is_of(self, host: str) -> bool:
        """`host` is in lower case; with another port than SSH's own it is `[host]:port`."""
        if self.names.startswith("|1|"):
            return _is_hash_of(self.names, host)
        patterns = self.names.lower().split(",")
        if any(_matches(pattern[1:], host) for pattern in patterns if pattern.startswith("!")):
            return False
        return any(_matches(pattern, host) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class HostName:
    """What a host is called in these files. `alias`: ~/.ssh/config's HostKeyAlias, with which no
    port counts."""

    host: str
    port: int
    alias: str = ""

    @property
    def written(self) -> str:
        if self.alias:
            return self.alias.lower()
        host = self.host.lower()
        return host if self.port == SSH_PORT else f"[{host}]:{self.port}"

    @property
    def without_port(self) -> str:
        """Asked for second, as ssh does: a key that is known of the host, whatever the port."""
        return self.alias.lower() or self.host.lower()


def parse_known_hosts(text: str) -> Iterator[KnownKey]:
    """What is no such line is passed over, as ssh does."""
    for line in text.splitlines():
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        marker = fields.pop(0) if fields[0].startswith("@") else KEY
        if marker in (KEY, AUTHORITY, REVOKED) and len(fields) >= 3:
            yield KnownKey(marker, *fields[:3])


def _matches(pattern: str, host: str) -> bool:
    if "*" not in pattern and "?" not in pattern:
        return pattern == host
    return _compile(pattern).match(host) is not None


@functools.cache
def _compile(pattern: str) -> re.Pattern[str]:
    """Brackets are those of `[host]:port`, not a shell's."""
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")))


def _is_hash_of(text: str, host: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in text.split("|")[2:4])
    except ValueError:
        return False
    return hmac.compare_digest(hmac.digest(salt, host.encode(), "sha1"), digest)


def hash_host(host: str) -> str:
    salt = os.urandom(20)
    digest = hmac.digest(salt, host.encode(), "sha1")
    return "|1|" + "|".join(base64.b64encode(part).decode() for part in (salt, digest))


@dataclass(frozen=True, slots=True)
class KeyVerdict:
    """Of a key that a host shows. `known`: it is the host's, `new`: nothing is known of the host.
    Else `why`."""

    known: bool = False
    new: bool = False
    revoked: bool = False
    why: str = ""


def judge_key(keys: Sequence[KnownKey], name: HostName, kind: str, key: str) -> KeyVerdict:
    """A host of which another key is known is not new, whatever that key's kind: who is between
    could choose the kind."""
    ours = [one for one in keys if one.is_of(name.written)]
    if any(one.marker == REVOKED and one.key == key for one in ours):
        return KeyVerdict(revoked=True, why="its key is revoked (@revoked)")
    known = [one for one in ours if one.marker == KEY]
    if any((one.kind, one.key) == (kind, key) for one in known):
        return KeyVerdict(known=True)
    if known:
        return KeyVerdict(why=f"its host key has changed: another {known[0].kind} key is known")
    bare = [one for one in keys if one.marker == KEY and one.is_of(name.without_port)]
    if any((one.kind, one.key) == (kind, key) for one in bare):
        return KeyVerdict(known=True)
    return KeyVerdict(new=True)


def authorities_of(keys: Iterable[KnownKey], name: HostName) -> list[str]:
    """The keys, as base64, that may sign the host's certificate."""
    ours = [one for one in keys if one.is_of(name.written)]
    revoked = {one.key for one in ours if one.marker == REVOKED}
    return [one.key for one in ours if one.marker == AUTHORITY and one.key not in revoked]


def own_files() -> tuple[Path, ...]:
    folder = Path.home() / ".ssh"
    return (folder / "known_hosts", folder / "known_hosts2")


def read_known_keys(own: Sequence[Path], system: Sequence[Path] = _SYSTEM) -> tuple[KnownKey, ...]:
    stamped = []
    for file in (*own, *system):
        with contextlib.suppress(OSError):
            status = file.stat()
            stamped.append((file, status.st_mtime_ns, status.st_size))
    return _read_files(tuple(stamped))


@functools.lru_cache(4)
def _read_files(files: tuple[tuple[Path, int, int], ...]) -> tuple[KnownKey, ...]:
    """Read once for each change: a file of hundreds of hosts, read for each of them, costs more
    than connecting."""
    keys: list[KnownKey] = []
    for file, *_ in files:
        with contextlib.suppress(OSError):
            keys += parse_known_hosts(file.read_text(errors="replace"))
    return tuple(keys)


def remember_key(file: Path, name: HostName, kind: str, key: str, hashed: bool) -> None:
    """One line more, written at once. OSError: it can't be kept."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = hash_host(name.written) if hashed else name.written
    with open(file, "a+b", opener=lambda path, flags: os.open(path, flags, 0o600)) as opened:
        end = opened.seek(0, os.SEEK_END)
        torn = end > 0 and os.pread(opened.fileno(), 1, end - 1) != b"\n"
        opened.write(("\n" if torn else "").encode() + f"{written} {kind} {key}\n".encode())
