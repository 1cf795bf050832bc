"""A deployment of real processes as people see it: live, its events, a report, and by a real
Prometheus of its own."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.end_to_end.conftest import Dsr1
from tests.end_to_end.deployment import MOCKER, Site
from tests.waiting import until

from dsr1.launcher.metrics.prometheus.dashboard import expressions
from dsr1.launcher.metrics.prometheus.rules import RULES
from dsr1.launcher.metrics.store import MetricsReader
from dsr1.launcher.operate.scraping.record import ScrapingRecord, read_scraping
from dsr1.launcher.run.store import Run

pytestmark = pytest.mark.e2e
PROMETHEUS = shutil.which("prometheus")


def test_a_run_is_seen(dsr1: Dsr1, site: Site, newest: Callable[[], Run], tmp_path: Path) -> None:
    launched = dsr1("launch", "tiny", "--name", "m", *site, *MOCKER)
    assert launched.returncode == 0, launched.stderr
    reader = MetricsReader(newest().folder)
    until(lambda: len(reader.last(2)) == 2)
    told = json.loads(dsr1("top", "m", "--json").stdout)["data"]
    assert told["load"]["running"] is not None
    assert [len(host["ranks"]) for host in told["hosts"]] == [1, 1]
    if PROMETHEUS:
        scraped(newest(), dsr1)
    assert "nothing of it is alive" in dsr1("stop", "m").stdout
    record = read_scraping(newest())
    assert not (record and (record.server.lives or (record.child and record.child.lives)))
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
    if not PROMETHEUS:
        pytest.skip("all but its scraping was tested: Debian's package prometheus isn't installed")


def scraped(run: Run, dsr1: Dsr1) -> None:
    """By Debian's Prometheus: all targets are up, and every expression is evaluated on them."""
    started = dsr1("metrics", "m", "--up")
    assert started.returncode == 0, started.stderr
    record = read_scraping(run)
    assert record is not None
    until(lambda: ask(record, "sum(up)") == ["6"])
    for text in (*expressions(), *(rule.expression for rule in RULES)):
        ask(record, text.replace("$run", "m"))
    assert ask(record, 'count(vllm:num_requests_running{run="m"})') == ["2"]
    assert ask(record, "count(dsr1_disk_free_bytes > 0)") == ["2"]


def ask(record: ScrapingRecord, query: str) -> list[str]:
    """The values that come of it."""
    url = f"http://{record.prometheus}/api/v1/query"
    answer = httpx.get(url, params={"query": query}, trust_env=False).json()
    assert answer["status"] == "success", query
    return [one["value"][1] for one in answer["data"]["result"]]
