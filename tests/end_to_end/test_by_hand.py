"""A deployment by the script of `render --bash`: two hosts with etcd and certificates, on two
addresses of loopback."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.end_to_end.conftest import Dsr1
from tests.end_to_end.deployment import MOCKER, Site, of_run
from tests.waiting import HANGS_S, until

from dsr1.launcher.run.assets import etcd_binary

INVENTORY = "hosts: {a: {control_address: 127.0.0.2}, b: {control_address: 127.0.0.3}}\n"


@contextmanager
def begun(script: Path, host: str) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(
        ("bash", script, host), env=os.environ | {"ETCD": str(etcd_binary())}
    ) as running:
        try:
            yield running
        finally:
            running.terminate()


def serves(url: str) -> bool:
    """Both workers have registered, and one answers."""
    chat = {"model": "tiny", "messages": [{"role": "user", "content": "?"}], "max_tokens": 2}
    with httpx.Client(base_url=url, trust_env=False, timeout=5) as client:
        try:
            told = client.get("/health").json()["instances"]
            answer = client.post("/v1/chat/completions", json=chat)
        except (httpx.HTTPError, ValueError, KeyError):
            return False
    both = len([instance for instance in told if instance["endpoint"] == "generate"]) == 2
    return both and answer.status_code == 200


@pytest.mark.e2e
def test_on_two_hosts(
    dsr1: Dsr1, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended on one of them by Ctrl-C, and on the other by the loss of a process."""
    monkeypatch.chdir(tmp_path)
    Path("hosts.yaml").write_text(INVENTORY)
    asked = ("tiny", "--bash", "--name", "h", "--hosts", "@hosts.yaml", "--no-facts")
    rendered = dsr1("render", *asked, *site, *MOCKER)
    assert rendered.returncode == 0, rendered.stderr
    script = tmp_path / "run.sh"
    script.write_text(rendered.stdout)
    url = f"http://127.0.0.2:{site[-1].rpartition('=')[2]}"
    subprocess.run(("bash", script, "--certificates"), check=True, capture_output=True)
    with begun(script, "b") as second, begun(script, "a") as first:
        until(lambda: serves(url))
        for pid in of_run(tmp_path / "h" / "hosts" / "b"):
            os.kill(pid, 9)
        assert second.wait(HANGS_S) == 1
        first.send_signal(2)
        assert first.wait(HANGS_S) == 130
    assert of_run(tmp_path / "h") == []
