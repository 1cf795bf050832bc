"""GETs of this host's own servers, within the agent's loop: bounded in time, in size and in number,
so that no server can hold it up."""

import errno
import http.client
import io
import ipaddress
import json
import os
import selectors
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

from dsr1.hosts.agent.process.timers import Timers
from dsr1.hosts.protocol.http import CONTROLS, LOOPBACK, PATHS, HttpGet, HttpGot, trust_one
from dsr1.hosts.protocol.process import HostPlan

MOST_READ, MOST_AT_ONCE, LONGEST_S = 8 << 20, 512, 30.0
LONGEST_CONTROL_S = 600.0
MOST_BODY, MOST_LINE = 512 << 10, 768 << 10  # of what is passed on, as text and as JSON
BLOCK = 1 << 16
OnGot = Callable[[HttpGot], None]


class HttpGetter:
    """Asks processes of one plan, and nobody else."""

    def __init__(
        self, plan: HostPlan, selector: selectors.BaseSelector, timers: Timers, certificate: Path
    ) -> None:
        """`certificate`: what those show that are asked over TLS."""
        self.replan(plan)
        self._selector, self._timers, self._certificate = selector, timers, certificate
        self._open = 0

    def replan(self, plan: HostPlan) -> None:
        self._ports = {process.name: process.ports for process in plan.processes}

    def begin(self, order: HttpGet, tell: OnGot) -> None:
        """`tell` is called once, at once or later."""
        problem = self._refusal(order)
        if problem:
            tell(HttpGot(order.number, 0, problem=problem))
            return
        self._open += 1

        def done(got: HttpGot) -> None:
            self._open -= 1
            tell(got)

        try:
            tls = trust_one(self._certificate.read_text()) if order.secured else None
        except OSError as error:  # ssl.SSLError is one
            done(HttpGot(order.number, 0, problem=f"no certificate to know it by: {error}"))
            return
        exchange = _Exchange(order, self._selector, done, tls)
        longest_s = LONGEST_CONTROL_S if order.path in CONTROLS else LONGEST_S
        self._timers.after(min(order.timeout_s, longest_s), exchange.give_up)
        exchange.connect()

    def _refusal(self, order: HttpGet) -> str:
        if order.port not in self._ports.get(order.process, ()):
            return f"port {order.port} is none of {order.process}'s in the plan"
        if order.path not in (*PATHS, *CONTROLS):
            return f"only {', '.join((*PATHS, *CONTROLS))} may be asked for"
        return "" if self._open < MOST_AT_ONCE else f"{MOST_AT_ONCE} others wait already"


class _Exchange:
    """One question: connected, sent, received until the server closes."""

    def __init__(
        self,
        order: HttpGet,
        selector: selectors.BaseSelector,
        tell: OnGot,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._order, self._selector, self._tell, self._tls = order, selector, tell, tls
        self._addresses = _own_addresses(order.address)
        self._line: socket.socket | None = None
        self._received = bytearray()
        self._problem, self._over = "", False

    def connect(self) -> None:
        """To the next address that takes it."""
        for address in self._addresses:
            try:
                self._begin(address)
            except OSError as error:
                self._fail(address, error)
            else:
                return
        self._end(HttpGot(self._order.number, 0, problem=self._problem))

    def _begin(self, address: str) -> None:
        """An address that isn't this host's own can't be bound."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        line = self._line = socket.socket(family, socket.SOCK_STREAM)
        line.setblocking(False)
        line.bind((address, 0))
        _refuse(line.connect_ex((address, self._order.port)), errno.EINPROGRESS)
        self._selector.register(line, selectors.EVENT_WRITE, lambda: self._connected(address))

    def _connected(self, address: str) -> None:
        assert self._line is not None
        try:
            _refuse(self._line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            if self._tls is None:
                self._send()
                return
            self._selector.unregister(self._line)
            self._line = self._tls.wrap_socket(self._line, do_handshake_on_connect=False)
            self._selector.register(self._line, selectors.EVENT_WRITE, self._shake_hands)
        except OSError as problem:
            self._fail(address, problem)
            self.connect()

    def _send(self) -> None:
        assert self._line is not None
        self._line.send(_request(self._order))
        self._selector.modify(self._line, selectors.EVENT_READ, self._receive)

    def _shake_hands(self) -> None:
        assert isinstance(self._line, ssl.SSLSocket)
        try:
            self._line.do_handshake()
            self._send()
        except ssl.SSLWantReadError:
            self._selector.modify(self._line, selectors.EVENT_READ, self._shake_hands)
        except ssl.SSLWantWriteError:
            self._selector.modify(self._line, selectors.EVENT_WRITE, self._shake_hands)
        except OSError as error:
            self._end(self._failed(f"no TLS: {error.strerror or error}"))

    def _receive(self) -> None:
        """What TLS has decrypted already wakes no selector: all of it is taken at once."""
        assert self._line is not None
        try:
            self._take(self._line.recv(BLOCK))
            while isinstance(self._line, ssl.SSLSocket) and self._line.pending():
                self._take(self._line.recv(BLOCK))
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError as error:
            self._end(self._failed(f"the connection broke: {error.strerror}"))

    def _take(self, data: bytes) -> None:
        self._received += data
        if not data:
            self._end(parse_http_answer(self._order, bytes(self._received)))
        elif len(self._received) > MOST_READ:
            self._end(self._failed(f"its answer has more than {MOST_READ >> 20} MiB"))

    def give_up(self) -> None:
        if not self._over:
            heard = "no whole answer" if self._received else "no answer"
            self._end(self._failed(f"{heard} within {self._order.timeout_s:g} s"))

    def _failed(self, problem: str) -> HttpGot:
        return HttpGot(self._order.number, 0, problem=problem)

    def _fail(self, address: str, error: OSError) -> None:
        self._problem = self._problem or f"{address}:{self._order.port}: {error.strerror}"
        self._close()

    def _end(self, got: HttpGot) -> None:
        self._over = True
        self._close()
        self._tell(got)

    def _close(self) -> None:
        line, self._line = self._line, None
        if line is None:
            return
        if line in self._selector.get_map():
            self._selector.unregister(line)
        line.close()


def _refuse(error: int, *but: int) -> None:
    if error not in (0, *but):
        raise OSError(error, os.strerror(error))


def _own_addresses(address: str) -> Iterator[str]:
    """A name would have to be looked up, which may take for ever."""
    try:
        given = ipaddress.ip_address(address)
    except ValueError:
        return iter((LOOPBACK,))
    own = () if given.is_unspecified else (address,)
    return iter(dict.fromkeys((*own, LOOPBACK)))


def _request(order: HttpGet) -> bytes:
    method, more, body = "GET", "", ""
    if order.path in CONTROLS:
        method, body = "POST", "{}"
        more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    head = f"{method} {order.path} HTTP/1.1\r\nHost: {LOOPBACK}:{order.port}\r\n{more}"
    return f"{head}Connection: close\r\nAccept: */*\r\n\r\n{body}".encode()


class _Received:
    """Bytes in the place of the socket that they came from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._data)


def parse_http_answer(order: HttpGet, data: bytes) -> HttpGot:
    response = http.client.HTTPResponse(_Received(data))  # type: ignore[arg-type]
    try:
        response.begin()
        text = response.read().decode(errors="replace")
    except (http.client.HTTPException, ValueError, OSError) as error:
        return HttpGot(order.number, 0, problem=f"no answer in HTTP: {type(error).__name__}")
    if order.keep:
        text = "".join(line for line in text.splitlines(True) if line.startswith(order.keep))
    return HttpGot(order.number, response.status, _cut(text[:MOST_BODY]))


def _cut(text: str) -> str:
    """Escaped it may be six times as long."""
    while len(json.dumps(text)) > MOST_LINE:
        text = text[: len(text) // 2]
    return text
