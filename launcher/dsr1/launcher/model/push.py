"""A model from one host to the disks of many: a chain, in which every host passes on what it gets
while it gets it.

Its source sends every byte once, whatever the number of hosts. docs/model.md says why it is no
rsync and no torrent.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from dsr1.env.findings import folded
from dsr1.hosts.errors import CheckFailed, Dsr1Error, HostError, InputError, LaunchFailed
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.protocol.job import JobMessage, JobOrder, JobProgress, JobRefused
from dsr1.hosts.transport.connect import over_ssh
from dsr1.hosts.transport.jobs import KINDS, JobResults, OnJobProgress, run_job_on_all
from dsr1.hosts.transport.parallel import run_parallel
from dsr1.hosts.transport.ssh import HostIntroduction, SshTransport
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
                raise InputError(f"{path}: wanted is a path from the root, the same on every host")
        if not self.takers:
            raise InputError(
                f"--hosts: names none but {self.giver.name}, which has {self.source} already"
            )


def make_push_request(
    source: str, to: str, giver: Access | None, accesses: Sequence[Access], patience_s: float
) -> PushRequest:
    """The first host gives unless another is named; it takes only into another folder."""
    first = giver or accesses[0]
    into = to or source
    takers = tuple(access for access in accesses if access.name != first.name or into != source)
    return PushRequest(source, into, first, takers, patience_s)


def push_model(wish: PushRequest, python: str, show: OnJobProgress) -> JobResults:
    """By taker: what came, or why not. Raises CheckFailed when the source isn't whole, HostError
    when it is lost."""
    accesses = {access.name: access for access in (wish.giver, *wish.takers)}
    with over_ssh(tuple(accesses.values()), python) as transport:
        _refuse_broken(wish, transport, show)
        places = find_places(wish, transport)
        lost = {name: place for name, place in places.items() if isinstance(place, HostError)}
        addresses = {name: place for name, place in places.items() if isinstance(place, str)}
        takers = [access.name for access in wish.takers if access.name in addresses]
        return lost | (PushChain(wish, addresses, takers).run(transport, show) if takers else {})


def _refuse_broken(wish: PushRequest, transport: SshTransport, show: OnJobProgress) -> None:
    order = {"model": wish.source, "deep": False}
    results = run_job_on_all(transport, "verify", {wish.giver.name: order}, show)
    for result in results.values():
        if isinstance(result, Dsr1Error):
            raise result
    failed = [finding for finding in judge_model(results) if finding.verdict == "FAIL"]
    if failed:
        raise CheckFailed("\n".join(("what isn't whole is not passed on", *folded(failed))))


def find_places(wish: PushRequest, transport: SshTransport) -> dict[str, str | HostError]:
    """Where the others reach each host: the address of its route to the source, or the
    inventory's."""
    accesses = {access.name: access for access in (wish.giver, *wish.takers)}
    source = wish.giver.control_address or transport.see(wish.giver.name, "").address
    if not source or source.startswith("127."):
        raise HostError(
            f"{wish.giver.name}: its address {source or 'is unknown'}: give control_address in an"
            " inventory"
        )

    def place(access: Access) -> str:
        sight: HostIntroduction = transport.see(access.name, source)
        return access.control_address or sight.address

    return run_parallel(place, accesses) | {wish.giver.name: source}


class Barrier:
    """Hosts wait here for each other, except for those that have left."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._expected = set(keys)
        self._told: dict[str, JobOrder] = {}
        self._changed = threading.Condition()

    def arrive(self, key: str, plain: JobOrder, seconds: float | None) -> dict[str, JobOrder]:
        """What each told that has come by then."""
        with self._changed:
            self._told[key] = plain
            self._changed.notify_all()
            self._changed.wait_for(lambda: set(self._told) >= self._expected, seconds)
            return dict(self._told)

    def leave(self, key: str) -> None:
        with self._changed:
            self._expected.discard(key)
            self._changed.notify_all()


class PushChain:
    """One push: the source and its takers, each a job in a thread of ours, and two meetings of
    all."""

    def __init__(
        self, wish: PushRequest, addresses: Mapping[str, str], takers: Sequence[str]
    ) -> None:
        self._wish, self._addresses, self._takers = wish, addresses, takers
        self._giver = f"{wish.giver.name} (source)"
        self._ports, self._whole = Barrier((self._giver, *takers)), Barrier((self._giver, *takers))

    def run(self, transport: SshTransport, show: OnJobProgress) -> JobResults:
        common = {
            "secrets": make_secrets(list(self._addresses.values())),
            "patience_s": self._wish.patience_s,
        }
        address = self._addresses[self._wish.giver.name]
        orders: dict[str, JobOrder] = {
            self._giver: common | {"address": address, "source": self._wish.source}
        }
        for name in self._takers:
            orders[name] = common | {"address": self._addresses[name], "to": self._wish.to}
        with ThreadPoolExecutor(len(orders)) as pool:
            running = {
                key: pool.submit(self._one, transport, key, order, show)
                for key, order in orders.items()
            }
            try:
                results = {key: future.result() for key, future in running.items()}
            except KeyboardInterrupt:
                transport.close()
                raise LaunchFailed(
                    "interrupted; the same command goes on where it stopped"
                ) from None
        given = results.pop(self._giver)
        return results if not isinstance(given, Dsr1Error) else results | {self._giver: given}

    def _one(
        self, transport: SshTransport, key: str, order: JobOrder, show: OnJobProgress
    ) -> dict[str, Any] | Dsr1Error:
        host = self._wish.giver.name if key == self._giver else key
        try:
            return transport.work(host, "push", order, self._hear(key, show))
        except JobRefused as refused:
            return KINDS.get(refused.kind, LaunchFailed)(f"{key}: {refused}")
        except Dsr1Error as error:
            return error
        finally:
            self._ports.leave(key)
            self._whole.leave(key)

    def _hear(
        self, key: str, show: OnJobProgress
    ) -> "Callable[[JobProgress | JobMessage], JobOrder | None]":
        def hear(heard: JobProgress | JobMessage) -> JobOrder | None:
            if isinstance(heard, JobProgress):
                show(key, heard)
                return None
            if "port" not in heard.plain:
                self._whole.arrive(key, heard.plain, None)
                return None
            told = self._ports.arrive(key, heard.plain, MEET_S)
            if key == self._giver:
                self._whole.arrive(key, {}, None)
                return None
            if self._giver not in told:
                raise HostError(f"{key}: left out, since the source could not begin")
            return {"items": told[self._giver]["items"], "ahead": self.ahead(key, told)}

        return hear

    def ahead(self, key: str, told: Mapping[str, JobOrder]) -> list[tuple[str, int]]:
        """The nearest first: each host's place in the chain is its place in --hosts. The source is
        the last resort."""
        before = [name for name in self._takers[: self._takers.index(key)] if name in told]
        nearest = [(self._addresses[name], int(told[name]["port"])) for name in reversed(before)]
        return [*nearest, (self._addresses[self._wish.giver.name], int(told[self._giver]["port"]))]
