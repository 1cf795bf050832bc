"""What Slurm knows of a job, from squeue's JSON or, where it was built without, its lines, and from
sacct's. Pure.

sacct's JSON isn't read: 22.05 says exit code 0 there of a job that ended with 3.
"""

import datetime
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.bounded import parse_bounded
from dsr1.slurm.handle import JobHandle
from dsr1.slurm.spec import duration_s

WAITING = (
    "PENDING",
    "CONFIGURING",
    "REQUEUED",
    "REQUEUE_HOLD",
    "REQUEUE_FED",
    "SPECIAL_EXIT",
    "RESV_DEL_HOLD",
)
OVER = (
    *(
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "LAUNCH_FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
    ),
    *("PREEMPTED", "RECONFIG_FAIL", "TIMEOUT"),
)
ELSEWHERE, FORGOTTEN, REVOKED = "ELSEWHERE", "FORGOTTEN", "REVOKED"
"""The first two are no words of Slurm's. It is a job of another cluster, which can't be asked from
here; Slurm knew nothing of it when it was asked; another cluster of the federation has begun it."""
# A name is last: it may hold the separator.
FIELDS = (
    *("JobIDRaw", "State", "ExitCode", "Reason", "User", "NodeList", "Cluster", "End"),
    "JobName",
)
LINE = "%A|%K|%T|%r|%S|%e|%l|%P|%u|%N|%j"
"""squeue's --format for what it knows without JSON: how a job ended isn't in it, which the
accounting then tells, nor how often it was requeued."""
# Reasons under which a job waits for ever, unless somebody changes it or the cluster.
HOPELESS = {
    "PartitionNodeLimit": "the partition has fewer nodes than it asks for",
    "PartitionConfig": (
        "it asks for more time or nodes than the partition allows (`scontrol show partition`)"
    ),
    "PartitionTimeLimit": "the partition allows less time",
    "PartitionDown": "the partition is down",
    "PartitionInactive": "the partition is inactive",
    "AccountNotAllowed": "the account may not use the partition",
    "QOSNotAllowed": "the QOS may not be used with the account or partition",
    "InvalidAccount": "there is no such account",
    "InvalidQOS": "there is no such QOS",
    "BadConstraints": "no node meets the constraint",
    "JobHeldAdmin": "an administrator holds it",
    "JobHeldUser": "it is held: scontrol release",
    "DependencyNeverSatisfied": "what it depends on has failed",
    "MaxMemPerLimit": "it asks for more memory than a node or CPU may have here",
}
_HOPELESS_FAMILIES = (
    (
        re.compile(r"(QOS|Assoc)Max\w+Per(Job|JobLimit|Node)"),
        "it asks for more than the QOS or account allows one job",
    ),
    (re.compile(r"QOSMin\w+"), "it asks for less than the QOS wants of a job"),
)
LIFTED = ("PartitionDown", "PartitionInactive", "JobHeldAdmin", "JobHeldUser")
"""Of these, what somebody did by hand and means to undo: a job that waits already waits on."""


@dataclass(frozen=True, slots=True)
class JobInfo:
    """One job. `state` is Slurm's word. `start` is when it began or is expected to, `end` when its
    time is over, in seconds since the epoch. `limit_s` is the time that it was granted; 0: no
    limit, or not known.

    `code` and `signal` are how its batch step ended; `reason` is why it waits, or ended. A job that
    was preempted and ended within its grace is COMPLETED to Slurm. `restarts` is how often it was
    requeued; None: not known.
    """

    job: str
    state: str
    reason: str = ""
    start: float | None = None
    code: int = 0
    signal: int = 0
    user: str = ""
    nodes: str = ""
    cluster: str = ""
    preempted: bool = False
    name: str = ""
    end: float | None = None
    limit_s: int = 0
    partition: str = ""
    restarts: int | None = None
    may_requeue: bool = False
    in_array: bool = False

    @property
    def handle(self) -> JobHandle:
        return JobHandle(self.cluster or "cluster", self.job, self.name)

    def left_s(self, now: float) -> float:
        """Until its time is over, by Slurm's clock and that of `now`. Infinite: nobody knows."""
        return self.end - now if self.end else math.inf

    def is_the_job(self, name: str, user: str) -> bool:
        """Whether it is the job of that name and user. Empty: not known, which is no reason to
        doubt it. A task of an array is no run's: its number may be the whole array's."""
        named = not name or (name == self.name and not self.in_array)
        return named and self.user in ("", user)

    @property
    def waits(self) -> bool:
        return self.state in WAITING

    @property
    def hopeless(self) -> str:
        """Why it waits for ever; nothing where it doesn't."""
        if not self.waits:
            return ""
        families = (words for family, words in _HOPELESS_FAMILIES if family.fullmatch(self.reason))
        return HOPELESS.get(self.reason) or next(families, "")

    @property
    def over(self) -> bool:
        return self.state in OVER

    @property
    def is_elsewhere(self) -> bool:
        """On a cluster that can't be asked from here."""
        return self.state in (ELSEWHERE, REVOKED)


def parse_squeue(text: str) -> dict[str, JobInfo]:
    """By job id; 22.05's shapes and 24.11's, and lines of LINE. Raises ValueError."""
    if not text.lstrip().startswith(("{", "[")):
        return {info.job: info for info in map(_from_line, text.splitlines())}
    plain = parse_bounded(text)
    if not isinstance(plain, dict) or not isinstance(plain.get("jobs"), list):
        raise ValueError("squeue --json: a list of jobs is wanted")
    if plain.get("errors") and not plain["jobs"]:
        raise ValueError(f"squeue --json: {plain['errors']}")
    try:
        return {info.job: info for info in map(_from_squeue, plain["jobs"])}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"squeue --json: a job is not as it should be: {error!r}") from error


def _from_squeue(job: dict[str, Any]) -> JobInfo:
    code, signal = _exit(job.get("exit_code", 0))
    return JobInfo(
        job=str(job["job_id"]),
        state=_state(job["job_state"]),
        reason=_text(job.get("state_reason")),
        start=_number(job.get("start_time")) or None,
        code=code,
        signal=signal,
        user=_text(job.get("user_name")),
        nodes=_text(job.get("nodes")),
        cluster=_text(job.get("cluster")),
        preempted=_number(job.get("preempt_time")) > 0,
        name=_text(job.get("name")),
        end=_number(job.get("end_time")) or None,
        limit_s=_minutes(job.get("time_limit")) * 60,
        partition=_text(job.get("partition")),
        restarts=int(_number(job.get("restart_cnt"))),
        may_requeue=bool(job.get("requeue")),
        in_array=_number(job.get("array_job_id")) > 0,
    )


def _from_line(line: str) -> JobInfo:
    fields = line.split("|", LINE.count("|"))
    if len(fields) != LINE.count("|") + 1 or not fields[0].isdigit():
        raise ValueError(f"squeue: {line!r} is not as {LINE} is")
    job, task, state, reason, start, end, limit, partition, user, nodes, name = fields
    info = JobInfo(job, state, _text(reason), _clock(start), user=user, nodes=nodes, name=name)
    info = replace(info, end=_clock(end), limit_s=duration_s(limit), partition=partition)
    return replace(info, in_array=task != "N/A")


def _clock(text: str) -> float | None:
    """N/A: nobody knows."""
    return datetime.datetime.fromisoformat(text).timestamp() if text[:1].isdigit() else None


def _state(value: Any) -> str:
    """24.11 has a list: the state, then flags. One that says that it isn't over, or is to begin
    anew, is the word."""
    words = [str(word) for word in (value if isinstance(value, list) else [value])]
    return (
        "COMPLETING"
        if "COMPLETING" in words
        else next((word for word in words if word in WAITING), words[0])
    )


def _text(value: Any) -> str:
    return "" if value in (None, "None") else str(value)


def _number(value: Any) -> float:
    """24.11 has {"set", "infinite", "number"}; one that isn't set is 0."""
    if isinstance(value, dict):
        return float(value.get("number") or 0) if value.get("set") else 0.0
    return float(value or 0)


def _minutes(value: Any) -> int:
    """0: none. 22.05 has 2^32 - 1 for no limit."""
    found = int(_number(value))
    return 0 if found >= 2**32 - 2 else found


def _exit(value: Any) -> tuple[int, int]:
    """Code and signal: a wait status in 22.05, an object in 24.11."""
    if isinstance(value, dict):
        signal = value.get("signal") or {}
        return int(_number(value.get("return_code"))), int(
            _number(signal.get("id") or signal.get("signal_id"))
        )
    return int(value) >> 8 & 0xFF, int(value) & 0x7F


def parse_sacct(text: str) -> dict[str, JobInfo]:
    """Lines of FIELDS; of several with one id (a job that was requeued) the last, which is the
    newest, counts."""
    return {info.job: info for info in _from_sacct(text)}


def _from_sacct(text: str) -> Iterator[JobInfo]:
    for line in text.splitlines():
        fields = dict(zip(FIELDS, line.split("|", len(FIELDS) - 1), strict=False))
        if len(fields) < len(FIELDS):
            raise ValueError(f"sacct: {line!r} has not the fields {', '.join(FIELDS)}")
        code, _, signal = fields["ExitCode"].partition(":")
        yield JobInfo(
            job=fields["JobIDRaw"],
            state=fields["State"].partition(" ")[0],  # "CANCELLED by 2000"
            reason=_text(fields["Reason"]),
            code=int(code or 0),
            signal=int(signal or 0),
            user=fields["User"],
            nodes=fields["NodeList"].replace("None assigned", ""),
            cluster=fields["Cluster"],
            name=fields["JobName"],
            end=_clock(fields["End"]),
        )
