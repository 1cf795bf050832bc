"""Real vLLM with prefill and decode apart, on the CPU: KV caches go from one to the other by NIXL,
and are counted."""

import re

import httpx
import pytest
from tests.answers import data_of
from tests.end_to_end.conftest import Dsr1
from tests.end_to_end.deployment import Site

from dsr1.launcher.run.store import list_runs

pytestmark = [pytest.mark.e2e, pytest.mark.heavy]


def transfers(metrics: str, name: str) -> int:
    found = re.findall(rf"^vllm:nixl_{name}\{{.*\}} (\S+)$", metrics, re.MULTILINE)
    return sum(int(float(value)) for value in found)


def test_prefill_and_decode_apart(dsr1: Dsr1, site: Site, state: object) -> None:
    launched = dsr1("launch", "tiny-disagg", "--name", "apart", *site)
    assert launched.returncode == 0, launched.stderr
    (run,) = list_runs()
    urls = {worker.role: worker.metrics_url for worker in run.plan().service.workers}
    before = transfers(httpx.get(urls["decode"], trust_env=False).text, "xfer_time_seconds_count")
    smoked = dsr1("smoke", "apart", "--json")
    assert smoked.returncode == 0, smoked.stderr
    (answer,) = data_of(smoked.stdout)["answers"]
    assert (answer["rank"], answer["prefill_rank"], answer["tokens"]) == (0, 0, 16)
    after = httpx.get(urls["decode"], trust_env=False).text
    # At least: the questions by which health is watched are answered so, too.
    assert transfers(after, "xfer_time_seconds_count") >= before + len(answer["replies"])
    assert transfers(after, "num_failed_transfers_total") == 0
    assert dsr1("stop", "apart").returncode == 0
