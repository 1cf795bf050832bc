"""What a Prometheus gets of a run, and the end of the run's own."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from tests.fleet import AILING, START, fleet_plan, fleet_run

from dsr1.hosts.errors import HostError, InputError
from dsr1.hosts.protocol.http import HttpGet, HttpGot
from dsr1.launcher.cli.observe.metrics import parse_listen, write_files
from dsr1.launcher.health.page import parse_page
from dsr1.launcher.operate.scraping.bridge import Bridge, BridgeServer, run_lines
from dsr1.launcher.operate.scraping.record import (
    FOLDER,
    ScrapingRecord,
    end_scraping,
    recorded,
    save_scraping,
)
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run

PLAN = fleet_plan()
STATE = RunState("degraded", START, ailing=(AILING,))


class Hosts:
    """They answer with what they were asked for; node04 isn't reached."""

    def get(self, host: str, gets: Sequence[HttpGet]) -> tuple[HttpGot, ...]:
        if host == "node04":
            raise HostError("node04: can't be reached")
        (get,) = gets
        return (HttpGot(0, 200, f'a{{b="{get.process}"}} {get.port}\ncut sho'),)


@pytest.fixture
def server() -> Iterator[BridgeServer]:
    made = BridgeServer(Bridge(Hosts(), lambda: (PLAN, STATE)), "127.0.0.1", 0)
    made.begin()
    yield made
    made.shutdown()
    made.server_close()


def get(server: BridgeServer, path: str) -> httpx.Response:
    return httpx.get(f"http://{server.reached}{path}", trust_env=False)


def test_all_that_it_names_can_be_asked(server: BridgeServer) -> None:
    groups = get(server, "/targets").json()
    assert len(groups) == 34
    paths = [group["labels"]["__metrics_path__"] for group in groups]
    codes = {path: get(server, path).status_code for path in paths if "node04" not in path}
    assert set(codes.values()) == {200}
    assert get(server, "/metrics/node03/decode-2").text.startswith('a{b="decode-2"} ')
    assert "cut sho" not in get(server, "/metrics/node03/decode-2").text


@pytest.mark.parametrize(
    "path",
    ["/", "/metrics/node03/decode-3", "/metrics/node99/devices", "/metrics/node03/..%2f", "/etc"],
)
def test_nothing_else_can(server: BridgeServer, path: str) -> None:
    assert get(server, path).status_code == 404


def test_a_host_that_is_lost_is_a_target_that_is_down(server: BridgeServer) -> None:
    answer = get(server, "/metrics/node04/decode-3")
    assert (answer.status_code, answer.text) == (503, "node04: can't be reached\n")
    assert httpx.post(f"http://{server.reached}/targets", trust_env=False).status_code == 501


def test_the_run_itself_is_a_page(server: BridgeServer) -> None:
    lines = {line.name: line for line in parse_page(get(server, "/metrics").text)}
    assert lines["dsr1_run_phase"].labels == {"phase": "degraded"}
    assert lines["dsr1_rank_unwell"].labels["engine"] == "9"
    assert next(run_lines(RunState('a"b\n', 0.0))) == 'dsr1_run_phase{phase="a\\"b\\n"} 1'


def test_files_for_a_prometheus_of_the_sites(tmp_path: Path) -> None:
    run = fleet_run(tmp_path, PLAN)
    write_files(run, tmp_path / "out")
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == ["dashboard.json", "rules.yml", "targets.json"]
    mine = json.loads((run.folder / "targets.json").read_text())  # written with every plan
    assert mine == json.loads((tmp_path / "out" / "targets.json").read_text())
    with pytest.raises(InputError, match="can't be written"):
        write_files(run, run.folder / "plan.json" / "x")


@pytest.mark.parametrize("text", ["host:x", "a:99999", "a:-1", ":"])
def test_an_address_that_is_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="wants ADDRESS"):
        parse_listen(text, Run(tmp_path))


def test_stopping_ends_the_recorded_processes_and_nobody_else(tmp_path: Path) -> None:
    run = fleet_run(tmp_path, PLAN)
    (run.folder / FOLDER).mkdir()
    sleep = (sys.executable, "-c", "import time; time.sleep(600)")
    with subprocess.Popen(sleep) as own, subprocess.Popen(sleep) as other:
        one, two = recorded(own.pid), recorded(other.pid)
        save_scraping(run, ScrapingRecord(one, type(two)(two.pid, two.started + 1, two.boot)))
        assert end_scraping(run) == ()
        assert own.wait() != 0
        assert other.poll() is None
        other.kill()
    assert end_scraping(run) == ()
    assert end_scraping(Run(tmp_path / "none")) == ()
