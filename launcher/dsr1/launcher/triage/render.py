"""A cause in words: a line and those that matter for a screen, all of it for `dsr1 why`. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from dsr1.hosts.inventory.names import counted
from dsr1.hosts.protocol.evidence import GpuState, HostEvidence, MemberState
from dsr1.launcher.triage.earlier import EarlierFailure
from dsr1.launcher.triage.judge import Cause
from dsr1.launcher.triage.rules import WAITING
from dsr1.launcher.triage.signs import Sign

MATTERING = 5  # lines
LONGEST = 300


def render_cause(cause: Cause) -> Iterator[str]:
    """What a failed launch and `status` show: `node5 rank 37 (decode): Worker ended by SIGILL at
    11:49:53; 15 other ranks followed; fix: ...; log: node5:/path:97`, then the lines that
    matter."""
    yield "; ".join(_parts(cause))
    if not cause.certain and cause.runner_up:
        yield f"not certain; it may also have been {headline(cause.runner_up)}"
    elif not cause.certain:
        yield "not certain"
    for sign in [sign for sign in (cause.sign, *cause.victims) if sign.text][:MATTERING]:
        yield f"  {place_of_line(sign)}: {_short(sign.text)}"


def _parts(cause: Cause) -> Iterator[str]:
    yield headline(cause.sign)
    if followed := _followed(cause):
        yield followed
    if cause.sign.remedy:
        yield f"fix: {cause.sign.remedy}"
    if cause.sign.path:
        yield f"log: {place_of_line(cause.sign)}"


def render_why(
    cause: Cause, evidence: Mapping[str, HostEvidence], earlier: Sequence[EarlierFailure] = ()
) -> Iterator[str]:
    """`render_cause`, then what happened in order on all hosts, who only followed, what hangs, what
    was ruled out, what could not be looked at, what had failed before, and where more stands."""
    yield from render_cause(cause)
    timeline = sorted(_timed(cause), key=_latest)
    clocked = (
        f"{_clock(sign.time, _to_the_ms(sign))} {headline(sign, False)}" for sign in timeline
    )
    unseen = (f"{one.host}: {words}" for one in evidence.values() for words in one.problems)
    yield from _part("In order, by this machine's clock", clocked)
    yield from _part("Who followed", map(headline, cause.victims))
    yield from _part("What they are in the middle of", render_stacks(cause.sign, evidence))
    yield from _part("GPUs", render_gpus(evidence))
    yield from _part("Ruled out", render_ruled_out(evidence))
    yield from _part("What could not be looked at", unseen)
    yield from _part("Failures before it, which were over", map(_earlier, earlier))
    if cause.sign.link:
        yield f"\nmore: {cause.sign.link}"


def _earlier(failure: EarlierFailure) -> str:
    why = failure.why.partition("\n")[0]
    return f"{_clock(failure.began)} {failure.engine or 'the run'}: {why}"


def _part(title: str, lines: Iterable[str]) -> Iterator[str]:
    if found := [f"  {line}" for line in lines]:
        yield f"\n{title}:"
        yield from found


def _to_the_ms(sign: Sign) -> bool:
    """Lines of most logs tell the second alone."""
    return sign.exact or (sign.time or 0.0) % 1 != 0


def _latest(sign: Sign) -> float:
    """When it was, at the latest: what only its second is known of follows what is known exactly,
    since lines of a log are mostly what others made of a death."""
    return (sign.time or 0.0) + (0.0 if _to_the_ms(sign) else 0.999)


def _timed(cause: Cause) -> Iterator[Sign]:
    return (sign for sign in (cause.sign, *cause.victims) if sign.time is not None)


def headline(sign: Sign, with_time: bool = True) -> str:
    """`node5 rank 37 (decode): Worker ended by SIGILL at 11:49:53`."""
    who = f" rank {sign.rank}" if sign.rank is not None else f" {sign.process}".rstrip()
    engine = f" ({sign.engine})" if sign.engine else ""
    at = f" at {_clock(sign.time)}" if with_time and sign.time is not None else ""
    return f"{sign.host}{who}{engine}: {sign.what}{at}"


def told_reason(reason: str, cause: Cause | None) -> str:
    """A process that ended with 0 after an error of its own was logged did not fail by its end:
    vLLM 0.31's Workers end so when their start fails."""
    if cause is None or not cause.sign.line or cause.sign.tier >= WAITING:
        return reason
    ended = f"{cause.sign.process} ended with exit code 0, unasked"
    return headline(cause.sign, with_time=False) if ended in reason else reason


def place_of_line(sign: Sign) -> str:
    line = f":{sign.line}" if sign.line else ""
    return f"{sign.host}:{sign.path}{line}"


def _followed(cause: Cause) -> str:
    ranks = {(sign.engine, sign.rank) for sign in cause.victims if sign.rank is not None}
    ranks -= {(cause.sign.engine, cause.sign.rank)}
    many = cause.followers or len(ranks)
    return f"{counted(many, 'other rank')} followed" if many else ""


def _clock(time: float | None, exact: bool = False) -> str:
    """By this machine's time zone, as logs are read."""
    shown = datetime.fromtimestamp(time or 0.0)
    return f"{shown:%H:%M:%S.%f}"[:-3] if exact else f"{shown:%H:%M:%S}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


MOST_STACKS, GIB = 8, 1 << 30


def render_ruled_out(evidence: Mapping[str, HostEvidence]) -> Iterator[str]:
    """Of hosts that were asked; a folder of logs rules out nothing."""
    asked = [host for host in evidence.values() if host.now]
    if not asked or len(asked) < len(evidence):
        return
    if not any(host.rebooted for host in asked):
        yield "a reboot or a lost host: all answered, and none was started anew"
    if not any(host.oom_kills or "Killed process" in _kernel(host) for host in asked):
        yield "want of host memory: the kernel killed nothing of it"
    if not any(host.kernel or "kernel's log" in "".join(host.problems) for host in asked):
        yield "GPUs, links, disks: nothing of them in the kernels' logs"
    if not any(host.full for host in asked):
        yield "a full disk or /dev/shm: there is room"
    gpus = [gpu for host in asked for gpu in host.gpus]
    if gpus and not any(gpu.problem or gpu.ecc_uncorrected for gpu in gpus):
        yield f"a lost GPU or broken GPU memory: all {len(gpus)} answered, without such errors"


def _kernel(host: HostEvidence) -> str:
    return "\n".join(line.text for line in host.kernel)


def render_gpus(evidence: Mapping[str, HostEvidence]) -> Iterator[str]:
    for host in evidence.values():
        yield from (f"{host.host} GPU {gpu.index}: {_gpu(gpu)}" for gpu in host.gpus)


def _gpu(gpu: GpuState) -> str:
    if gpu.used_bytes is None or gpu.total_bytes is None:
        return gpu.problem or "NVML gave nothing of it"
    memory = f"{gpu.used_bytes / GIB:.1f} of {gpu.total_bytes / GIB:.1f} GiB used"
    busy = f", {gpu.busy_percent} % at work" if gpu.busy_percent is not None else ""
    ecc = f", {gpu.ecc_uncorrected} errors that can't be corrected" if gpu.ecc_uncorrected else ""
    return f"{memory}{busy}{ecc}"


def render_stacks(culprit: Sign, evidence: Mapping[str, HostEvidence]) -> Iterator[str]:
    """The culprit's process first, then some of the others'."""
    found = [(host.host, one) for host in evidence.values() for one in host.members if one.stack]
    own = (culprit.host, culprit.process)
    found.sort(key=lambda pair: (pair[0], pair[1].process) != own)
    yield from (line for host, one in found[:MOST_STACKS] for line in _stack(host, one))


def _stack(host: str, member: MemberState) -> Sequence[str]:
    who = f"{host} {member.process} {member.component} (pid {member.pid}, state {member.state})"
    return [f"{who}:", *(f"  {frame}" for frame in member.stack)]
