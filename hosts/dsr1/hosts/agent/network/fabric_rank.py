"""One rank of the fabric's test: with every other host in turn it measures the link to it, by
torch.distributed.

It runs in a child of its own, by its source alone: nothing of dsr1 is imported. Each pair is a
process group by itself, so that one that can't be formed says so and the others go on. What is
measured is printed at once, a JSON line each.
"""

import contextlib
import datetime
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

PINGS, BUDGET_S, MOST_CHUNKS, TRIES = 20, 0.1, 256, 3
CHUNK = {"cpu": 256 * 2**10, "cuda": 16 * 2**20}
BACKEND = {"cpu": "gloo", "cuda": "nccl"}
JOIN_S, PAIR_S, ROUND_S = 30.0, 10.0, 15.0
SendReport = Callable[..., None]


def rounds(hosts: list[int]) -> Iterator[list[tuple[int, int]]]:
    """Every pair once, in rounds of pairs that share no host (the circle method)."""
    ring: list[int | None] = [*hosts, None] if len(hosts) % 2 else [*hosts]
    for _ in range(len(ring) - 1):
        both = zip(ring, reversed(ring[len(ring) // 2 :]), strict=False)
        yield [(a, b) for a, b in both if a is not None and b is not None]
        ring.insert(1, ring.pop())


def wait_for(is_done: Callable[[], bool], limit_s: float) -> None:
    """Looks without pause: what is waited for is measured. RuntimeError: it wasn't in time."""
    until = time.monotonic() + limit_s
    while not is_done():
        if time.monotonic() > until:
            raise RuntimeError(f"nothing came through in {limit_s:g} s")


def seconds(number: float) -> datetime.timedelta:
    return datetime.timedelta(seconds=number)


class FabricRank:
    """`order` says which of the hosts this is, which of its devices, and where the first host's
    store listens."""

    def __init__(self, order: dict[str, Any], report: SendReport) -> None:
        import torch
        import torch.distributed

        self._torch, self._dist = torch, torch.distributed
        self._host, self._local, self._locals = order["host"], order["local"], order["local_ranks"]
        self._device, self._report, self._pairs = order["device"], report, order["pairs"]
        if self._device == "cuda":
            torch.cuda.set_device(self._local)
        where = torch.device(self._device, self._local if self._device == "cuda" else 0)
        self._small = torch.zeros(1, dtype=torch.int64, device=where)
        self._bulk = torch.zeros(CHUNK[self._device], dtype=torch.uint8, device=where)
        leads = self._host == 0 and self._local == 0
        self._store = torch.distributed.TCPStore(
            order["address"], order["port"], None, leads, seconds(JOIN_S), wait_for_workers=False
        )

    def run(self, hosts: int) -> None:
        present = self._gather(hosts)
        for number, pairs in enumerate(self._turns(present)):
            for pair in pairs:
                if self._host in pair:
                    self._measure_pair(pair)
            self._meet(f"round{number}", len(present) * self._locals)
        self._meet("end", len(present) * self._locals)

    def _turns(self, present: list[int]) -> Iterator[list[tuple[int, int]]]:
        """All pairs; or those that are asked for, one at a time, with nothing else on the links."""
        if not self._pairs:
            return rounds(present)
        return ([(a, b)] for a, b in self._pairs if {a, b} <= set(present))

    def _gather(self, hosts: int) -> list[int]:
        """Who has come; the first rank decides, after a while, without those that haven't."""
        mine = [f"here{host}.{local}" for host in range(hosts) for local in range(self._locals)]
        self._store.set(f"here{self._host}.{self._local}", "")
        if (self._host, self._local) == (0, 0):
            with contextlib.suppress(RuntimeError):
                self._store.wait(mine, seconds(JOIN_S))
            came = [
                h
                for h in range(hosts)
                if all(self._store.check([f"here{h}.{i}"]) for i in range(self._locals))
            ]
            self._store.set("present", json.dumps(came))
        self._store.wait(["present"], seconds(2 * JOIN_S))
        present: list[int] = json.loads(self._store.get("present"))
        for absent in set(range(hosts)) - set(present):
            self._report(absent=absent)
        return present

    def _meet(self, name: str, count: int) -> None:
        """A round begins when all are through with the one before, or have had the time."""
        if self._store.add(f"{name}.count", 1) == count:
            self._store.set(name, "")
        with contextlib.suppress(RuntimeError):
            self._store.wait([name], seconds(ROUND_S))

    def _measure_pair(self, pair: tuple[int, int]) -> None:
        first, (other,) = pair[0] == self._host, [host for host in pair if host != self._host]
        name = f"{pair[0]}-{pair[1]}.{self._local}"
        try:
            store = self._dist.PrefixStore(name, self._store)
            self._dist.init_process_group(
                BACKEND[self._device],
                store=store,
                rank=0 if first else 1,
                world_size=2,
                timeout=seconds(PAIR_S),
            )
            self._measure(first, other)
            self._leave(self._dist.destroy_process_group)
        except (RuntimeError, ValueError) as error:
            self._report(other=other, error=(str(error).strip().splitlines() or ["it failed"])[0])
            self._leave(self._abort if self._device == "cuda" else self._dist.destroy_process_group)

    def _abort(self) -> None:
        """In order NCCL ends a group when its kernels have ended, which those of a broken one never
        do."""
        self._dist.distributed_c10d._abort_process_group()

    def _leave(self, end: Callable[[], None]) -> None:
        with contextlib.suppress(Exception):  # a broken group may not even end well
            end()

    def _measure(self, first: bool, other: int) -> None:
        """One sends and measures, then the other."""
        peer = 1 if first else 0
        for sends in (first, not first):
            if sends:
                self._report(other=other, us=self._ping(peer), gbps=self._push(peer))
            else:
                self._answer(peer)

    def _send(self, what: Any, peer: int) -> None:
        self._dist.send(what, peer)
        self._settle()

    def _receive(self, into: Any, peer: int) -> None:
        self._dist.recv(into, peer)
        self._settle()

    def _settle(self) -> None:
        """With NCCL what was begun is only queued. torch's own blocking wait sleeps a millisecond
        at a time."""
        if self._device == "cuda":
            done = self._torch.cuda.Event()
            done.record()
            wait_for(done.query, PAIR_S)

    def _ping(self, peer: int) -> float:
        """Half of the fastest round trip, in microseconds: what a busy host adds is not the
        fabric's."""
        trips = []
        for _ in range(PINGS):
            began = time.perf_counter()
            self._send(self._small, peer)
            self._receive(self._small, peer)
            trips.append(time.perf_counter() - began)
        return float(min(trips) / 2 * 1e6)

    def _push(self, peer: int) -> float:
        """Gb/s, by as many chunks as take a tenth of a second, judged by the second: the first one
        connects."""
        self._timed(peer, 1)
        count = min(MOST_CHUNKS, max(1, int(BUDGET_S / self._timed(peer, 1))))
        self._small.fill_(count)
        self._send(self._small, peer)
        fastest = min(self._timed(peer, count) for _ in range(TRIES))
        return float(count * self._bulk.numel() * 8 / fastest / 1e9)

    def _timed(self, peer: int, count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            self._dist.send(self._bulk, peer)
        self._receive(self._small, peer)
        return time.perf_counter() - began

    def _answer(self, peer: int) -> None:
        for _ in range(PINGS):
            self._receive(self._small, peer)
            self._send(self._small, peer)
        self._take(peer, 1)
        self._take(peer, 1)
        self._receive(self._small, peer)
        count = int(self._small.item())
        for _ in range(TRIES):
            self._take(peer, count)

    def _take(self, peer: int, count: int) -> None:
        for _ in range(count):
            self._dist.recv(self._bulk, peer)
        self._send(self._small, peer)


def main() -> None:
    order = json.loads(sys.argv[1])
    signal.alarm(int(order["limit_s"]))  # whatever hangs, in C too, ends
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def report(**what: object) -> None:
        out.write(json.dumps({"local": order["local"], **what}) + "\n")
        out.flush()

    try:
        FabricRank(order, report).run(order["hosts"])
    except (RuntimeError, OSError, ImportError) as error:
        report(problem=f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}")
    out.flush()
    os._exit(0)  # no thread of torch's keeps us


if __name__ == "__main__":
    main()
