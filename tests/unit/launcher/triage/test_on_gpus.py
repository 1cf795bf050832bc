"""Deaths on real GPUs (tests/data/h200-x4): from the logs alone, and with what the process tree
showed in the first moment."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dsr1.hosts.protocol.evidence import (
    HostEvidence,
    MemberState,
    ProcessDeath,
    ProcessLog,
    ProcessRanks,
)
from dsr1.hosts.protocol.log_scan import scan_log
from dsr1.launcher.triage.folder import planned_ranks, read_folder
from dsr1.launcher.triage.judge import Cause, find_cause
from dsr1.launcher.triage.rules import load_rules, patterns

DEATHS = Path(__file__).parents[3] / "data" / "h200-x4" / "deaths"
FIRST_S = 0.3  # what is known when the supervisor hears of it
BEGAN = 1795702867.0


def truth(case: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEATHS / case / "truth.json").read_text())
    return found


def watched(case: str) -> list[dict[str, Any]]:
    lines = (DEATHS / case / "watch.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def blame(evidence: dict[str, HostEvidence]) -> Cause:
    cause = find_cause(evidence, load_rules(), {})
    assert cause is not None
    return cause


def deaths(case: str, process: str) -> Iterator[ProcessDeath]:
    """A code is known of the target alone: the watcher had none."""
    for step in watched(case):
        if step["kind"] == "proc" and step["state"] == "Z" and step["t"] <= FIRST_S:
            code = -truth(case)["signal"] if step["name"] == truth(case)["target"] else None
            name = step["name"].removeprefix("VLLM::")
            yield ProcessDeath(process, name, step["pid"], code, BEGAN + step["t"])


def stopped(case: str, process: str) -> Iterator[MemberState]:
    for step in watched(case):
        if step["kind"] == "proc" and step["state"] == "T":
            yield MemberState(process, step["name"].removeprefix("VLLM::"), step["pid"], "T")


def first_logs(case: str, tmp_path: Path, last_s: float) -> tuple[ProcessLog, ...]:
    """What stood in the logs by then."""
    lines: dict[str, list[str]] = {}
    for step in watched(case):
        if step["kind"] == "log" and step["t"] <= last_s:
            lines.setdefault(step["file"], []).append(step["line"])
    return tuple(_log(tmp_path / name, texts, case) for name, texts in lines.items())


def _log(path: Path, texts: list[str], case: str) -> ProcessLog:
    path.write_text("\n".join([*texts, ""]))
    engine, ranks = planned_ranks(DEATHS / case).get(path.stem, ("", ()))
    return ProcessLog(
        ProcessRanks(path.stem, engine, ranks), scan_log(path, patterns(load_rules()))
    )


@pytest.mark.parametrize(
    "case",
    ["enginecore-killed", "worker-killed", "decode-enginecore-killed", "prefill-restarted"],
)
def test_the_dead_one_is_named_from_what_is_known_at_once(case: str, tmp_path: Path) -> None:
    known = truth(case)
    logs = first_logs(case, tmp_path, FIRST_S)
    if known["process"] not in {log.of.name for log in logs}:
        logs = (*logs, _log(tmp_path / f"{known['process']}.log", [], case))
    told = tuple(deaths(case, known["process"]))
    cause = blame({"h": HostEvidence("h", now=BEGAN, deaths=told, logs=logs)})
    component = known["target"].removeprefix("VLLM::").partition("_")[0]
    assert (cause.sign.process, cause.sign.rank) == (known["process"], known["rank"])
    assert cause.sign.what == f"{component} ended by SIGKILL"


def test_the_stopped_one_is_named_where_all_four_engines_time_out(tmp_path: Path) -> None:
    case = "worker-stopped"
    known, logs = truth(case), first_logs(case, tmp_path, 21.0)
    assert sum("timed out" in hit.text for log in logs for hit in log.scan.hits) >= 4
    members = tuple(stopped(case, known["process"]))
    cause = blame({"h": HostEvidence("h", now=BEGAN, members=members, logs=logs)})
    assert (cause.sign.rank, cause.sign.rule) == (known["rank"], "stuck")
    assert cause.sign.component.startswith("Worker")


@pytest.mark.parametrize(
    ("case", "rank", "rule"),
    [
        ("worker-killed", 2, "vllm.worker_died"),
        ("decode-enginecore-killed", 1, "silent"),
        ("start-symbol-missing", 2, "ld.symbol_lookup"),
        ("start-other-device", 1, "torch.wrong_device"),
        ("prefill-restarted", None, "vllm.memory_not_free"),
    ],
)
def test_from_the_logs_alone(case: str, rank: int | None, rule: str) -> None:
    folder = DEATHS / case
    cause = blame(read_folder(folder, planned_ranks(folder)))
    assert (cause.sign.rank, cause.sign.rule) == (rank, rule)
