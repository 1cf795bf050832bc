"""What a Prometheus gets of a run, and the end of the run's own."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import bcrypt
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import DNSName, IPAddress
from tests.fakes.pki import Pair, make_key_file, make_pair
from tests.fleet import AILING, START, fleet_plan, fleet_run
from tests.waiting import until

from dsr1.hosts.errors import HostError, InputError, LaunchFailed
from dsr1.hosts.protocol.http import HttpGet, HttpGot
from dsr1.hosts.protocol.identity import RecordedProcess, record_process
from dsr1.launcher.cli.observe.metrics import parse_listen, write_files
from dsr1.launcher.health.page import parse_page
from dsr1.launcher.metrics.prometheus.access import IN_CLEAR
from dsr1.launcher.operate.scraping import record as scraping_record
from dsr1.launcher.operate.scraping.access import client_context, read_access, server_context
from dsr1.launcher.operate.scraping.bridge import MOST_AT_ONCE, Bridge, BridgeServer, run_lines
from dsr1.launcher.operate.scraping.programs import find_grafana, hashed
from dsr1.launcher.operate.scraping.record import (
    FOLDER,
    ScrapingRecord,
    await_scraping_end,
    end_scraping,
    forget_scraping,
    read_scraping,
    save_scraping,
    scraping_folder,
)
from dsr1.launcher.operate.scraping.server import start_scraping
from dsr1.launcher.operate.status import EndWatch
from dsr1.launcher.recipe.parts import Scraping, ServerTls
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run

PLAN = fleet_plan()
PASSWORD = "sesame-0123456789abcdef"
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


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make_pair(tmp_path, names=[DNSName("*.example"), IPAddress(IPv4Address("127.0.0.1"))])


def scraping(pair: Pair, text: str = PASSWORD) -> Scraping:
    tls = ServerTls(cert=str(pair.cert), key=str(pair.key))
    return Scraping(tls=tls, password_file=str(make_key_file(pair.cert.parent, text)))


def test_by_tls_and_with_a_password_alone(pair: Pair) -> None:
    access = read_access(scraping(pair))
    assert (access.scheme, access.server_name) == ("https", "dsr1.example")
    assert bcrypt.checkpw(PASSWORD.encode(), hashed(access.password).encode())
    assert PASSWORD not in repr(access)
    bridge = Bridge(Hosts(), lambda: (PLAN, STATE))
    made = BridgeServer(bridge, "127.0.0.1", 0, server_context(access), PASSWORD)
    made.begin()
    url = f"https://{made.reached}/targets"
    with httpx.Client(verify=client_context(access), trust_env=False) as client:
        assert client.get(url, auth=("dsr1", PASSWORD)).json()[0]["labels"]["__scheme__"] == "https"
        for user, password in (("dsr1", "x"), ("root", PASSWORD), ("dsr1", "é" * 9), ("dsr1", "")):
            assert client.get(url, auth=(user, password)).status_code == 401
        for header in ("", "Basic", "Bearer x", "Basic " + "A" * 9000, "Basic \udcff"):
            sent = header.encode(errors="surrogateescape")
            assert client.get(url, headers={b"Authorization": sent}).status_code == 401
        assert client.get(url).headers["WWW-Authenticate"] == 'Basic realm="dsr1"'
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"http://{made.reached}/targets", trust_env=False)  # in clear
    with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        httpx.get(url, trust_env=False)
    made.shutdown()
    made.server_close()


@pytest.mark.parametrize(
    "text", ["short\n", "two words are long\n", "x" * 73, "a" * 20 + "\nb", ""]
)
def test_a_password_that_is_none(pair: Pair, text: str) -> None:
    with pytest.raises(InputError, match=r"metrics.password_file: .* one password in one line"):
        read_access(scraping(pair, text))


def test_who_opens_many_connections_takes_no_more_threads(server: BridgeServer) -> None:
    address, _, port = server.reached.rpartition(":")
    idle = [socket.create_connection((address, int(port))) for _ in range(MOST_AT_ONCE)]
    try:
        until(lambda: refused(server))
    finally:
        for one in idle:
            one.close()
    until(lambda: not refused(server))


def refused(server: BridgeServer) -> bool:
    try:
        return get(server, "/targets").status_code != 200
    except httpx.HTTPError:
        return True


def test_files_that_a_door_cannot_use(pair: Pair) -> None:
    metrics = scraping(pair)
    assert metrics.tls
    other = ServerTls(cert=metrics.tls.cert, key="/a}b")
    with pytest.raises(InputError, match=r"metrics.tls.key: '/a}b': Grafana can't be told"):
        read_access(Scraping(tls=other))
    make_key_file(pair.cert.parent).chmod(0o644)
    with pytest.raises(InputError, match=r"metrics.password_file: .* mode 0644"):
        read_access(metrics)
    make_pair(pair.cert.parent)
    with pytest.raises(InputError, match=r"metrics.tls.cert: .*subjectAltName"):
        read_access(Scraping(tls=metrics.tls))
    assert read_access(Scraping()) == IN_CLEAR


def test_a_key_that_openssl_finds_too_small(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 1024)
    pair = make_pair(tmp_path, names=[DNSName("a")], key=key)
    with pytest.raises(InputError, match=r"metrics.tls: .*KEY_TOO_SMALL"):
        read_access(scraping(pair))


def test_a_grafana_that_is_installed(tmp_path: Path) -> None:
    home = tmp_path / "grafana-12"
    environment = {"PATH": str(tmp_path / "bin"), "GRAFANA_HOME": str(home)}
    (home / "bin").mkdir(parents=True)
    (home / "bin/grafana").touch(mode=0o755)
    found = find_grafana(environment)
    assert found != home  # no conf/defaults.ini: no home of one
    (home / "conf").mkdir()
    (home / "conf/defaults.ini").touch()
    assert find_grafana(environment) == home
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/grafana").symlink_to(home / "bin/grafana")
    assert find_grafana({"PATH": str(tmp_path / "bin")}) == home


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
        try:
            one, two = record_process(own.pid), record_process(other.pid)
            save_scraping(run, ScrapingRecord(one, replace(two, started=two.started + 1)))
            assert end_scraping(run) == ()
            assert own.wait() != 0
            assert other.poll() is None
        finally:
            own.kill()
            other.kill()
    assert end_scraping(run) == ()
    assert end_scraping(Run(tmp_path / "none")) == ()


ELSEWHERE = RecordedProcess(1, 1.0, "another-boot", "login1")


def test_a_prometheus_of_another_machine_is_never_called_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Login nodes share homes: its record is here, its processes can't be seen."""
    monkeypatch.setattr(scraping_record, "GRACE_S", 0.2)
    run = fleet_run(tmp_path, PLAN)
    (run.folder / FOLDER).mkdir()
    save_scraping(run, ScrapingRecord(ELSEWHERE, replace(ELSEWHERE, pid=2), "a:1", "a:2"))
    file = scraping_folder(run) / "server.json"
    where = f"started on login1: `dsr1 metrics {run.name} --down` there; .* remove {file}"
    for (told,) in (end_scraping(run), await_scraping_end(run)):
        assert re.search(where, told)
    with pytest.raises(LaunchFailed, match=where):
        start_scraping(run, "127.0.0.1", IN_CLEAR)
    forget_scraping(run, replace(ELSEWHERE, started=2.0))  # another of its pid
    assert read_scraping(run)
    forget_scraping(run, ELSEWHERE)  # as it does itself at its end
    assert await_scraping_end(run) == ()


def test_a_machine_that_booted_anew_ended_it(tmp_path: Path) -> None:
    run = fleet_run(tmp_path, PLAN)
    (run.folder / FOLDER).mkdir()
    save_scraping(run, ScrapingRecord(replace(ELSEWHERE, host=socket.gethostname())))
    assert end_scraping(run) == ()


def test_a_run_that_can_t_be_read_for_a_moment_isn_t_over(tmp_path: Path) -> None:
    run = fleet_run(tmp_path, PLAN)
    watch, state = EndWatch(run), run.folder / "state.json"
    state.rename(run.folder / "away")
    assert not watch.is_over()
    (run.folder / "away").rename(state)
    assert not watch.is_over()
    run.discard()
    assert watch.is_over()
