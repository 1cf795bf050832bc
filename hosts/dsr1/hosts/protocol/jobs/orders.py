"""The long jobs that an agent runs on its host: what each is ordered, and what it gives back."""

from dataclasses import field
from typing import Generic, TypeVar

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.facts.fact import Fact

OrderT = TypeVar("OrderT")
ResultT = TypeVar("ResultT")
EMPTY_ANSWER = "an empty answer"
"""The error of a request whose answer came, and had nothing in it."""
DRIVER_FOLDER = "{folder}"
"""Stands for the folder of a load driver on its host, in words of its command and values of its
environment."""
VLLM_BENCH, AIPERF = "vllm", "aiperf"
"""The load drivers, by name."""
VLLM_RESULT, AIPERF_RESULTS = "result.json", "aiperf"
"""What each is told to write into its folder: a file, and a folder."""


@dataclass(frozen=True)
class Job(Generic[OrderT, ResultT]):
    """The agent finds the function of a job by its name: dsr1.hosts.agent.work."""

    name: str
    order: type[OrderT]
    result: type[ResultT]


@dataclass(frozen=True, slots=True)
class FetchOrder:
    """Each of `repos` goes into a folder of its own name below `to`. Without `endpoint` and `token`
    the hub's own address and the host's own login are used.

    `patience_s`: how long the hub may be out of reach.
    """

    repos: tuple[str, ...]
    to: str
    revision: str | None
    endpoint: str | None
    token: str | None
    patience_s: float


@dataclass(frozen=True, slots=True)
class FetchResult:
    """The commit of each folder."""

    commits: dict[str, str]


@dataclass(frozen=True, slots=True)
class StoreFile:
    """A file of the model. `changed` is its modification time at the source, in nanoseconds since
    the epoch, `mode` what it is open to there."""

    name: str
    size: int
    changed: int
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class PushOrder:
    """One host's part in a push: `source` is the folder that it serves, or `to` the one that it
    fills.

    `secrets` are the push's certificate and key, by file name. `patience_s`: how long nothing may
    come from any host ahead.
    """

    address: str
    secrets: dict[str, str]
    patience_s: float
    source: str = ""
    to: str = ""


@dataclass(frozen=True, slots=True)
class PushMessage:
    """Sent by a host of a push, which then waits for the reply: the port that it serves on, at the
    source with the files that there are; `hashes` of them, by their number, as the source knows
    them; those that are `wanted`, which the reply has as far as they are known; `complete`, once
    it has all files, or all hashes."""

    port: int = 0
    files: tuple[StoreFile, ...] = ()
    complete: bool = False
    hashes: tuple[tuple[int, str], ...] = ()
    wanted: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PushReply:
    """The files to take, and the address and port of every host ahead, the nearest first."""

    files: tuple[StoreFile, ...] = ()
    ahead: tuple[tuple[str, int], ...] = ()
    hashes: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PushResult:
    """Bytes that were not there before."""

    received: int = 0


@dataclass(frozen=True, slots=True)
class VerifyOrder:
    """`model` is a folder or a hub's id. `deep`: hash every file."""

    model: str
    deep: bool


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """Those of dsr1.hosts.agent.facts.model; when it was deep, `model.hashes` and `model.sums`
    too."""

    facts: dict[str, Fact]


@dataclass(frozen=True, slots=True)
class FabricOrder:
    """A host's part in the fabric's test: it is number `host` of `hosts`, and runs a rank on each
    of `local_ranks` devices. The first host's store listens on `address` and `port`.

    `pairs` of host numbers are measured one after the other; none: all, as many at once as share no
    host.
    """

    python: tuple[str, ...]
    device: str
    local_ranks: int
    hosts: int
    host: int
    address: str
    port: int
    limit_s: float
    env: dict[str, str] = field(default_factory=dict)
    pairs: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class RankReport:
    """A line of one rank: what it measured to the host number `other`, or the `error` of that pair;
    else the number of a host that is `absent`, or the `problem` that ended the rank."""

    local: int
    other: int | None = None
    us: float | None = None
    gbps: float | None = None
    error: str = ""
    absent: int | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class FabricResult:
    """`errors` are the last lines of ranks that ended badly or had to be ended."""

    reports: tuple[RankReport, ...]
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DriveOrder:
    """A load driver, run on this host for as long as it takes, `limit_s` at most. `driver` is its
    name, which says how its results are read.

    `files` by name lie in a folder of its own, for which DRIVER_FOLDER stands in `argv` and
    `env`. `total`: the requests that it will send. `cpus`: those that it may run on; none: they are
    chosen, away from the processes of the run `run_id`.
    """

    driver: str
    argv: tuple[str, ...]
    env: dict[str, str]
    files: dict[str, str]
    total: int
    limit_s: float
    run_id: str = ""
    cpus: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SentRequests:
    """A column a quantity, in the order of the requests. Seconds, by the driver's own clock;
    tokens as the server counted them. An `error` is empty where the answer came; of one that failed
    what isn't known is 0."""

    start_s: tuple[float, ...] = ()
    first_s: tuple[float, ...] = ()
    whole_s: tuple[float, ...] = ()
    tokens_in: tuple[int, ...] = ()
    tokens_out: tuple[int, ...] = ()
    error: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DriveResult:
    """`cpus` that it ran on; none: any. `began`: when its first request left, in seconds since the
    epoch; 0: not known. `ended`: how it ended where that was not well, in words."""

    requests: SentRequests
    cpus: tuple[int, ...]
    began: float = 0.0
    ended: str = ""


FETCH = Job("fetch", FetchOrder, FetchResult)
PUSH = Job("push", PushOrder, PushResult)
VERIFY = Job("verify", VerifyOrder, VerifyResult)
FABRIC = Job("fabric", FabricOrder, FabricResult)
DRIVE = Job("drive", DriveOrder, DriveResult)
