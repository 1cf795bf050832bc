"""A run's own certificate authority, and one certificate of it that every process of the run shows
to the others."""

import datetime
import ipaddress
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dsr1.launcher.commands.secrets import CA, CERT, KEY, SERVER_NAME

# Longer than any run: it may restart with the same certificates on any day, and a connection that
# is made anew after months must still be taken. An end would protect nothing: only the processes of
# the run trust its authority, and only while they run.
VALID_DAYS = 3650


def make_secrets(addresses: Sequence[str]) -> dict[str, str]:
    """PEM texts by file name. The authority's own key is thrown away: nobody can ever sign
    another."""
    authority_key, key = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    issuer = _name("dsr1 run authority")
    authority = _builder(issuer, issuer, authority_key.public_key())
    authority = authority.add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    own = _builder(_name(SERVER_NAME), issuer, key.public_key())
    own = own.add_extension(x509.SubjectAlternativeName(_alternatives(addresses)), critical=False)
    own = own.add_extension(
        x509.ExtendedKeyUsage(_BOTH), critical=False
    )  # server and client: all talk to all
    return {
        CA: _pem(authority.sign(authority_key, hashes.SHA256())),
        CERT: _pem(own.sign(authority_key, hashes.SHA256())),
        KEY: _key_pem(key),
    }


_BOTH = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    """A day of the past is included: clocks of hosts differ."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
    )


def _alternatives(addresses: Sequence[str]) -> list[x509.GeneralName]:
    """The dialled address must be among them; the name serves those that dial by
    DYN_TCP_TLS_SERVER_NAME."""
    found: list[x509.GeneralName] = [x509.DNSName(SERVER_NAME)]
    for address in dict.fromkeys(addresses):
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(address)))
        except ValueError:
            found.append(x509.DNSName(address))
    return found


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(
        serialization.Encoding.PEM, form, serialization.NoEncryption()
    ).decode()
