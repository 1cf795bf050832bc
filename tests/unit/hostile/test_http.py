"""Servers that mean harm: an answer without end, and JSON of every form."""

import json
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import given
from tests.unit.hostile.test_answers import BOUNDED
from tests.unit.hostile.values import HOSTILE_TEXTS, any_json

from dsr1.launcher.plan.plan import ServiceTarget
from dsr1.launcher.smoke import http
from dsr1.launcher.smoke.access import FrontendAccess
from dsr1.launcher.smoke.http import BoundedTransport, make_client
from dsr1.launcher.smoke.readiness import missing
from dsr1.launcher.smoke.run import finished

SERVICE = ServiceTarget("127.0.0.1", 1, "m", 1)


def _asked(answer: bytes) -> str:
    own = BoundedTransport(httpx.MockTransport(lambda _: httpx.Response(200, content=answer)))
    with httpx.Client(transport=own) as client:
        return missing(SERVICE, client)


@pytest.mark.parametrize("text", HOSTILE_TEXTS, ids=lambda text: repr(text[:20]))
def test_texts_that_are_no_answer(text: bytes) -> None:
    assert _asked(text)


@given(value=any_json)
@BOUNDED
def test_json_of_any_form(value: object) -> None:
    for plain in (value, {"instances": value}, {"instances": [value]}, {"data": value}):
        assert _asked(json.dumps(plain).encode())


@pytest.mark.parametrize("value", ["1e999", "nan", "-inf", "x", "9" * 5000])
def test_counters_that_are_none(value: str) -> None:
    line = f'vllm:request_success_total{{engine="0",worker_id="a"}} {value}\n'
    assert sum(finished(line).values()) == 0 or value.isdigit()


@pytest.fixture
def endless() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as door:

        def answer() -> None:
            line, _ = door.accept()
            with line:
                line.recv(1000)
                line.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                try:
                    while True:
                        line.sendall(b"y" * 65536)
                except OSError:
                    return

        threading.Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{door.getsockname()[1]}"


def test_an_answer_without_end_is_left(endless: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MOST_BYTES", 1 << 20)
    with (
        make_client(FrontendAccess(20)) as client,
        pytest.raises(httpx.ReadError, match="goes on after 1 MiB"),
    ):
        client.get(endless)
