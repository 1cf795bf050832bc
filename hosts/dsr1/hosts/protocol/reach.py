"""Whether hosts reach each other over TCP: what each is asked to try, and its results."""

from dsr1.hosts.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class ReachPeer:
    """Another host, where it listens for the while."""

    name: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class ReachQuestion:
    """Listen on `own`, from its address connect to each of `peers`, who connect back.

    A peer has `timeout_s` for an answer, and `window_s` to begin listening: then everything is
    closed.
    """

    own: ReachPeer
    peers: tuple[ReachPeer, ...]
    timeout_s: float = 3.0
    window_s: float = 8.0


@dataclass(frozen=True, slots=True)
class ReachResult:
    """A peer, and why it was not reached; empty: it was."""

    peer: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ReachAnswer:
    """`problem`: why this host couldn't listen."""

    reached: tuple[ReachResult, ...] = ()
    problem: str = ""
