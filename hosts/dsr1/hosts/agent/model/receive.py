"""Takes a model in from the hosts ahead: the nearest that answers, and another one when that falls
silent."""

import errno
import hashlib
import math
import os
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dsr1.hosts.agent.model.hashes import hash_file
from dsr1.hosts.agent.model.inside import StagingArea
from dsr1.hosts.agent.model.relay import RelayConnection
from dsr1.hosts.agent.model.store import ModelStore
from dsr1.hosts.protocol.jobs.messages import JobRefused, Meter
from dsr1.hosts.protocol.jobs.orders import StoreFile

if TYPE_CHECKING:
    from hashlib import _Hash

STREAMS = 4
LONG_PAUSE_S, PAUSE_S = 20.0, 0.5
Address = tuple[str, int]


class Upstreams:
    """The hosts ahead, the nearest first and the source last. One that failed is left alone for a
    while."""

    def __init__(
        self, addresses: Sequence[Address], context: ssl.SSLContext, patience_s: float
    ) -> None:
        self._addresses, self._context, self._patience_s = addresses, context, patience_s
        self._paused_until = dict.fromkeys(addresses, 0.0)
        self._last = time.monotonic()

    @property
    def count(self) -> int:
        return len(self._addresses)

    def progressed(self) -> None:
        """Something came."""
        self._last = time.monotonic()

    def connect(self) -> tuple[Address, RelayConnection]:
        """JobRefused when nothing has come from anybody for too long."""
        while True:
            now = time.monotonic()
            if now - self._last > self._patience_s:
                count = len(self._addresses)
                why = (
                    f"none of the {count} hosts ahead has sent anything for {self._patience_s:g} s"
                )
                raise JobRefused("work", why)
            address = next((one for one in self._addresses if self._paused_until[one] <= now), None)
            if address is None:
                time.sleep(PAUSE_S)
                continue
            try:
                return address, RelayConnection(*address, self._context)
            except OSError:
                self.pause(address)

    def leave_out(self, address: Address) -> None:
        """What came from there was wrong. Behind the source there is nobody."""
        if address == self._addresses[-1]:
            self.pause(address)
        else:
            self._paused_until[address] = math.inf

    def pause(self, address: Address) -> None:
        """The source too, but not for long: there is none behind it."""
        rest_s = PAUSE_S if address == self._addresses[-1] else LONG_PAUSE_S
        self._paused_until[address] = time.monotonic() + rest_s


class UpstreamConnection:
    """A stream's connection to a host ahead; to another one after a loss."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams
        self._open: tuple[Address, RelayConnection] | None = None

    def line(self) -> RelayConnection:
        self._open = self._open or self._upstreams.connect()
        return self._open[1]

    def drop(self) -> None:
        if self._open:
            self._upstreams.pause(self._open[0])
        self.close()

    def distrust(self) -> None:
        if self._open:
            self._upstreams.leave_out(self._open[0])
        self.close()

    def close(self) -> None:
        if self._open:
            self._open[1].close()
        self._open = None


class _WrongContent(Exception):
    """What came isn't what the source has."""


class Receiver:
    """Receives every file of a store into a folder, several at a time, in the order of all."""

    def __init__(
        self,
        area: StagingArea,
        store: ModelStore,
        upstreams: Upstreams,
        hash_of: Callable[[int], str],
    ) -> None:
        """`hash_of` gives the source's hash of a file by its number."""
        self._area, self._store, self._upstreams = area, store, upstreams
        self._hash_of = hash_of
        self._left = list(range(len(store.items)))[::-1]
        self._taking = threading.Lock()

    def adopt_existing(self) -> None:
        """What is there already, whole or in part, is in store."""
        for index, item in enumerate(self._store.items):
            final, part = self._area.folder / item.name, self._part(item)
            if self._has_its_size(item):
                self._store.put(index, final, item.size)
            elif part.exists() and part.stat().st_size <= item.size:
                self._store.put(index, part, part.stat().st_size)

    def run(self) -> None:
        with ThreadPoolExecutor(STREAMS) as pool:
            streams = [pool.submit(self._stream) for _ in range(STREAMS)]
            for stream in streams:
                stream.result()

    def _has_its_size(self, item: StoreFile) -> bool:
        return self._area.size(item.name) == item.size

    def _part(self, item: StoreFile) -> Path:
        """Of this very content: one of a source that has changed meanwhile is never gone on
        with."""
        return self._area.part(f"{item.name}.{item.size}-{item.changed}")

    def _stream(self) -> None:
        """One connection, one file after the other."""
        with closing(UpstreamConnection(self._upstreams)) as connection:
            while (index := self._next()) is not None:
                self._receive_from_any(index, connection)

    def _receive_from_any(self, index: int, connection: UpstreamConnection) -> None:
        """Whatever happens on the network: another host ahead heals that. What came wrong from all
        of them, and once more since a part of a former push may have been spoilt, is wrong at its
        source."""
        wrong = 0
        while True:
            try:
                self._receive(index, connection.line())
                return
            except _WrongContent as error:
                wrong += 1
                if wrong > self._upstreams.count:
                    raise JobRefused("work", f"{self._store.items[index].name}: {error}") from None
                connection.distrust()
            except (OSError, ValueError) as error:
                if _is_of_the_disk(error):
                    raise
                connection.drop()

    def _next(self) -> int | None:
        with self._taking:
            return self._left.pop() if self._left else None

    def _receive(self, index: int, line: RelayConnection) -> None:
        item = self._store.items[index]
        if self._has_its_size(item) and self._matches(index, item):
            return
        digest, wanted = self._download(index, item, line), self._hash_of(index)
        if digest == wanted:
            self._keep(index, item)
            return
        self._store.put(index, self._part(item), 0)
        self._part(item).unlink()
        why = f"came with the hash {digest}, and {wanted} is the source's, or its record's"
        raise _WrongContent(why)

    def _matches(self, index: int, item: StoreFile) -> bool:
        """By its time, as rsync judges; else by its hash: it may have been copied by other
        means."""
        wanted = self._hash_of(index)
        with self._area.opened(item.name) as final:
            if final.stat().st_mtime_ns != item.changed:
                if hash_file(final, Meter()) != wanted:
                    self._store.put(index, self._part(item), 0)
                    return False
                with suppress(PermissionError):  # somebody else's: it is hashed the next time, too
                    os.utime(final, ns=(item.changed, item.changed))
        return True

    def _download(self, index: int, item: StoreFile, line: RelayConnection) -> str:
        """The rest of the part, hashed on its way; gives the hash of all of it."""
        part = self._part(item)
        part.touch()
        offset = part.stat().st_size
        digest = _hash_so_far(part)
        with part.open("ab", buffering=0) as file:
            for data in line.file(index, offset, item.size):
                self._upstreams.progressed()
                _write_all(file.fileno(), data, part)
                digest.update(data)
                offset += len(data)
                self._store.put(index, part, offset)
        self._store.put(index, part, offset)
        return digest.hexdigest()

    def _keep(self, index: int, item: StoreFile) -> None:
        part = self._part(item)
        os.utime(part, ns=(item.changed, item.changed))
        self._area.adopt(part, item.name, item.mode)
        self._store.put(index, self._area.folder / item.name, item.size)


def _hash_so_far(part: Path) -> "_Hash":
    digest = hashlib.sha256()
    with part.open("rb") as file:
        while data := file.read(1 << 20):
            digest.update(data)
    return digest


def _write_all(file: int, data: bytes, path: Path) -> None:
    """What the disk refuses names the file."""
    try:
        while data:
            data = data[os.write(file, data) :]
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _is_of_the_disk(error: Exception) -> bool:
    """Not of the network, which another host may heal."""
    named = isinstance(error, OSError) and error.filename is not None
    return named or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EIO)
