"""A bridge for a Prometheus: pages of processes that only their own hosts can ask, through the
agents, and what there is to ask (http_sd)."""

import base64
import hmac
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import Dsr1Error
from dsr1.hosts.protocol.facts.devices import DEVICES, PATH
from dsr1.hosts.protocol.http import HttpGet
from dsr1.launcher.health.members import frontend_gets, worker_gets
from dsr1.launcher.health.settings import AsksAgents
from dsr1.launcher.metrics.prometheus.access import USER
from dsr1.launcher.metrics.prometheus.targets import RUN_PAGE, bridged_groups
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.run.state import RunState

READ_S, IDLE_S = 8.0, 20.0
MOST_AT_ONCE = 256
"""Connections: each has a thread, until it has said nothing for IDLE_S."""
TEXT, JSON = "text/plain; version=0.0.4; charset=utf-8", "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str
    kind: str = TEXT


class Bridge:
    """Of one run. `read`: its plan and state as they are now."""

    def __init__(self, agents: AsksAgents, read: Callable[[], tuple[Plan, RunState]]) -> None:
        self._agents, self._read = agents, read

    def answer(self, path: str, at: str, secured: bool = False) -> Answer:
        """`at`: how this bridge is reached, HOST:PORT, `secured`: by HTTPS."""
        try:
            plan, state = self._read()
            if path == "/targets":
                return Answer(200, json.dumps(bridged_groups(plan, at, secured)), JSON)
            if path == RUN_PAGE:
                return Answer(200, "".join(f"{line}\n" for line in run_lines(state)))
            return self._page(plan, path)
        except Dsr1Error as error:
            return Answer(503, f"{error}\n")

    def _page(self, plan: Plan, path: str) -> Answer:
        host, _, process = path.removeprefix(f"{RUN_PAGE}/").partition("/")
        get = find_get(plan, unquote(host), unquote(process))
        if get is None:
            return Answer(404, "there is no such page: /targets names all\n")
        (got,) = self._agents.get(unquote(host), [get])
        if not got.is_ok:
            return Answer(503, f"{got.problem or f'HTTP {got.status}'}\n")
        return Answer(200, got.body[: got.body.rfind("\n") + 1])  # it may have been cut


def find_get(plan: Plan, host: str, process: str) -> HttpGet | None:
    """The question for a page; None: the run has no such process."""
    if process == DEVICES and any(one.host == host for one in plan.hosts):
        return HttpGet(DEVICES, 0, PATH, timeout_s=READ_S)
    hosts = {one.name: one.host for one in plan.processes}
    if hosts.get(process) != host:
        return None
    workers = [worker_gets(worker, READ_S)[1] for worker in plan.service.workers]
    asked: list[HttpGet] = [*workers, *frontend_gets(plan, READ_S).get(host, ())]
    own = [one for one in asked if one.process == process]
    return replace(own[0], path="/metrics", keep=()) if own else None


def run_lines(state: RunState) -> Iterator[str]:
    """What dsr1 itself knows of the run."""
    yield f'dsr1_run_phase{{phase="{_label(state.phase)}"}} 1'
    yield f"dsr1_run_restarts {state.restarts}"
    for row in state.ailing:
        labels = {"group": row.engine, "engine": str(row.rank), "rank_host": row.host}
        shown = ",".join(f'{name}="{_label(value)}"' for name, value in labels.items())
        yield f'dsr1_rank_unwell{{{shown},verdict="{_label(row.verdict)}"}} 1'


def _label(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


Connection = socket.socket | tuple[bytes, socket.socket]
"""As socketserver has it."""


class BridgeServer(ThreadingHTTPServer):
    """Listens at once; by HTTPS with `context`. `password`: what user dsr1 has to send; empty:
    nobody is asked. OSError: it can't."""

    daemon_threads = True
    request_queue_size = MOST_AT_ONCE  # a Prometheus asks for all pages at about the same time

    def __init__(
        self,
        bridge: Bridge,
        address: str,
        port: int,
        context: ssl.SSLContext | None = None,
        password: str = "",
    ) -> None:
        super().__init__((address, port), _Handler)
        self.bridge, self.is_secured = bridge, context is not None
        self._room = threading.BoundedSemaphore(MOST_AT_ONCE)
        self.reached = f"{address}:{self.server_port}"
        self._wanted = base64.b64encode(f"{USER}:{password}".encode()) if password else b""
        if context:  # each connection shakes hands in its own thread, within its own time
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    def begin(self) -> None:
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def lets_in(self, authorization: str) -> bool:
        """By its header."""
        kind, _, told = authorization.partition(" ")
        sent = told.strip().encode(errors="replace")
        fits = kind.lower() == "basic" and hmac.compare_digest(sent, self._wanted)
        return not self._wanted or fits

    def process_request(self, request: Connection, client_address: object) -> None:
        """One too many is closed: a Prometheus asks again."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Connection, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Who asks and goes away, or doesn't speak TLS, is of no interest."""


class _Handler(BaseHTTPRequestHandler):
    server: BridgeServer
    timeout = IDLE_S  # of a client that says nothing

    def do_GET(self) -> None:
        server = self.server
        if not server.lets_in(self.headers.get("Authorization", "")):
            self._send(Answer(401, "the metrics of this run want user dsr1 and its password\n"))
            return
        self._send(
            server.bridge.answer(urlsplit(self.path).path, server.reached, server.is_secured)
        )

    def _send(self, answer: Answer) -> None:
        body = answer.body.encode(errors="replace")
        self.send_response(answer.status)
        if answer.status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="dsr1"')
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """A line a scrape is of no use."""
