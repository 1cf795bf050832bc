"""A deployment of real processes as people see it: live, its events, a report, and by a real
Prometheus of its own, behind TLS and a password, with what a Grafana makes of its provisioning."""

import json
import os
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from cryptography import x509
from tests.end_to_end.conftest import Dsr1
from tests.end_to_end.deployment import MOCKER, Site
from tests.fakes.pki import Pair, make_key_file, make_pair
from tests.waiting import until

from dsr1.launcher.metrics.prometheus.dashboard import PANELS
from dsr1.launcher.metrics.prometheus.rules import RULES
from dsr1.launcher.metrics.store import MetricsReader
from dsr1.launcher.operate.scraping.record import ScrapingRecord, read_scraping
from dsr1.launcher.run.store import Run

pytestmark = pytest.mark.e2e
INI = "conf/defaults.ini"
FAKE = Path(__file__).parents[1] / "fakes" / "grafana.py"
PASSWORD = "sesame-0123456789abcdef"


@pytest.fixture
def grafana(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of one that is installed."""
    home = tmp_path / "g rafana"
    for name, text in {"bin/grafana": f"#!{sys.executable}\n{FAKE.read_text()}", INI: ""}.items():
        (home / name).parent.mkdir(parents=True)
        (home / name).write_text(text)
    (home / "bin/grafana").chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("GF_SERVER_HTTP_PORT", "1")  # of another Grafana of the caller's
    return home


def test_a_run_is_seen(
    dsr1: Dsr1,
    site: Site,
    newest: Callable[[], Run],
    tmp_path: Path,
    prometheus: None,
    grafana: Path,
) -> None:
    pair = make_pair(tmp_path, names=[x509.DNSName("head.example")])
    door = f"metrics={{tls: {{cert: {pair.cert}, key: {pair.key}}}}}"
    secret = f"metrics.password_file={make_key_file(tmp_path)}"
    launched = dsr1("launch", "tiny", "--name", "m", *site, *MOCKER, "--set", door, "--set", secret)
    assert launched.returncode == 0, launched.stderr
    reader = MetricsReader(newest().folder)
    until(lambda: len(reader.last(2)) == 2)
    told = json.loads(dsr1("top", "m", "--json").stdout)["data"]
    assert told["load"]["running"] is not None
    assert [len(host["ranks"]) for host in told["hosts"]] == [1, 1]
    record = scraped(newest(), dsr1, pair)
    assert "nothing of it is alive" in dsr1("stop", "m").stdout
    assert read_scraping(newest()) is None
    own = (record.server, record.child, record.drawing)
    assert [one.lives for one in own if one] == [False] * 3
    events = [json.loads(line) for line in dsr1("events", "m", "--follow").stdout.splitlines()]
    assert {event["kind"] for event in events} >= {"start", "run"}
    assert events[-1]["what"] == "stopped"
    page = tmp_path / "m.html"
    assert dsr1("report", "m", "--to", str(page)).returncode == 0
    text = page.read_text()
    assert "served at" in text
    assert text.count("<polyline") >= 2
    assert '<p class="warn">' not in text  # everything could be read
    assert dsr1("metrics", "m", "--up").returncode == 4  # it has ended


def scraped(run: Run, dsr1: Dsr1, pair: Pair) -> ScrapingRecord:
    """By Debian's Prometheus: all targets are up, and every expression is evaluated on them."""
    started = dsr1("metrics", "m", "--up")
    assert (started.returncode, started.stderr) == (0, "")
    assert "\nGrafana: https://" in started.stdout
    record = read_scraping(run)
    assert record is not None
    for address in (record.bridge, record.prometheus, record.grafana):
        path = "api/search" if address == record.grafana else ""
        assert get(f"https://{address}/{path}", pair, "").status_code == 401
        assert get(f"https://{address}/{path}", pair, PASSWORD[1:]).status_code == 401
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://{address}/", trust_env=False).raise_for_status()
    assert get(f"https://{record.grafana}/api/search", pair).json() == [{"uid": "dsr1"}]
    until(lambda: ask(record, "sum(up)", pair) == ["6"])
    asked = (query.expression for panel in PANELS for query in panel.queries)
    for text in (*asked, *(rule.expression for rule in RULES)):
        ask(record, text.replace("$run", "m"), pair)
    assert ask(record, 'count(vllm:num_requests_running{run="m"})', pair) == ["2"]
    assert ask(record, "count(dsr1_disk_free_bytes > 0)", pair) == ["2"]
    assert not [file for file in run.folder.rglob("*") if PASSWORD in text_of(file)]
    return record


def ask(record: ScrapingRecord, query: str, pair: Pair) -> list[str]:
    """The values that come of it, through Grafana's own source."""
    url = f"https://{record.grafana}/api/datasources/proxy/uid/dsr1/api/v1/query"
    answer = get(f"{url}?{urlencode({'query': query})}", pair).json()
    assert answer["status"] == "success", query
    return [one["value"][1] for one in answer["data"]["result"]]


def get(url: str, pair: Pair, password: str = PASSWORD) -> httpx.Response:
    context = ssl.create_default_context(cafile=str(pair.cert))
    context.check_hostname = False
    auth = ("dsr1", password) if password else None
    return httpx.get(url, verify=context, auth=auth, trust_env=False)


def text_of(file: Path) -> str:
    return file.read_text(errors="replace") if file.is_file() else ""
