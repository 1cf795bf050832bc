"""One command on many hosts: bounded in number and in time, and their outputs, equal ones
folded together."""

from collections.abc import Mapping, Sequence

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import HostError
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.transport.connection import SshHost
from dsr1.hosts.transport.parallel import run_parallel


@dataclass(frozen=True, slots=True)
class ExecResult:
    """`text` is the output of a command on a host; where it couldn't be run `code` is None, and
    `text` is why."""

    code: int | None
    text: str


def run_on_all(
    hosts: Sequence[Access], argv: Sequence[str], timeout: float
) -> dict[str, ExecResult]:
    """By host's name, in the order given. A host that fails doesn't stop the others."""

    def run_one(access: Access) -> ExecResult:
        remote = SshHost(access)
        try:
            done = remote.run(argv, timeout)
        finally:
            remote.drop()
        return ExecResult(done.code, (done.out + done.err).decode(errors="replace"))

    results = run_parallel(run_one, {access.name: access for access in hosts})
    return {
        name: ExecResult(None, str(what)) if isinstance(what, HostError) else what
        for name, what in results.items()
    }


def fold_results(results: Mapping[str, ExecResult]) -> dict[ExecResult, list[str]]:
    """Hosts by their output, the largest group first."""
    groups: dict[ExecResult, list[str]] = {}
    for name, what in results.items():
        groups.setdefault(what, []).append(name)
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))
