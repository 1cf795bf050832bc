"""A cause in words, as a screen shows it."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from dsr1.hosts.protocol.evidence import HostEvidence
from dsr1.launcher.operate.logs import LogChunk, only_causes
from dsr1.launcher.run.launch import failure
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run
from dsr1.launcher.triage.judge import Cause
from dsr1.launcher.triage.render import render_cause, render_why, told_reason
from dsr1.launcher.triage.rules import PEER_GONE
from dsr1.launcher.triage.signs import Sign, machine_signs


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


SIGN = Sign(
    1,
    1795693793.0,
    "node5",
    "decode-4",
    "Worker ended by SIGILL",
    "install a build made for this CPU",
    "vllm.worker_sigill",
    "decode",
    37,
    "Worker_DP37",
    "Worker proc VllmWorker-0 died unexpectedly (exit code: -4)",
    "/path",
    97,
)
VICTIM = Sign(4, 1795693794.0, "node6", "decode-5", "its peer closed the connection", rank=40)
CAUSE = Cause(SIGN, True, (VICTIM,), None, 15)
LINE = (
    "node5 rank 37 (decode): Worker ended by SIGILL at 11:49:53; 15 other ranks followed; "
    "fix: install a build made for this CPU; log: node5:/path:97"
)


def test_one_line_says_it_and_the_lines_that_matter_follow() -> None:
    assert list(render_cause(CAUSE)) == [LINE, f"  node5:/path:97: {SIGN.text}"]


def test_a_failed_launch_ends_with_it() -> None:
    state = RunState("failed", 1.0, reason="decode-4 ended", exit_code=4, cause=CAUSE)
    shown = str(failure(Run(Path("/runs/r1")), state, ", /job.out"))
    assert shown.splitlines() == [
        "r1: decode-4 ended",
        "logs: `dsr1 logs r1 --errors`; /runs/r1/hosts/*/logs, /job.out",
        LINE,
        f"  node5:/path:97: {SIGN.text}",
    ]


def test_why_tells_order_victims_and_what_was_not_seen() -> None:
    unseen = HostEvidence("node7", problems=("no answer within 2 s",))
    shown = "\n".join(render_why(CAUSE, {"node7": unseen}))
    assert "11:49:53 node5 rank 37 (decode): Worker ended by SIGILL" in shown
    assert "11:49:54 node6 rank 40: its peer closed the connection" in shown
    assert "node7: no answer within 2 s" in shown


def test_a_lost_host_is_named_once() -> None:
    (sign,) = machine_signs(HostEvidence("node2", lost="node2: can't be reached: no route to host"))
    assert (sign.host, sign.what) == (
        "node2",
        "the host is lost: can't be reached: no route to host",
    )


def test_a_tie_says_so() -> None:
    lines = list(render_cause(Cause(SIGN, False, (), VICTIM)))
    assert lines[1].startswith("not certain; it may also have been node6 rank 40")


def test_of_a_log_only_causes_are_left() -> None:
    text = "\n".join(
        (
            "(Worker_DP0 pid=1) INFO 11-26 11:49:53 [x.py:1] Connection closed by peer [",
            "RuntimeError: CUDA error: device-side assert triggered",
            "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue",
        )
    )
    left = only_causes(LogChunk("node5", "decode-4", text))
    assert left is not None
    assert left.text == (
        "RuntimeError: CUDA error: device-side assert triggered\n"
        "  = an assertion in a GPU kernel failed"
    )
    assert only_causes(LogChunk("node5", "decode-4", "EngineDeadError")) is None
    message = LogChunk("node5", "", "can't be reached")
    assert only_causes(message) == message


CLEAN = "Worker_DP37 of decode-4 ended with exit code 0, unasked"


@pytest.mark.parametrize(
    ("reason", "cause", "kept"),
    [
        (CLEAN, CAUSE, False),
        ("Worker_DP37 of decode-4 ended with exit code 1, unasked", CAUSE, True),
        (CLEAN.replace("decode-4", "decode-5"), CAUSE, True),  # another's log says nothing of it
        (CLEAN, replace(CAUSE, sign=replace(SIGN, line=0)), True),  # it logged nothing
        (CLEAN, replace(CAUSE, sign=replace(SIGN, tier=PEER_GONE)), True),  # only an echo
        (CLEAN, None, True),
    ],
)
def test_what_ended_with_0_after_an_error_is_told_by_that_error(
    reason: str, cause: Cause | None, kept: bool
) -> None:
    error = "node5 rank 37 (decode): Worker ended by SIGILL"
    assert told_reason(reason, cause) == (reason if kept else error)
