"""Who is to blame for ranks that stand still or answer wrongly."""

from dsr1.hosts.protocol.evidence import HostEvidence, MemberState, ProcessLog, ProcessRanks
from dsr1.hosts.protocol.log_scan import LogHit, LogScan
from dsr1.launcher.health.signs import health_signs
from dsr1.launcher.health.verdicts import FAILED, GARBLED, STALLED, RankHealth
from dsr1.launcher.triage.judge import Cause, find_cause
from dsr1.launcher.triage.rules import load_rules

SINCE = 1_800_000_000.0
OLD = (
    "(Worker_DP0_EP0 pid=12) ERROR 01-01 06:00:00 [multiproc_executor.py:1044] WorkerProc hit an"
    " exception: torch.OutOfMemoryError: CUDA out of memory."
)


def ill(rank: int, kind: str) -> RankHealth:
    return RankHealth("main", rank, f"n{rank}", f"main-{rank}", FAILED, kind, "is so", SINCE)


def host(rank: int, *, state: str = "S", text: str = "") -> HostEvidence:
    hits = (LogHit(next(r.id for r in load_rules() if r.fits(text)), 7, text),) if text else ()
    log = ProcessLog(ProcessRanks(f"main-{rank}", "main", (rank,)), LogScan("log", 9, 9, hits))
    worker = MemberState(f"main-{rank}", f"Worker_DP{rank}_EP{rank}", 40 + rank, state)
    return HostEvidence(f"n{rank}", now=SINCE + 60, members=(worker,), logs=(log,))


def cause_of(*hosts: HostEvidence, ailing: tuple[RankHealth, ...]) -> Cause:
    evidence = {one.host: one for one in hosts}
    found = find_cause(evidence, load_rules(), {}, tuple(health_signs(ailing)))
    assert found is not None
    return found


def test_of_all_that_stand_still_the_stopped_one_is_named() -> None:
    both = (ill(0, STALLED), ill(1, STALLED))
    cause = cause_of(host(0), host(1, state="T"), ailing=both)
    assert (cause.sign.host, cause.sign.rank, cause.certain) == ("n1", 1, True)
    assert cause.sign.what == "Worker is stopped (state T)"


def test_who_alone_shows_no_work_while_the_others_wait() -> None:
    cause = cause_of(host(0), host(1), host(2), ailing=(ill(0, STALLED), ill(2, STALLED)))
    assert (cause.sign.rank, cause.certain) == (1, False)


def test_without_any_more_it_is_not_certain() -> None:
    cause = cause_of(host(0), host(1), ailing=(ill(0, STALLED), ill(1, STALLED)))
    assert not cause.certain


def test_a_wrong_answer_is_its_own() -> None:
    """Whatever stands in a log of long before."""
    cause = cause_of(host(0, text=OLD), host(1), ailing=(ill(1, GARBLED),))
    assert (cause.sign.rank, cause.sign.what, cause.certain) == (1, "is so", True)
