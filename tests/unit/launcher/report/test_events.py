"""The stream of events, as sites read it, and a start as a trace."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.answers import data_of
from tests.fleet import AILING, START, fleet_plan, fleet_run

from dsr1.launcher.report.events import follow_events
from dsr1.launcher.run.ranks import Moment, all_ready, first_table
from dsr1.launcher.run.record.history import Change, record
from dsr1.launcher.run.record.starts import record_phases
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run

PLAN = fleet_plan()
Call = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))
    run = fleet_run(tmp_path, PLAN)
    table = first_table(PLAN, Moment(START, 0.0))
    record_phases(run, (), table)
    record_phases(run, table, all_ready(table, Moment(START + 65, 65.0)))
    record(run, Change(START + 65, "supervisor", "ready"))
    record(run, Change(START + 90, "supervisor", "failed", AILING.why, "decode", 9, "node02"))
    record(run, Change(START + 95, "dsr1 restart", "restart", "asked to", "decode"))
    return run


def test_the_form_of_the_lines_stays(
    run: Run, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("events", "fleet") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 2 * 128 + 3
    assert lines[0] == {
        "version": 1,
        "time": START,
        "kind": "start",
        "what": "starting",
        "why": "",
        "who": "supervisor",
        "engine": "prefill",
        "rank": 0,
        "host": lines[0]["host"],
        "process": "prefill-0",
    }
    assert [line["kind"] for line in lines if line["kind"] != "start"] == ["run", "rank", "engine"]
    assert lines[-1]["who"] == "dsr1 restart"


def test_followers_get_each_once_and_the_last_too(run: Run) -> None:
    looks = iter((False, False, True))

    def is_over() -> bool:
        over = next(looks)
        if over:
            record(run, Change(START + 99, "supervisor", "stopped"))
        return over

    told = list(follow_events(run, is_over))
    assert len(told) == len(set(told)) == 2 * 128 + 4
    assert told[-1].what == "stopped"


def test_a_run_without_a_history_has_no_events(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: Call,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))
    fleet_run(tmp_path, PLAN).save(RunState("stopped", 1.0))
    assert call("events", "-f") == 0
    assert capsys.readouterr().out == ""
    assert call("timeline") == 4
    assert "nothing of its start is recorded" in capsys.readouterr().err


def test_a_timeline_by_the_verb(run: Run, call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("timeline", "fleet") == 0
    out = capsys.readouterr().out
    assert "and 104 more ranks, none slower (--all)" in out
    assert "ready 65.0 s after" in out
    assert call("timeline", "--json", "--engine", "decode") == 0
    assert len(data_of(capsys.readouterr().out)["ranks"]) == 96
    assert call("timeline", "--engine", "x") == 2


class _Collector(BaseHTTPRequestHandler):
    bodies: list[bytes]
    status = 200

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[ThreadingHTTPServer]:
    _Collector.bodies, _Collector.status = [], 200
    made = ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def test_a_start_is_sent_as_a_trace(
    run: Run, call: Call, collector: ThreadingHTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{collector.server_port}/v1/traces"
    assert call("events", "fleet", "--otlp", url) == 0
    assert capsys.readouterr().out == f"257 spans sent to {url}\n"
    sent = ExportTraceServiceRequest.FromString(_Collector.bodies[0])
    spans = sent.resource_spans[0].scope_spans[0].spans
    whole = next(span for span in spans if span.name == "start of fleet")
    assert whole.end_time_unix_nano - whole.start_time_unix_nano == 65 * 10**9
    assert sum(span.parent_span_id == whole.span_id for span in spans) == 128


def test_a_collector_that_refuses_is_told(
    run: Run, call: Call, collector: ThreadingHTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    _Collector.status = 400
    url = f"http://127.0.0.1:{collector.server_port}/v1/traces"
    assert call("events", "fleet", "--otlp", url) == 4
    assert "did not take the trace of fleet" in capsys.readouterr().err
