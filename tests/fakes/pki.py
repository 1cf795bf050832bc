"""Certificates and keys of a frontend, as files."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "r1.example")])


@dataclass(frozen=True)
class Pair:
    cert: Path
    key: Path

    @property
    def setting(self) -> str:
        return f"frontend.tls={{cert: {self.cert}, key: {self.key}}}"


def make_pair(
    folder: Path,
    days: Sequence[float] = (-1, 2),
    uses: Sequence[x509.ObjectIdentifier] = (),
    passphrase: bytes = b"",
    names: Sequence[x509.GeneralName] = (),
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None,
) -> Pair:
    """A certificate for `names` that is valid between these days from now, and its key."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    first, last = (now + datetime.timedelta(days=one) for one in days)
    builder = x509.CertificateBuilder(NAME, NAME, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(first).not_valid_after(last)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if uses:
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    made = builder.sign(key, hashes.SHA256())
    lock: KeySerializationEncryption = NoEncryption()
    lock = BestAvailableEncryption(passphrase) if passphrase else lock
    pair = Pair(folder / "cert.pem", folder / "key.pem")
    pair.cert.write_bytes(made.public_bytes(Encoding.PEM))
    pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
    pair.key.chmod(0o600)
    return pair


def make_key_file(folder: Path, text: str = "sesame-0123456789abcdef\n") -> Path:
    file = folder / "api-key"
    file.write_text(text)
    file.chmod(0o600)
    return file
