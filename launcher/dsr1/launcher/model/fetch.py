"""A model from a hub to this machine, or to each of many hosts."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dsr1.hosts.errors import Dsr1Error, InputError
from dsr1.hosts.hub.listing import is_repository
from dsr1.hosts.inventory.access import Access
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
                raise InputError(f"{repo!r} is no repository of a hub; wanted: OWNER/NAME")
        names = [repo.partition("/")[2] for repo in self.repos]
        if len(set(names)) < len(names):
            raise InputError(
                f"two of {', '.join(self.repos)} would come into one folder: fetch them one by one"
            )
        if not self.to.startswith("/"):
            raise InputError(
                f"--to {self.to!r}: wanted is a path from the root, the same on every host"
            )


def fetch_model(
    wish: FetchRequest,
    accesses: Sequence[Access],
    python: str,
    environ: Mapping[str, str],
    show: OnJobProgress,
) -> dict[str, str]:
    """Commit by folder. `environ` tells the hub and the token, which travel on the agents' stdin
    alone.

    Raises InputError, CheckFailed or LaunchFailed naming every host that could not; the others have
    it then.
    """
    order = {
        "repos": list(wish.repos),
        "to": wish.to,
        "revision": wish.revision,
        "endpoint": environ.get("HF_ENDPOINT") or None,
        "token": environ.get("HF_TOKEN") or environ.get("HUGGING_FACE_HUB_TOKEN") or None,
        "patience_s": wish.patience_s,
    }
    with connect_hosts(accesses, python if accesses else sys.executable) as (way, hosts):
        results = run_job_on_all(way, "fetch", dict.fromkeys(hosts, order), show)
    raise_worst(results)
    told = next(result for result in results.values() if not isinstance(result, Dsr1Error))
    return {str(folder): str(commit) for folder, commit in told["folders"].items()}
