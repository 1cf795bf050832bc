"""A model from a hub to this machine, or to each of many hosts."""

import sys
from collections.abc import Mapping, Sequence

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import Dsr1Error, InputError
from dsr1.hosts.hub.listing import is_repository
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.protocol.jobs.orders import FETCH, FetchOrder
from dsr1.hosts.transport.connect import connect_hosts
from dsr1.hosts.transport.jobs import OnJobProgress, raise_worst, run_job_on_all

PATIENCE_S = 600.0


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What to fetch, and where to: each repository into a folder of its own name below `to`."""

    repos: tuple[str, ...]
    to: str
    revision: str | None = None
    patience_s: float = PATIENCE_S

    def __post_init__(self) -> None:
        for repo in self.repos:
            if not is_repository(repo):
                raise InputError(f"{repo!r} is not the name of a repository; it must be OWNER/NAME")
        names = [repo.partition("/")[2] for repo in self.repos]
        if len(set(names)) < len(names):
            raise InputError(
                f"two of {', '.join(self.repos)} have the same name and would share a folder: fetch"
                " them into different folders"
            )
        if not self.to.startswith("/"):
            raise InputError(f"--to {self.to!r}: must be an absolute path, the same on every host")


def fetch_model(
    request: FetchRequest,
    accesses: Sequence[Access],
    python: str,
    environ: Mapping[str, str],
    show: OnJobProgress,
) -> dict[str, str]:
    """Commit by folder. `environ` has the hub's address and the token, which travel on the agents'
    stdin alone.

    Raises InputError, CheckFailed or LaunchFailed naming every host that could not; the others have
    it then.
    """
    order = FetchOrder(
        request.repos,
        request.to,
        request.revision,
        environ.get("HF_ENDPOINT") or None,
        environ.get("HF_TOKEN") or environ.get("HUGGING_FACE_HUB_TOKEN") or None,
        request.patience_s,
    )
    with connect_hosts(accesses, python if accesses else sys.executable) as (transport, hosts):
        results = run_job_on_all(transport, FETCH, dict.fromkeys(hosts, order), show)
    raise_worst(results)
    first = next(result for result in results.values() if not isinstance(result, Dsr1Error))
    return first.commits
