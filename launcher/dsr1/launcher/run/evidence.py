"""Evidence of a failure: taken from all hosts at once before anything is ended, judged, and kept in
the run's folder."""

import contextlib
import json
import time
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate
from dataclasses import asdict, replace
from functools import partial

from dsr1.hosts.errors import HostError
from dsr1.hosts.protocol.atomic import write_file
from dsr1.hosts.protocol.bounded import parse_bounded
from dsr1.hosts.protocol.evidence import (
    EvidenceRequest,
    HostEvidence,
    ProcessDeath,
    ProcessLog,
    ProcessRanks,
)
from dsr1.hosts.protocol.log_scan import UNREAD
from dsr1.hosts.protocol.plain import from_plain
from dsr1.hosts.protocol.process import HostPlan
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.parallel import begin_in_thread
from dsr1.launcher.health.signs import health_signs
from dsr1.launcher.health.verdicts import RankHealth
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.run.folder import read_own_file
from dsr1.launcher.run.record.failures import earlier_failures
from dsr1.launcher.run.record.history import read_history
from dsr1.launcher.run.store import Run
from dsr1.launcher.triage.earlier import EarlierFailure, without_earlier
from dsr1.launcher.triage.judge import Cause, find_cause
from dsr1.launcher.triage.rules import ITSELF, load_rules, patterns

GATHER_S, SLOW_S, PATIENT_S = 2.0, 6.0, 20.0  # of a hang nothing is lost meanwhile
BEFORE_S = 900.0  # NCCL waits for ten minutes; what the kernel said earlier is another matter
MOST_VICTIMS, LONGEST_TEXT = 32, 400  # of what stands in a run's state
CLOCKS_S = 1.0  # what a host's clock may be off by; no failure is over so soon
FILE = "evidence.json"
Evidence = Mapping[str, HostEvidence]


def gather_from_hosts(
    transport: Transport, plan: Plan, hang: bool = False, limit_s: float = PATIENT_S
) -> dict[str, HostEvidence]:
    """By host. One that can't be asked, or doesn't answer in time, is evidence, too. `hang`: with
    the stacks of everybody."""
    until = time.monotonic() + limit_s
    begun = [(host, begin_in_thread(partial(_ask, transport, host, hang))) for host in plan.hosts]
    return {host.host: _answer(host, future, until) for host, future in begun}


def _ask(transport: Transport, host: HostPlan, hang: bool) -> HostEvidence:
    request = EvidenceRequest(patterns(load_rules()), _ranks(host), BEFORE_S, hang)
    return transport.gather_evidence(host.host, request)


def _ranks(host: HostPlan) -> tuple[ProcessRanks, ...]:
    return tuple(ProcessRanks(p.name, p.group if p.ranks else "", p.ranks) for p in host.processes)


def _answer(plan: HostPlan, future: "Future[HostEvidence]", until: float) -> HostEvidence:
    """Of a host that says nothing its processes are known all the same."""
    logs = tuple(ProcessLog(of, UNREAD) for of in _ranks(plan))
    try:
        return future.result(timeout=max(0.0, until - time.monotonic()))
    except TooLate:
        problems = ("no answer in time",)
        return HostEvidence(plan.host, late=True, logs=logs, problems=problems)
    except HostError as error:
        return HostEvidence(plan.host, lost=str(error), logs=logs)


def judge_evidence(
    evidence: Evidence,
    plan: Plan,
    ailing: Sequence[RankHealth] = (),
    earlier: Sequence[EarlierFailure] = (),
) -> Cause | None:
    """Of what was not over yet, with the ranks that ended with the cause's: those of its engine."""
    addresses = {host.address: host.host for host in plan.hosts}
    over = {one.engine: one.over for one in earlier}
    told = tuple(health_signs([row for row in ailing if row.since > over.get(row.engine, 0.0)]))
    cause = find_cause(without_earlier(evidence, earlier), load_rules(), addresses, told)
    if cause is None:
        return None
    others = [row for row in plan.ranks if row.engine == cause.sign.engine]
    return replace(cause, followers=max(0, len(others) - 1))


def failures_before(run: Run, evidence: Evidence) -> tuple[EarlierFailure, ...]:
    """Those that were over when that began which the evidence was taken of."""
    taken = [host.now - host.ahead_s for host in evidence.values() if host.now]
    return earlier_failures(read_history(run), max(taken, default=time.time()) + CLOCKS_S)


def shorten(cause: Cause) -> Cause:
    """For a run's state, which is written often."""
    victims = tuple(
        replace(sign, text=sign.text[:LONGEST_TEXT]) for sign in cause.victims[:MOST_VICTIMS]
    )
    return replace(cause, victims=victims)


def explain_failure(
    run: Run,
    transport: Transport,
    plan: Plan,
    heard: Mapping[str, Sequence[ProcessDeath]],
    ailing: Sequence[RankHealth] = (),
) -> Cause | None:
    """Gather, keep, judge. `heard` are the ends that the hosts' agents have told of themselves,
    `ailing` the ranks that seemed unwell: where nothing has ended, it hangs, and everybody is asked
    what it is in the middle of."""
    hang = bool(ailing) and not any(heard.values())
    cause = None
    try:
        for limit_s in (PATIENT_S,) if hang else (GATHER_S, SLOW_S):
            found = gather_from_hosts(transport, plan, hang, limit_s)
            evidence = {host: add_heard(one, heard.get(host, ())) for host, one in found.items()}
            if run.is_still(plan.run_id):
                keep_evidence(run, evidence)
            cause = judge_evidence(evidence, plan, ailing, failures_before(run, evidence))
            if not wants_more(cause, evidence):
                break
    except Exception:  # noqa: BLE001 - a fault of ours must not keep the run from being ended
        traceback.print_exc()
    return shorten(cause) if cause else None


def wants_more(cause: Cause | None, evidence: Evidence) -> bool:
    """A host that is slow may have the words that say why: then the end of the run can wait."""
    known = cause is not None and cause.sign.tier <= ITSELF
    return not known and any(host.late for host in evidence.values())


def add_heard(evidence: HostEvidence, heard: Sequence[ProcessDeath]) -> HostEvidence:
    """With the ends that it doesn't tell of itself: it is late, gone, or its disk is full. Heard by
    our clock, they are told by the host's."""
    known = {(death.process, death.component) for death in evidence.deaths}
    new = [
        replace(one, time=one.time + evidence.ahead_s)
        for one in heard
        if (one.process, one.component) not in known
    ]
    deaths = sorted((*evidence.deaths, *new), key=lambda death: death.time)
    return replace(evidence, deaths=tuple(deaths))


def keep_evidence(run: Run, evidence: Evidence) -> None:
    """A full disk costs the file, not the cause."""
    plain = {host: asdict(one) for host, one in evidence.items()}
    with contextlib.suppress(OSError):
        write_file(run.folder / FILE, json.dumps(plain).encode())


def read_evidence(run: Run) -> dict[str, HostEvidence]:
    """Empty: none was taken, or it can't be read."""
    try:
        plain = parse_bounded(read_own_file(run.folder / FILE))
        return {host: from_plain(HostEvidence, one, FILE) for host, one in plain.items()}
    except (OSError, ValueError, AttributeError):
        return {}
