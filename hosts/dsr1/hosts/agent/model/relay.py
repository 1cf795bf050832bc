"""Hosts that pass a model on: each serves what it has, while it still comes in, to those behind it.

A request is a line of JSON: `[index, offset]` asks for a file from there on. The answer comes in
frames, a length of four bytes before each. An empty frame means: alive, nothing new yet. So only
the host right behind a dead one notices the silence, and not all hosts behind it turn to the source
at once.
"""

import json
import os
import socket
import ssl
import struct
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import IO

from dsr1.hosts.agent.model.guests import Guests
from dsr1.hosts.agent.model.inside import open_inside
from dsr1.hosts.agent.model.store import ModelStore
from dsr1.hosts.agent.process.open_files import raise_open_files

BLOCK, LONGEST_LINE = 1 << 20, 256
ALIVE_S, SILENT_S = 1.0, 8.0
IDLE_S = 900.0  # between two requests a peer may hash what it has of a file
AGAIN_S = 0.1
MOST_STRANGERS, MOST_PEERS = 128, 1100  # 255 hosts have four streams each
FRAME = struct.Struct(">I")


def make_context(purpose: int, secrets: Mapping[str, str]) -> ssl.SSLContext:
    """Both sides show the push's own certificate, and take nothing else. OpenSSL reads it from a
    file alone."""
    context = ssl.SSLContext(purpose)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=secrets["ca.pem"])
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(secrets["tls.key"] + secrets["tls.pem"])
        file.flush()
        context.load_cert_chain(file.name)
    return context


class RelayServer:
    """Serves a store to whoever has the certificate, on one address, a thread for each
    connection."""

    def __init__(self, address: str, secrets: Mapping[str, str]) -> None:
        raise_open_files()
        self._context = make_context(ssl.PROTOCOL_TLS_SERVER, secrets)
        self._strangers, self._peers = Guests(MOST_STRANGERS), Guests(MOST_PEERS)
        self._closed = False
        self._listener = socket.create_server((address, 0), family=_family(address), backlog=64)
        self.port: int = self._listener.getsockname()[1]

    def begin(self, store: ModelStore) -> None:
        threading.Thread(target=self._accept, args=(store,), daemon=True).start()

    def close(self) -> None:
        """No new peers; shutting it down first wakes the thread that waits for them."""
        self._closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self, store: ModelStore) -> None:
        """Whatever an accept fails of, the next may be a host of the push."""
        while not self._closed:
            try:
                line, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(line, store), daemon=True).start()
            except (OSError, RuntimeError):  # no descriptor is left, or no thread
                time.sleep(AGAIN_S)

    def _serve(self, line: socket.socket, store: ModelStore) -> None:
        """A peer that goes, or is none of ours, ends its own connection alone."""
        line.settimeout(SILENT_S)
        with (
            line,
            suppress(OSError, ValueError, LookupError, TypeError),
            self._context.wrap_socket(
                line, server_side=True, do_handshake_on_connect=False
            ) as secure,
        ):
            with self._strangers.entered(secure):
                secure.do_handshake()
            self._answer(secure, store)

    def _answer(self, secure: ssl.SSLSocket, store: ModelStore) -> None:
        secure.settimeout(IDLE_S)
        with self._peers.entered(secure), secure.makefile("rb") as lines:
            for index, offset in _requests(lines):
                send_file(secure, store, index, offset)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _requests(lines: IO[bytes]) -> Iterator[tuple[int, int]]:
    """ValueError: this is none."""
    while line := lines.readline(LONGEST_LINE):
        index, offset = json.loads(line)
        yield int(index), int(offset)


def send_file(line: socket.socket, store: ModelStore, index: int, offset: int) -> None:
    size, file = store.items[index].size, -1
    try:
        while offset < size:
            have = store.wait_beyond(index, offset, ALIVE_S)
            if have <= offset:
                line.sendall(FRAME.pack(0))
                continue
            file = open_inside(store.path(index), store.roots) if file < 0 else file
            data = os.pread(file, min(BLOCK, have - offset), offset)
            if not data:
                raise OSError("what was there has been thrown away")
            line.sendall(FRAME.pack(len(data)) + data)
            offset += len(data)
    finally:
        if file >= 0:
            os.close(file)


class RelayConnection:
    """A connection to a host that is ahead. Every method raises OSError when it is lost or falls
    silent."""

    def __init__(self, address: str, port: int, context: ssl.SSLContext) -> None:
        plain = socket.create_connection((address, port), timeout=SILENT_S)
        try:
            self._line = context.wrap_socket(plain, server_hostname=address)
        except OSError:
            plain.close()
            raise
        self._frames = self._line.makefile("rb", buffering=BLOCK)

    def close(self) -> None:
        with suppress(OSError):
            self._frames.close()
            self._line.close()

    def file(self, index: int, offset: int, size: int) -> Iterator[bytes]:
        """From there to its end; an empty block now and then while nothing comes."""
        self._ask(index, offset)
        while offset < size:
            data = self._frame()
            offset += len(data)
            yield data

    def _ask(self, index: int, offset: int) -> None:
        self._line.sendall(json.dumps([index, offset]).encode() + b"\n")

    def _frame(self) -> bytes:
        (length,) = FRAME.unpack(self._read(FRAME.size))
        if length > BLOCK:
            raise ConnectionError("the peer sent a frame that is too long")
        return self._read(length)

    def _read(self, count: int) -> bytes:
        data: bytes = self._frames.read(count)
        if len(data) < count:
            raise ConnectionError("the connection ended")
        return data
