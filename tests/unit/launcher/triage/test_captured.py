"""Real deaths of real deployments: the right rank, the right cause, and the line that shows it."""

from pathlib import Path

import pytest

from dsr1.hosts.protocol.evidence import HostEvidence, ProcessLog, ProcessRanks
from dsr1.hosts.protocol.log_scan import scan_log
from dsr1.launcher.triage.judge import find_cause
from dsr1.launcher.triage.rules import load_rules, patterns

FAILURES = Path(__file__).parents[3] / "data" / "failures"
CASES = {
    "r2a": (0, "vllm.worker_died", 97),
    "r2b": (0, "vllm.worker_sigill", 97),
    "r2c": (1, "vllm.worker_sigkill", 98),
    "r3a": (0, "vllm.worker_died", 96),
    "r3b": (1, "vllm.worker_sigill", 88),
    "store-port-taken": (0, "net.port_taken", 76),
}


def evidence(folder: Path) -> HostEvidence:
    logs = [
        ProcessLog(
            ProcessRanks(f"main-{rank}", "main", (rank,)), scan_log(file, patterns(load_rules()))
        )
        for rank, file in enumerate(sorted(folder.glob("main-*.log")))
    ]
    return HostEvidence("local", logs=tuple(logs))


@pytest.mark.parametrize("case", CASES)
def test_the_first_cause_of_a_captured_death(case: str) -> None:
    cause = find_cause({"local": evidence(FAILURES / case)}, load_rules(), {})
    assert cause is not None
    assert (cause.sign.rank, cause.sign.rule, cause.sign.line) == CASES[case]
