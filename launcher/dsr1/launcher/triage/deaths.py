"""Ends of processes as signs: by which signal, and whether a log explains them. Pure."""

import math
import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

from dsr1.hosts.protocol.evidence import SPAWNED, HostEvidence, ProcessDeath, kind_of
from dsr1.launcher.triage.log_line import rank_of
from dsr1.launcher.triage.rules import ECHO, ITSELF, MACHINE, OWN_ERROR
from dsr1.launcher.triage.signs import Sign

OOM_LINE = "Killed process"
BY_SHELL = 128  # a shell or container gives a signal as 128 and its number
ASKED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
REMEDIES = {
    signal.SIGILL: "install a build made for this CPU: it lacks an instruction, or may not use it",
    signal.SIGBUS: "often a full /dev/shm: df -h /dev/shm; else the file under a mapping shrank",
    signal.SIGKILL: "somebody, or a user-space OOM killer, did: journalctl, systemd-oomd",
    signal.SIGTERM: "somebody asked it to end: who? journalctl, the shell's history, Slurm",
}
OOM_REMEDY = "fewer loaders, or a larger memory limit of the job or cgroup"
_KILLED = re.compile(r"force killing remaining process \S+ pid (\d+)")


def death_signs(host: HostEvidence, hits: Sequence[Sign]) -> Iterator[Sign]:
    """`hits` are the signs of the host's logs. An end that was asked for, by us or by vLLM, says
    nothing but that somebody asked; of those that the kernel killed for want of memory the first is
    named."""
    starved = starved_death(host)
    yield from _shut_down(host)
    for death in _unasked(host):
        yield _sign(host, death, hits, death is starved)
    if host.oom_kills and starved is None:
        what = f"the kernel killed {host.oom_kills} of its processes for want of memory"
        yield Sign(MACHINE, None, host.host, "", what, OOM_REMEDY, "host.oom")


def starved_death(host: HostEvidence) -> ProcessDeath | None:
    """That which the kernel names, where it killed for want of memory, else the first killed."""
    if not host.oom_kills and not _oom_text(host):
        return None
    killed = [one for one in _unasked(host) if _signal_of(one) == signal.SIGKILL]
    named = (one for one in killed if f"{OOM_LINE} {one.pid} " in _oom_text(host))
    return next(chain(named, killed), None)


def _oom_text(host: HostEvidence) -> str:
    return next((line.text for line in host.kernel if OOM_LINE in line.text), "")


def _unasked(host: HostEvidence) -> list[ProcessDeath]:
    """A member that its main process killed takes its own children along."""
    over = _killed(host)
    return [
        one
        for one in host.deaths
        if not one.requested and one.time < over.get(one.process, math.inf)
    ]


def _killed(host: HostEvidence) -> dict[str, float]:
    """When a main process first killed a member that it had asked to end before, by process."""
    texts = (hit.text for log in host.logs for hit in log.scan.hits)
    pids = {int(found[1]) for text in texts if (found := _KILLED.search(text))}
    times: dict[str, float] = {}
    for one in host.deaths:
        if one.pid in pids:
            times[one.process] = min(one.time, times.get(one.process, one.time))
    return times


def _shut_down(host: HostEvidence) -> Iterator[Sign]:
    """Main processes that ended their own engines: the cause only where nothing else says why."""
    ended = {one.process for one in host.deaths if one.component == "main" and not one.requested}
    for process, time in _killed(host).items():
        if process not in ended:
            death = ProcessDeath(process, "main", 0, -signal.SIGTERM, time)
            yield replace(
                _sign(host, death, (), starved=False),
                what="its main process shut down as if by SIGTERM, and not by dsr1",
            )


def _sign(host: HostEvidence, death: ProcessDeath, hits: Sequence[Sign], starved: bool) -> Sign:
    log = host.log_of(death.process)
    rank = rank_of(death.component, log.of.ranks)
    return Sign(
        MACHINE if starved else _tier(death, rank, hits),
        death.time - host.ahead_s,
        host.host,
        death.process,
        f"{_short(death.component)} {_words(host, death, starved)}",
        OOM_REMEDY if starved else _remedy(death),
        "host.oom" if starved else "process.died",
        log.of.engine,
        rank,
        death.component,
        _oom_text(host) if starved else "",
        log.scan.path,
        exact=True,
    )


def _tier(death: ProcessDeath, rank: int | None, hits: Sequence[Sign]) -> int:
    ended = _signal_of(death)
    if ended in ASKED:
        return ECHO
    if ended or death.error:
        return ITSELF
    return ECHO if any(_explains(hit, death, rank) for hit in hits) else OWN_ERROR


def _explains(hit: Sign, death: ProcessDeath, rank: int | None) -> bool:
    same = hit.process == death.process and hit.tier < ECHO
    return same and (death.component == "main" or hit.rank == rank)


def _signal_of(death: ProcessDeath) -> signal.Signals | None:
    code = death.code or 0
    number = -code if code < 0 else code - BY_SHELL
    return signal.Signals(number) if number in signal.valid_signals() and number > 0 else None


def _words(host: HostEvidence, death: ProcessDeath, starved: bool) -> str:
    ended = _signal_of(death)
    if death.error:
        return death.error
    if starved:
        return "ended by SIGKILL, by the kernel for want of memory"
    if ended == signal.SIGBUS and "/dev/shm" in host.full:
        return "ended by SIGBUS, and /dev/shm is full"
    if ended:
        return f"ended by {getattr(ended, 'name', ended)}"
    how = "ended, nobody saw how" if death.code is None else f"ended with exit code {death.code}"
    return f"{how}, and {host.full[0]} has no room left" if host.full else how


def _remedy(death: ProcessDeath) -> str:
    ended = _signal_of(death)
    if ended:
        return REMEDIES.get(ended, "a core dump tells where: coredumpctl, dmesg")
    return "the recipe's runtime and its paths on that host" if death.error else "its log"


def _short(component: str) -> str:
    """Without its rank, which stands elsewhere."""
    kind = kind_of(component)
    return {"main": "its main process", SPAWNED: "a process of it"}.get(kind, kind)
