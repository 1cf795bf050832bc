"""Whether a host is the one that is meant: its key or certificate, against SSH's known hosts; with
--accept-new-keys the first key of a host is kept there, and no other is taken after that."""

import base64
import contextlib
import shlex
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.transport.known_hosts import (
    HostName,
    KnownKey,
    authorities_of,
    judge_key,
    own_files,
    read_known_keys,
    remember_key,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fabric import Connection
    from paramiko import PKey, Transport

_RSA = ("rsa-sha2-512", "rsa-sha2-256")
_ONE_AT_A_TIME = threading.Lock()
CERTIFICATE = "-cert-v01@openssh.com"


@dataclass(frozen=True, slots=True)
class KeyGuard:
    """paramiko's policy of a connection's host; it is asked of every key, since paramiko itself is
    told of none."""

    name: HostName
    own: tuple[Path, ...]
    system: tuple[Path, ...] | None
    accept_new: bool
    hashed: bool

    def keys(self) -> tuple[KnownKey, ...]:
        if self.system is None:
            return read_known_keys(self.own)
        return read_known_keys(self.own, self.system)

    def missing_host_key(self, client: object, hostname: str, key: "PKey") -> None:
        """SSHException: it isn't the host that is meant, or nobody can tell."""
        from paramiko import SSHException

        with _ONE_AT_A_TIME:  # of two first keys of a host one is kept
            if why := self._refusal(key):
                raise SSHException(why)

    def _refusal(self, key: "PKey") -> str:
        keys, shown = self.keys(), (key.get_name(), key.get_base64())
        blob: bytes = getattr(getattr(key, "public_blob", None), "key_blob", b"")
        verdict, signers = judge_key(keys, self.name, *shown), authorities_of(keys, self.name)
        certified = blob and signers and is_certified(blob, signers, self.name)
        if verdict.known or (certified and not verdict.revoked):
            return ""
        if not verdict.new:
            return f"{verdict.why}. Check it, then `ssh-keygen -R '{self.name.written}'`"
        if not self.accept_new:
            return f"Server {self.name.written!r} not found in known_hosts"
        return self._remember(shown)

    def _remember(self, shown: tuple[str, str]) -> str:
        try:
            remember_key(self.own[0], self.name, *shown, self.hashed)
        except OSError as error:
            return f"its new key can't be kept in {self.own[0]}: {error.strerror}"
        return ""

    def make_transport(self, sock: Any, **values: Any) -> "Transport":
        """Prefers the kinds of keys that are known of the host, as ssh does."""
        from paramiko import Transport

        transport = Transport(sock, **values)
        options = transport.get_security_options()
        with contextlib.suppress(ValueError):  # paramiko lacks one of the kinds
            options.key_types = preferred_kinds(self.keys(), self.name, options.key_types)
        return transport


def preferred_kinds(
    keys: "Sequence[KnownKey]", name: HostName, offered: "Sequence[str]"
) -> tuple[str, ...]:
    """Certificates where an authority may sign them, then what is known, then the rest."""
    certificates = [kind + CERTIFICATE for kind in offered] if authorities_of(keys, name) else []
    ours = [one.kind for one in keys if one.is_of(name.written) or one.is_of(name.without_port)]
    known = [kind for kind in offered if ("ssh-rsa" if kind in _RSA else kind) in ours]
    return tuple(dict.fromkeys((*certificates, *known, *offered)))


def is_certified(blob: bytes, authorities: "Sequence[str]", name: HostName) -> bool:
    """Whether a host's certificate is of this host, valid now, and signed by one of these keys."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        SSHCertificate,
        SSHCertificateType,
        load_ssh_public_identity,
    )

    kind = blob[4 : 4 + int.from_bytes(blob[:4], "big")]
    try:
        shown = load_ssh_public_identity(kind + b" " + base64.b64encode(blob))
        if not isinstance(shown, SSHCertificate):
            return False
        shown.verify_cert_signature()
        signer = shown.signature_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    except (ValueError, InvalidSignature, UnsupportedAlgorithm):
        return False
    names = {(name.alias or name.host).lower().encode()}
    return (
        shown.type is SSHCertificateType.HOST
        and signer.split()[1].decode() in authorities
        and int(time.time()) in range(shown.valid_after, shown.valid_before)  # on the wall
        and not shown.critical_options
        and bool(names & {principal.lower() for principal in shown.valid_principals})
    )


def guard_of(connection: "Connection", accept_new: bool) -> KeyGuard:
    """With the words of ~/.ssh/config and /etc/ssh/ssh_config that speak of known hosts."""
    said: Mapping[str, Any] = connection.ssh_config
    alias = str(said.get("hostkeyalias", ""))
    own, system = _files(said, "userknownhostsfile"), _files(said, "globalknownhostsfile")
    accept_new = accept_new or str(said.get("stricthostkeychecking", "")).lower() == "accept-new"
    return KeyGuard(
        HostName(connection.host, connection.port, alias),
        own or own_files(),
        system or None,
        accept_new,
        str(said.get("hashknownhosts", "no")).lower() == "yes",
    )


def _files(said: "Mapping[str, Any]", word: str) -> tuple[Path, ...]:
    names = shlex.split(str(said.get(word, "")))
    return tuple(Path("/dev/null" if one == "none" else one).expanduser() for one in names)
