"""Servers of a run get more open files than the session that the agent was started in."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

SPAWN = """
import resource, sys
from pathlib import Path
from dsr1.hosts.agent.process.spawn import spawn
from dsr1.hosts.protocol.marks import AgentIdentity, Marks
from dsr1.hosts.protocol.process import Process
folder = Path(sys.argv[1])
for name in ("processes", "logs"):
    (folder / name).mkdir()
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
import os
for name, ranks in (("etcd", ()), ("main-0", (0,))):
    process = Process(name, name, "h", ("sh", "-c", "ulimit -n"), ranks=ranks)
    os.waitpid(spawn(process, Marks(AgentIdentity("i", "h"), "r", str(folder)), folder).pid, 0)
"""


def test_servers_get_as_many_as_there_may_be(tmp_path: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard <= 256:
        pytest.skip("needs a hard limit of open files above 256")
    subprocess.run((sys.executable, "-c", SPAWN, tmp_path), check=True, timeout=50)
    told = {file.stem: int(file.read_text()) for file in (tmp_path / "logs").glob("*.log")}
    assert told["main-0"] == 256
    assert told["etcd"] == (1 << 16 if hard == resource.RLIM_INFINITY else min(hard, 1 << 16))
