"""An agent asks its host's own servers for their health: which, what, how long and how much."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.fakes.pki import make_pair

from dsr1.hosts.agent.network import http_get
from dsr1.hosts.errors import HostError
from dsr1.hosts.protocol.events import Alive
from dsr1.hosts.protocol.facts.devices import DEVICES, PATH
from dsr1.hosts.protocol.http import CONTROLS, HttpGet, HttpGot
from dsr1.hosts.protocol.process import Process
from dsr1.hosts.transport.http import get_from_host

if TYPE_CHECKING:
    from tests.agent.conftest import Lab

Make = Callable[..., Process]
METRICS = "a_total 1\nvllm:b 2\nvllm:c 3\n"


class _Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        code = 503 if self.path == "/health" else 200
        body = (METRICS if self.path == "/metrics" else "notready").encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        said = b'{"status": "ok", "was": ' + body + b"}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[int]:
    made = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made.server_port
    made.shutdown()
    made.server_close()


@pytest.fixture
def mute() -> Iterator[int]:
    """It listens, and never answers: a process that is stopped."""
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        yield door.getsockname()[1]


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[int]:
    """A server of HTTPS, whose certificate lies in the same folder."""
    pair = make_pair(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    made = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    made.socket = context.wrap_socket(made.socket, server_side=True)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made.server_port
    made.shutdown()
    made.server_close()


def of(sh: Make, *ports: int) -> Process:
    made = sh("a", "sleep 1000")
    return Process(made.name, made.group, made.host, made.argv, ports=ports)


def test_health_and_metrics_come_over_the_connection(lab: "Lab", sh: Make, server: int) -> None:
    lab.start(of(sh, server))
    gets = (
        HttpGet("a", server, "/health"),
        HttpGet("a", server, "/metrics", keep=("vllm:",)),
        HttpGet("a", server, "/live", address="192.0.2.1"),
        HttpGet(DEVICES, 0, PATH),
        HttpGet("a", server, CONTROLS[0]),
    )
    sick, metrics, elsewhere, devices, sleep = get_from_host(lab.transport, "h", gets)
    assert (sick.status, sick.body) == (503, "notready")
    assert metrics.body == "vllm:b 2\nvllm:c 3\n"
    assert (elsewhere.status, elsewhere.problem) == (200, "")
    assert (devices.status, devices.problem) == (200, "")  # by the agent itself
    assert (sleep.status, sleep.body) == (200, '{"status": "ok", "was": {}}')


@pytest.mark.parametrize(
    ("process", "path", "words"),
    [("b", "/health", "none of b's"), ("a", "/v1/chat/completions", "only /health")],
)
def test_nothing_else_is_asked(
    lab: "Lab", sh: Make, server: int, process: str, path: str, words: str
) -> None:
    lab.start(of(sh, server))
    (got,) = get_from_host(lab.transport, "h", [HttpGet(process, server, path)])
    assert got.status == 0
    assert words in got.problem


def test_what_does_not_answer_holds_nobody_up(lab: "Lab", sh: Make, server: int, mute: int) -> None:
    """The agent goes on with its events and with other questions meanwhile."""
    talk = lab.start(of(sh, server, mute), beat_s=0.1)
    talk.send(HttpGet("a", mute, "/health", timeout_s=0.5, number=1))
    talk.send(HttpGet("a", server, "/live", number=2))
    assert talk.until(HttpGot).number == 2
    talk.until(Alive)
    late = talk.until(HttpGot)
    assert (late.number, late.problem) == (1, "no answer within 0.5 s")


def test_a_closed_port_and_other_protocols(lab: "Lab", sh: Make) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        port = door.getsockname()[1]
        lab.start(of(sh, port))
        threading.Thread(target=_babble, args=(door,), daemon=True).start()
        (babble,) = get_from_host(lab.transport, "h", [HttpGet("a", port, "/health")])
    (closed,) = get_from_host(lab.transport, "h", [HttpGet("a", port, "/health")])
    assert "no answer in HTTP" in babble.problem
    assert closed.problem == f"127.0.0.1:{port}: Connection refused"


def _babble(door: socket.socket) -> None:
    line, _ = door.accept()
    with line:
        line.recv(1 << 16)
        line.sendall(b"\x00\xff SSH-2.0\r\n")


def test_an_endless_answer_is_cut_off(lab: "Lab", sh: Make) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        port = door.getsockname()[1]
        lab.start(of(sh, port))
        threading.Thread(target=_flood, args=(door,), daemon=True).start()
        (got,) = get_from_host(lab.transport, "h", [HttpGet("a", port, "/metrics", timeout_s=20)])
    assert got.problem == f"its answer has more than {http_get.MOST_READ >> 20} MiB"


def _flood(door: socket.socket) -> None:
    line, _ = door.accept()
    with line:
        try:
            line.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                line.sendall(b"x" * 65536)
        except OSError:
            return


def test_an_agent_that_is_gone(lab: "Lab", sh: Make, server: int) -> None:
    with pytest.raises(HostError) as gone:
        get_from_host(lab.transport, "nowhere", [HttpGet("a", server, "/health")])
    assert "in time" not in str(gone.value), "nobody waits for what can't come"


def test_over_tls_the_certificate_of_the_run_is_wanted(
    lab: "Lab", sh: Make, secured: int, server: int, mute: int, tmp_path: Path
) -> None:
    lab.start(of(sh, secured, server, mute))
    asked = HttpGet("a", secured, "/metrics", secured=True)
    (unknown,) = get_from_host(lab.transport, "h", [asked])
    assert unknown.problem.startswith("no certificate to know it by")
    own = tmp_path / "h" / "secrets" / "frontend.pem"
    own.write_text((tmp_path / "cert.pem").read_text())
    (got,) = get_from_host(lab.transport, "h", [asked])
    assert (got.status, got.body) == (200, METRICS)
    (plain,) = get_from_host(lab.transport, "h", [replace(asked, port=server)])
    assert plain.problem.startswith("no TLS")
    (silent,) = get_from_host(lab.transport, "h", [replace(asked, port=mute, timeout_s=0.5)])
    assert silent.problem == "no answer within 0.5 s"
    other = tmp_path / "other"
    other.mkdir()
    own.write_text(make_pair(other).cert.read_text())
    (stranger,) = get_from_host(lab.transport, "h", [asked])
    assert "certificate verify failed" in stranger.problem
