"""The certificates, keys and secrets that a recipe names as files: read where the launch is, and
refused before anything is started if they can't serve."""

import datetime
import os
import re
import stat

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from dsr1.hosts.errors import InputError
from dsr1.hosts.protocol.http import FRONTEND_CERT
from dsr1.launcher.commands.secrets import API_KEY, FRONTEND_KEY
from dsr1.launcher.recipe.parts import Frontend, ServerTls

MOST_BYTES = 1 << 20
_API_KEY = "frontend.api_key_file"
_BEARER = re.compile(r"[A-Za-z0-9._~+/=-]{16,512}")  # what a Bearer header may hold (RFC 6750)
_OF_OTHERS = stat.S_IRWXO | stat.S_IWGRP


def read_frontend_files(frontend: Frontend) -> dict[str, str]:
    """Secrets of a run by file name. InputError names the recipe's key, the file and what is
    wanted."""
    found: dict[str, str] = {}
    if frontend.tls:
        cert, key = read_tls(frontend.tls, "frontend.tls")
        found |= {FRONTEND_CERT: cert, FRONTEND_KEY: key}
    if frontend.api_key_file:
        found[API_KEY] = _read_api_key(frontend.api_key_file)
    return found


def _read_api_key(file: str) -> str:
    text = read_line(_API_KEY, file)
    if not _BEARER.fullmatch(text):
        raise InputError(
            f"{_API_KEY}: {file}: must hold one key in one line, 16 to 512 letters, digits and"
            " ._~+/=-; `openssl rand -hex 32` makes one"
        )
    return text


def read_line(at: str, file: str) -> str:
    """A secret's. `at`: the recipe's key."""
    return _read(at, file, secret=True).rstrip("\r\n")


def read_tls(tls: ServerTls, at: str) -> tuple[str, str]:
    """Its chain and its key, as PEM. `at`: the recipe's key."""
    cert = f"{at}.cert"
    text = _read(cert, tls.cert, secret=False)
    try:
        chain = x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        raise InputError(f"{cert}: {tls.cert}: holds no certificate as PEM") from None
    key = _load_key(f"{at}.key", tls.key)
    _refuse_other_key(chain[0], key, tls, f"{at}.key")
    _refuse_unfit(chain[0], f"{cert}: {tls.cert}", datetime.datetime.now(datetime.timezone.utc))
    return "".join(map(_pem, chain)), _key_pem(key)


def _load_key(at: str, file: str) -> PrivateKeyTypes:
    text = _read(at, file, secret=True)
    try:
        return load_pem_private_key(text.encode(), None)
    except TypeError:
        raise InputError(f"{at}: {file}: has a passphrase, and nobody to type it") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InputError(f"{at}: {file}: holds no private key as PEM") from None


def _refuse_other_key(
    certificate: x509.Certificate, key: PrivateKeyTypes, tls: ServerTls, at: str
) -> None:
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    theirs = certificate.public_key().public_bytes(*form)
    if key.public_key().public_bytes(*form) != theirs:
        raise InputError(f"{at}: {tls.key}: is not the key of the first certificate in {tls.cert}")


def _refuse_unfit(certificate: x509.Certificate, file: str, now: datetime.datetime) -> None:
    """`file`: with the key that names it."""
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not first <= now <= last:
        raise InputError(
            f"{file}: is valid from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC,"
            f" and it is {now:%Y-%m-%d %H:%M} now"
        )
    if not _is_for_servers(certificate):
        raise InputError(f"{file}: is not for servers (extended key usage serverAuth)")


def _is_for_servers(certificate: x509.Certificate) -> bool:
    try:
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.SERVER_AUTH in uses


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _key_pem(key: PrivateKeyTypes) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _read(key: str, file: str, secret: bool) -> str:
    """Of the file that was opened, so that nobody puts another in its place in between."""
    try:
        opened = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(opened, "rb") as stream:
            found = os.fstat(opened)
            if problem := _file_problem(found, secret):
                raise InputError(f"{key}: {file}: {problem}")
            return stream.read(MOST_BYTES).decode("ascii")
    except OSError as error:
        raise InputError(f"{key}: {file}: can't be read: {error.strerror}") from None
    except ValueError:
        raise InputError(f"{key}: {file}: is no text of plain ASCII") from None


def _file_problem(found: os.stat_result, secret: bool) -> str:
    if not stat.S_ISREG(found.st_mode):
        return "is no regular file"
    if found.st_size >= MOST_BYTES:
        return f"is larger than {MOST_BYTES >> 10} KiB"
    if not secret:
        return ""
    if found.st_uid not in (0, os.geteuid()):
        return f"belongs to another user (uid {found.st_uid}); a secret must be yours or root's"
    mode = stat.S_IMODE(found.st_mode)
    others = f"has mode {mode:04o}, so other users get at it; `chmod 600` closes it"
    return others if mode & _OF_OTHERS else ""
