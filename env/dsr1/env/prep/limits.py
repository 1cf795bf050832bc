"""memlock, nofile and nproc: limits.d for sessions that PAM opens, drop-ins for services that do
without it. Pure."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dsr1.env.prep.parts import (
    RELOAD,
    FileRewrite,
    PrepNote,
    PrepPart,
    file_at,
    folders_of,
    readable,
    service_of,
    texts_below,
)
from dsr1.env.prep.texts import HEADER, with_line, words_of
from dsr1.hosts.protocol.prep import HostProbe

OURS = "/etc/security/limits.d/zz-dsr1.conf"
UNLIMITED = ("unlimited", "infinity", "-1")
NR_OPEN = 1048576
SSHD = "/etc/ssh/sshd_config"


@dataclass(frozen=True, slots=True)
class ResourceLimit:
    """One limit: PAM's word for it and systemd's, the least that does, and what we write."""

    item: str
    unit_key: str
    least: float
    written: str
    why: str

    def good(self, value: str) -> bool:
        return value in UNLIMITED or (value.isdecimal() and int(value) >= self.least)


def fix_memlock(seen: HostProbe) -> Iterator[PrepPart]:
    why = "RDMA pins memory: with a limit, registration fails in the middle of a start"
    limit = ResourceLimit("memlock", "LimitMEMLOCK", float("inf"), "unlimited", why)
    yield from _session(seen, limit, seen.session.memlock)
    if service_of(seen, "slurmd"):
        yield from _service(seen, limit, "slurmd", unset="65536")
        yield from _propagation(seen)


def fix_nofile(seen: HostProbe) -> Iterator[PrepPart]:
    """PAM refuses every login when it can't set what is written: never above the kernel's own
    bound."""
    most = dict(seen.sysctls).get("fs.nr_open", "")
    written = str(min(NR_OPEN, int(most)) if most.isdecimal() else NR_OPEN)
    limit = ResourceLimit(
        "nofile",
        "LimitNOFILE",
        65536,
        written,
        "ranks, NCCL and clients hold tens of thousands of sockets",
    )
    yield from _session(seen, limit, seen.session.nofile)
    if service_of(seen, "slurmd"):
        yield from _service(seen, limit, "slurmd", unset="524288")  # systemd's own default


def fix_nproc(seen: HostProbe) -> Iterator[PrepPart]:
    limit = ResourceLimit(
        "nproc",
        "LimitNPROC",
        65536,
        "unlimited",
        "a host's ranks have tens of thousands of threads",
    )
    yield from _session(seen, limit, seen.session.nproc)


def _session(seen: HostProbe, limit: ResourceLimit, now: int) -> Iterator[PrepPart]:
    fine = limit.good(str(now))
    if seen.session.origin == "ssh" and uses_pam(seen) is False:
        if not fine:
            yield from _sshd(seen, limit, now)
        return
    rank, value = fix_pam_limits(seen, limit.item)
    if (fine and value is None) or (value is not None and limit.good(value)):
        if not fine:
            yield _again(limit, now, "limits.d has it: log in anew")
    elif rank and not limit.good(value or ""):
        told = f"a line for {rank} alone in limits.conf or limits.d: {limit.item} {value}"
        fix = "Change that line: ours, for everybody, doesn't beat it."
        yield PrepNote("FAIL", told, f"{limit.item} {limit.written}", fix)
    else:
        for who in ("*", "root"):
            line, old = (
                f"{who} - {limit.item} {limit.written}",
                rf"{re.escape(who)}\s+\S+\s+{limit.item}\s",
            )
            yield FileRewrite(f"{limit.item} is {now} here: {limit.why}", OURS, _put(line, old))


def _put(line: str, instead_of: str, header: str = HEADER) -> Callable[[str], str]:
    return lambda text: with_line(text, line, instead_of, header)


def _again(limit: ResourceLimit, now: int, how: str) -> PrepNote:
    return PrepNote(
        "WARN", f"this session has {limit.item} {now}", f"{limit.item} {limit.written}", f"{how}."
    )


def _sshd(seen: HostProbe, limit: ResourceLimit, now: int) -> Iterator[PrepPart]:
    """Without PAM a session has what sshd itself has."""
    unit = "ssh" if service_of(seen, "ssh") else "sshd"
    parts = tuple(_service(seen, limit, unit, unset="0"))
    yield from parts or (
        _again(limit, now, f"sshd's unit has it: systemctl restart {unit}, log in anew"),
    )


def fix_pam_limits(seen: HostProbe, item: str) -> tuple[str, str | None]:
    """The hard limit that pam_limits gives this user, and by whose line: a user's beats a group's
    beats everybody's.

    ("", None): no line says anything; ("", value): a line for everybody.
    """
    files = [
        readable(file_at(seen, "/etc/security/limits.conf")),
        *texts_below(seen, "/etc/security/limits.d"),
    ]
    lines = [
        words
        for file in files
        for words in words_of(file.text)
        if len(words) >= 4 and words[2] == item
    ]
    hard = [(words[0], words[3]) for words in lines if words[1] in ("hard", "-")]
    groups = {f"@{group}" for group in seen.session.groups}
    for mine in ({seen.session.user}, groups, {"*"} if seen.session.uid else set()):
        found = [(who, value) for who, value in hard if who in mine]
        if found:
            who, value = found[-1]
            return ("" if who in ("*", "root") else who), value
    return "", None


def uses_pam(seen: HostProbe) -> bool | None:
    """sshd takes the first word it finds. None: its configuration is root's alone, as Red Hat's
    is."""
    below = sorted(
        (file for file in seen.files if file.path.startswith(f"{SSHD}.d/")),
        key=lambda file: file.path,
    )
    files = [*below, file_at(seen, SSHD)]
    said = [
        words[1]
        for file in files
        for words in words_of(file.text)
        if words[0].lower() == "usepam" and words[1:]
    ]
    if any(file.problem or file.kind == "absent" for file in files):
        return None
    return bool(said) and said[0].lower() == "yes"


def of_unit(seen: HostProbe, unit: str, key: str, unset: str) -> str:
    """A key of a service as systemd reads it: the unit's file, then its drop-ins, the last word
    winning."""
    units = folders_of("systemd/system")
    own = [file_at(seen, f"{folder}/{unit}.service") for folder in units]
    main = [file for file in own if file.kind != "absent"][:1]
    files = [*main, *texts_below(seen, *(f"{folder}/{unit}.service.d" for folder in units))]
    found = [
        line.strip()
        for file in files
        for line in file.text.split("\n")
        if re.match(rf"\s*{key}\s*=", line)
    ]
    return found[-1].partition("=")[2].strip() if found else unset


def _service(seen: HostProbe, limit: ResourceLimit, unit: str, unset: str) -> Iterator[PrepPart]:
    value = of_unit(seen, unit, limit.unit_key, unset).split(":")[-1]
    path = f"/etc/systemd/system/{unit}.service.d/dsr1.conf"
    if not limit.good(value):
        written = "infinity" if limit.written == "unlimited" else limit.written
        line = f"{limit.unit_key}={written}"
        why = f"{limit.why}; {unit} hands its own limit on"
        yield FileRewrite(
            why, path, _put(line, rf"{limit.unit_key}\s*=", f"{HEADER}[Service]\n"), RELOAD
        )
        fix = f"systemctl restart {unit}, when it suits: its sessions and jobs go on."
        yield PrepNote(
            "WARN", f"{unit} runs with its limits of before", f"{unit} started with {line}", fix
        )


def _propagation(seen: HostProbe) -> Iterator[PrepNote]:
    """Slurm gives a job the limits of the shell that submitted it, unless told not to."""
    text = file_at(seen, "/etc/slurm/slurm.conf").text
    if not text or re.search(
        r"^\s*PropagateResourceLimitsExcept\s*=.*(MEMLOCK|ALL)", text, re.IGNORECASE | re.MULTILINE
    ):
        return
    if re.search(r"^\s*PropagateResourceLimits\s*=\s*NONE", text, re.IGNORECASE | re.MULTILINE):
        return
    fix = (
        "PropagateResourceLimitsExcept=MEMLOCK in slurm.conf of the whole cluster, then scontrol"
        " reconfigure."
    )
    yield PrepNote(
        "WARN",
        "slurm.conf hands the submitting shell's memlock on to jobs",
        "jobs with slurmd's own",
        fix,
    )
