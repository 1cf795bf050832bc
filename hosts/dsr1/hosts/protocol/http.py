"""What an agent fetches of its host's own servers: their health and metrics, which need not be
reachable from elsewhere."""

from dataclasses import dataclass

PATHS = ("/health", "/live", "/metrics", "/v1/models")
"""All that may be asked for: none of them changes anything."""
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class HttpGet:
    """GET a path of PATHS from a process of the plan, at one of its own ports. Answered by an
    HttpGot of that `number`, to this connection alone, within `timeout_s` seconds.

    Of the process `devices` (see facts/devices.py) the agent itself answers `/devices`.

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
