"""What an agent fetches of its host's own servers: their health and metrics, which need not be
reachable from elsewhere."""

import ssl

from dsr1.hosts.dataclass import dataclass

PATHS = ("/health", "/live", "/metrics", "/v1/models")
"""All that may be asked for: none of them changes anything."""
CONTROLS = ("/engine/control/sleep", "/engine/control/wake_up")
"""What a worker of Dynamo's may be told to do, by POST: moving weights takes its time."""
LOOPBACK = "127.0.0.1"
FRONTEND_CERT = "frontend.pem"
"""The secret by which frontends of HTTPS are known."""


@dataclass(frozen=True, slots=True)
class HttpGet:
    """GET a path of PATHS, or POST to one of CONTROLS, from a process of the plan, at one of its
    own ports. Answered by an HttpGot of that `number`, to this connection alone, within `timeout_s`
    seconds.

    Of the process `devices` (see facts/devices.py) the agent itself answers `/devices`.
    `secured`: over TLS, and from whoever shows the agent's own frontend.pem.

    `address` is one of the host's own; where nothing listens there, the loopback is tried. With
    `keep`, only lines that begin with one of these.
    """

    process: str
    port: int
    path: str
    address: str = LOOPBACK
    keep: tuple[str, ...] = ()
    timeout_s: float = 5.0
    number: int = 0
    secured: bool = False


@dataclass(frozen=True, slots=True)
class HttpGot:
    """`status` 0: there was no answer, and `problem` says why. `body` is text of
    512 KiB at most."""

    number: int
    status: int
    body: str = ""
    problem: str = ""

    @property
    def is_ok(self) -> bool:
        return self.status == 200


def trust_one(certificate: str) -> ssl.SSLContext:
    """For a client that trusts whoever shows this certificate (PEM), by whatever address it is
    reached, and nobody else. ssl.SSLError: it is none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=certificate)
    return context
