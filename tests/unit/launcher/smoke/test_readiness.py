"""Which of the listed workers are the run's, and what stands between a deployment and an answer."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dsr1.launcher.plan.plan import ServiceTarget
from dsr1.launcher.smoke.access import NO_ACCESS, FrontendAccess
from dsr1.launcher.smoke.readiness import await_answer, frontend_state, generate_workers

LISTED = {"data": [{"id": "m"}]}
CHATTED = {"choices": [{"message": {"content": "hello"}}]}


class Front(BaseHTTPRequestHandler):
    """A frontend that gives, of each path, one answer after the other, and the last of them for
    ever."""

    answers: dict[str, list[tuple[int, object]]]

    def do_GET(self) -> None:
        told = self.answers[self.path]
        status, body = told.pop(0) if len(told) > 1 else told[0]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[ServiceTarget]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Front) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield ServiceTarget("127.0.0.1", server.server_port, "m", 1, namespace="mine")
        server.shutdown()
        serving.join()


def health(*ids: int) -> tuple[int, object]:
    return 200, {
        "instances": [
            {"endpoint": "generate", "namespace": "mine", "instance_id": one} for one in ids
        ]
    }


def test_other_namespaces_and_endpoints_do_not_count() -> None:
    instances = [
        {"endpoint": "generate", "namespace": "mine", "instance_id": 2, "component": "prefill"},
        {"endpoint": "generate", "namespace": "mine", "instance_id": 1, "component": "backend"},
        {"endpoint": "generate", "namespace": "mine_1", "instance_id": 3},
        {"endpoint": "clear_kv_blocks", "namespace": "mine", "instance_id": 1},
    ]
    assert generate_workers({"instances": instances}, "mine") == {1: "backend", 2: "prefill"}
    assert generate_workers({}, "mine") == {}


def test_what_stands_between_is_told_once(service: ServiceTarget) -> None:
    Front.answers = {
        "/health": [health(), health(), health(7)],
        "/v1/models": [(200, {}), (200, LISTED)],
        "/v1/chat/completions": [
            (500, "no endpoints"),
            (500, "no endpoints"),
            (200, {}),
            (200, CHATTED),
        ],
    }
    told: list[str] = []
    assert await_answer(service, FrontendAccess(5), threading.Event(), told.append)
    assert told == [
        "0 of 1 workers registered",
        "m is not listed",
        'a chat request failed: HTTP 500: "no endpoints"',
        "a chat request failed: KeyError: 'choices'",
    ]


def test_a_chat_that_always_fails_is_left_to_the_ranks(service: ServiceTarget) -> None:
    """Who is asked by itself says which of them it is."""
    Front.answers = {
        "/health": [health(7)],
        "/v1/models": [(200, LISTED)],
        "/v1/chat/completions": [(500, "CUDA error")],
    }
    told: list[str] = []
    assert await_answer(service, FrontendAccess(0.3), threading.Event(), told.append)
    assert set(told) <= {
        'a chat request failed: HTTP 500: "CUDA error"',
        "the frontend doesn't answer (ReadTimeout)",  # within the 0.3 s, on a busy machine
    }


def test_nobody_waits_for_an_answer_once_it_is_over(service: ServiceTarget) -> None:
    Front.answers = {"/health": [health()]}
    over = threading.Event()
    assert not await_answer(service, FrontendAccess(5), over, lambda _: over.set())


def test_a_look_tells_what_is_gone(service: ServiceTarget) -> None:
    Front.answers = {"/health": [health(7), health()], "/v1/models": [(200, LISTED)]}
    assert frontend_state(service, NO_ACCESS) == ""
    assert frontend_state(service, NO_ACCESS) == "0 of 1 workers registered"
    gone = ServiceTarget("127.0.0.1", 1, "m", 1)
    assert frontend_state(gone, NO_ACCESS) == "the frontend doesn't answer (ConnectError)"
