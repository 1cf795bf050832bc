"""Whom a run's bridge, Prometheus and Grafana let in, as its recipe says: its files are read here,
and refused before anything listens."""

import re
import ssl

from cryptography import x509

from dsr1.hosts.errors import InputError
from dsr1.launcher.metrics.prometheus.access import USER, ScrapingAccess
from dsr1.launcher.recipe.parts import Scraping, ServerTls
from dsr1.launcher.smoke.frontend_files import read_line, read_tls

TLS, PASSWORD = "metrics.tls", "metrics.password_file"
_TYPED = re.compile(r"[!-~]{12,72}")  # bcrypt takes 72 bytes
_UNFIT = re.compile(r"[$}`]")


def read_access(metrics: Scraping) -> ScrapingAccess:
    """InputError names the recipe's key, the file and what is wanted."""
    name, password = "", _read_password(metrics)
    if metrics.tls:
        _refuse_path(f"{TLS}.cert", metrics.tls.cert)
        _refuse_path(f"{TLS}.key", metrics.tls.key)
        name = _server_name(metrics.tls)
    cert, key = (metrics.tls.cert, metrics.tls.key) if metrics.tls else ("", "")
    access = ScrapingAccess(cert, key, name, metrics.password_file or "", password)
    server_context(access)
    return access


def _read_password(metrics: Scraping) -> str:
    """Empty: none is wanted. InputError as above."""
    if not (file := metrics.password_file):
        return ""
    _refuse_path(PASSWORD, file)
    if not _TYPED.fullmatch(text := read_line(PASSWORD, file)):
        raise InputError(
            f"{PASSWORD}: {file}: must hold one password in one line, 12 to 72 printable characters"
            " without blanks; `openssl rand -hex 16` makes one"
        )
    return text


def _server_name(tls: ServerTls) -> str:
    """As who asks has to call it: a host, else an address."""
    text, _ = read_tls(tls, TLS)
    certificate = x509.load_pem_x509_certificate(text.encode())
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        found = x509.SubjectAlternativeName([])
    names = found.get_values_for_type(x509.DNSName)
    names += map(str, found.get_values_for_type(x509.IPAddress))
    if not names:
        raise InputError(f"{TLS}.cert: {tls.cert}: names no host or address (subjectAltName)")
    return names[0].replace("*", USER)


def _refuse_path(at: str, file: str) -> None:
    if _UNFIT.search(file):
        raise InputError(f"{at}: {file!r}: Grafana can't be told such a path; rename the file")


def server_context(access: ScrapingAccess) -> ssl.SSLContext | None:
    """Of who listens. None: in clear. InputError: OpenSSL takes no such key."""
    if not access.cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(access.cert, access.key)
    except OSError as error:
        raise InputError(f"{TLS}: {access.cert}: can't serve with it: {error}") from None
    return context


def client_context(access: ScrapingAccess) -> ssl.SSLContext:
    """Of dsr1 itself, which asks its own processes by their addresses, and takes no other
    certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if access.cert:
        context.load_verify_locations(access.cert)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
