"""A model from one host to the disks of many: a chain, in which every host passes on what it gets
while it gets it.

Its source sends every byte once, whatever the number of hosts. docs/model.md says why it is no
rsync and no torrent.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from dsr1.env.findings import folded
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import CheckFailed, Dsr1Error, HostError, InputError
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.protocol.jobs.messages import JobProgress
from dsr1.hosts.protocol.jobs.orders import (
    PUSH,
    VERIFY,
    PushMessage,
    PushOrder,
    PushReply,
    PushResult,
    VerifyOrder,
)
from dsr1.hosts.transport.connect import over_ssh
from dsr1.hosts.transport.jobs import (
    MOST_TOGETHER,
    JobResults,
    OnJobProgress,
    run_all_jobs,
    run_job_on_all,
)
from dsr1.hosts.transport.parallel import answered, failed, run_parallel
from dsr1.hosts.transport.ssh import SshTransport
from dsr1.launcher.commands.certificates import make_secrets
from dsr1.launcher.model.verify import judge_model

MEET_S = 60.0


@dataclass(frozen=True, slots=True)
class PushRequest:
    """The folder `source` of `giver`, into the folder `to` of every taker. Seconds."""

    source: str
    to: str
    giver: Access
    takers: tuple[Access, ...]
    patience_s: float = 120.0

    def __post_init__(self) -> None:
        for path in (self.source, self.to):
            if not path.startswith("/"):
                raise InputError(f"{path!r}: must be an absolute path, the same on every host")
        if not self.takers:
            raise InputError(
                f"--hosts names only {self.giver.name}, which already has {self.source}"
            )


def make_push_request(
    source: str, to: str, giver: Access | None, accesses: Sequence[Access], patience_s: float
) -> PushRequest:
    """The first host gives unless another is named; it takes only into another folder."""
    first = giver or accesses[0]
    into = to or source
    takers = tuple(access for access in accesses if access.name != first.name or into != source)
    return PushRequest(source, into, first, takers, patience_s)


def push_model(request: PushRequest, python: str, show: OnJobProgress) -> JobResults[PushResult]:
    """By taker: what came, or why not. Raises CheckFailed when the source isn't whole, HostError
    when it is lost."""
    accesses = {access.name: access for access in (request.giver, *request.takers)}
    with over_ssh(tuple(accesses.values()), python) as transport:
        _refuse_broken(request, transport, show)
        found = find_addresses(request, transport)
        results: JobResults[PushResult] = {**failed(found)}
        addresses = answered(found)
        takers = [access.name for access in request.takers if access.name in addresses]
        for part in batched(takers, MOST_TOGETHER - 1):
            results |= PushChain(request, addresses, part).run(transport, show)
        return results


def batched(names: Sequence[str], most: int) -> list[Sequence[str]]:
    """One chain each: the source sends every byte once to each."""
    return [names[begin : begin + most] for begin in range(0, len(names), most)]


def _refuse_broken(request: PushRequest, transport: SshTransport, show: OnJobProgress) -> None:
    orders = {request.giver.name: VerifyOrder(request.source, deep=False)}
    results = run_job_on_all(transport, VERIFY, orders, show)
    for error in failed(results).values():
        raise error
    amiss = [finding for finding in judge_model(results) if finding.verdict == "FAIL"]
    if amiss:
        raise CheckFailed(
            "\n".join(("the source is not complete, so nothing is copied", *folded(amiss)))
        )


def find_addresses(request: PushRequest, transport: SshTransport) -> dict[str, str | HostError]:
    """Where the others reach each host: the address of its route to the source, or the
    inventory's."""
    accesses = {access.name: access for access in (request.giver, *request.takers)}
    source = request.giver.control_address or transport.introduce(request.giver.name, "").address
    if not source or source.startswith("127."):
        reason = f"{source} can't be reached from other hosts" if source else "is unknown"
        raise HostError(
            f"{request.giver.name}: its address {reason}: give control_address in an inventory"
        )

    def address_of(access: Access) -> str:
        return access.control_address or transport.introduce(access.name, source).address

    return run_parallel(address_of, accesses) | {request.giver.name: source}


class Barrier:
    """Hosts wait here for each other, except for those that have left."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._expected = set(keys)
        self._arrived: dict[str, PushMessage] = {}
        self._changed = threading.Condition()

    def arrive(
        self, key: str, message: PushMessage, seconds: float | None
    ) -> dict[str, PushMessage]:
        """The message of each that has arrived by then."""
        with self._changed:
            self._arrived[key] = message
            self._changed.notify_all()
            self._changed.wait_for(lambda: set(self._arrived) >= self._expected, seconds)
            return dict(self._arrived)

    def leave(self, key: str) -> None:
        with self._changed:
            self._expected.discard(key)
            self._changed.notify_all()


class PushChain:
    """One push: the source and its takers, each a job in a thread of ours, which wait for each
    other twice."""

    def __init__(
        self, request: PushRequest, addresses: Mapping[str, str], takers: Sequence[str]
    ) -> None:
        self._request, self._addresses, self._takers = request, addresses, takers
        self._source = f"{request.giver.name} (source)"
        names = (self._source, *takers)
        self._listening, self._complete = Barrier(names), Barrier(names)
        self._hashes: dict[int, str] = {}
        self._source_over = threading.Event()

    def run(self, transport: SshTransport, show: OnJobProgress) -> JobResults[PushResult]:
        jobs = {
            name: partial(self._run_one, transport, name, order, show)
            for name, order in self._orders().items()
        }
        results = run_all_jobs(transport, jobs, together=True)
        source = results.pop(self._source)
        return results | {self._source: source} if isinstance(source, Dsr1Error) else results

    def _orders(self) -> dict[str, PushOrder]:
        secrets, patience_s = make_secrets(list(self._addresses.values())), self._request.patience_s
        address = self._addresses[self._request.giver.name]
        source = PushOrder(address, secrets, patience_s, source=self._request.source)
        return {self._source: source} | {
            name: PushOrder(self._addresses[name], secrets, patience_s, to=self._request.to)
            for name in self._takers
        }

    def _run_one(
        self, transport: SshTransport, name: str, order: PushOrder, show: OnJobProgress
    ) -> PushResult:
        host = self._request.giver.name if name == self._source else name
        try:
            return transport.run_job(host, PUSH, order, partial(self._reply, name, show))
        finally:
            if name == self._source:
                self._source_over.set()
            self._listening.leave(name)
            self._complete.leave(name)

    def _reply(
        self, name: str, show: OnJobProgress, message: JobProgress | PushMessage
    ) -> PushReply | None:
        if isinstance(message, JobProgress):
            show(name, message)
            return None
        if message.complete:
            self._complete.arrive(name, message, None)
            return None
        if message.hashes or message.wanted:
            return self._pass_hashes(name, message)
        arrived = self._listening.arrive(name, message, MEET_S)
        if name == self._source:
            return None
        if self._source not in arrived:
            raise HostError(f"{name}: skipped, since the source could not start")
        return PushReply(arrived[self._source].files, tuple(self.ahead(name, arrived)))

    def _pass_hashes(self, name: str, message: PushMessage) -> PushReply:
        """The source's word alone counts. HostError: it ended before it had told all."""
        if name == self._source:
            self._hashes |= dict(message.hashes)
        known = tuple((one, self._hashes[one]) for one in message.wanted if one in self._hashes)
        if message.wanted and not known and self._source_over.is_set():
            raise HostError(f"{name}: left unfinished, since the source has ended")
        return PushReply(hashes=known)

    def ahead(self, name: str, arrived: Mapping[str, PushMessage]) -> list[tuple[str, int]]:
        """The nearest first: each host's place in the chain is its place in --hosts. The source is
        the last resort."""
        before = [taker for taker in self._takers[: self._takers.index(name)] if taker in arrived]
        nearest = [(self._addresses[taker], arrived[taker].port) for taker in reversed(before)]
        source = self._addresses[self._request.giver.name]
        return [*nearest, (source, arrived[self._source].port)]
