"""An agent of an older version is spoken to: runs go on over an upgrade, and `status`, `logs`,
`why` and `stop` are the new version's."""

import io
import json
import secrets
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from tests.agent.conftest import Talk
from tests.guard import guarded
from tests.waiting import HANGS_S

from dsr1.hosts.protocol.commands import Spawn, Stop
from dsr1.hosts.protocol.events import AgentUp, Exited, Spawned
from dsr1.hosts.protocol.evidence import EvidenceRequest
from dsr1.hosts.transport.local import LocalTransport

REPOSITORY = Path(__file__).parents[2]
OLDER = "5ffd696"  # of 2026-11-26; a change that it can no longer be spoken to goes into CHANGELOG
START = """
import sys
from pathlib import Path
from dsr1.hosts.protocol.process import HostPlan, Process
from dsr1.hosts.transport.local import LocalTransport
folder, run_id = Path(sys.argv[1]), sys.argv[2]
processes = [Process(name, name, "h", ("sh", "-c", script), grace_s=0.5) for name, script in
             (("a", "echo an older word; exec sleep 1000"), ("b", "exec sleep 1000"))]
plan = HostPlan("test-run", "h", "127.0.0.1", tuple(processes), run_id=run_id)
LocalTransport(folder, (sys.executable,), run_id).start(plan)
"""


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its source root."""
    archive = ("git", "-C", str(REPOSITORY), "archive", OLDER, "hosts")
    done = subprocess.run(archive, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"the commit {OLDER} isn't here: a shallow clone, or no clone")
    folder = tmp_path_factory.mktemp("older")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as packed:
        packed.extractall(folder, filter="data")
    return folder / "hosts"


def test_an_agent_of_an_older_version_is_heard_asked_and_ended(older: Path, tmp_path: Path) -> None:
    run_id = secrets.token_hex(16)
    transport = LocalTransport(tmp_path, (sys.executable,), run_id)
    with guarded("agents", tmp_path):
        begun = (sys.executable, "-P", "-c", START, str(tmp_path), run_id)
        subprocess.run(begun, env={"PYTHONPATH": str(older)}, check=True, timeout=HANGS_S)
        talk = Talk(transport.attach("h", 0))
        try:
            talk.until(AgentUp)
            talk.send(Spawn(("a", "b")))
            spawned = {talk.until(Spawned).process for _ in range(2)}
            seen = {one.name: one.pid for one in transport.inspect("h").processes}
            talk.send(Stop(("a",), 1))
            ended = talk.until(Exited)
            evidence = transport.gather_evidence("h", EvidenceRequest((), (), 600.0))
        finally:
            gone = transport.stop("h", "an upgrade")
            talk.close()
    assert (spawned, all(seen.values()), ended.process) == ({"a", "b"}, True, "a")
    assert (evidence.host, gone.left) == ("h", ())
    assert "an older word" in (tmp_path / "h" / "logs" / "a.log").read_text()
    assert {json.loads(line)["event"] for line in _events(tmp_path)} >= {"Spawned", "Exited"}


def _events(folder: Path) -> list[str]:
    return (folder / "h" / "events.jsonl").read_text().splitlines()
