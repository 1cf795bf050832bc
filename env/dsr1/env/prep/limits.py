"""memlock, nofile and nproc: limits.d for sessions that PAM opens, drop-ins for services without
PAM. Pure."""

import re
from collections.abc import Callable, Iterator

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
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.prep import FileState, HostProbe

OURS = "/etc/security/limits.d/zz-dsr1.conf"
UNLIMITED = ("unlimited", "infinity", "-1")
NR_OPEN = 1048576
SSHD = "/etc/ssh/sshd_config"


@dataclass(frozen=True, slots=True)
class ResourceLimit:
    """One limit: PAM's name for it and systemd's, the least that is enough, what dsr1 writes."""

    item: str
    unit_key: str
    least: float
    written: str
    why: str

    def good(self, value: str) -> bool:
        return value in UNLIMITED or (value.isdecimal() and int(value) >= self.least)


def fix_memlock(probe: HostProbe) -> Iterator[PrepPart]:
    why = "RDMA pins memory: with a limit, registration fails in the middle of a start"
    limit = ResourceLimit("memlock", "LimitMEMLOCK", float("inf"), "unlimited", why)
    yield from _session(probe, limit, probe.session.memlock)
    if service_of(probe, "slurmd"):
        yield from _service(probe, limit, "slurmd", unset="65536")
        yield from _propagation(probe)


def fix_nofile(probe: HostProbe) -> Iterator[PrepPart]:
    """PAM refuses every login when it can't set what is written: never above the kernel's own
    bound."""
    most = dict(probe.sysctls).get("fs.nr_open", "")
    written = str(min(NR_OPEN, int(most)) if most.isdecimal() else NR_OPEN)
    limit = ResourceLimit(
        "nofile",
        "LimitNOFILE",
        65536,
        written,
        "ranks, NCCL and clients open tens of thousands of sockets",
    )
    yield from _session(probe, limit, probe.session.nofile)
    if service_of(probe, "slurmd"):
        yield from _service(probe, limit, "slurmd", unset="524288")  # systemd's own default


def fix_nproc(probe: HostProbe) -> Iterator[PrepPart]:
    limit = ResourceLimit(
        "nproc",
        "LimitNPROC",
        65536,
        "unlimited",
        "a host's ranks have tens of thousands of threads",
    )
    yield from _session(probe, limit, probe.session.nproc)


def _session(probe: HostProbe, limit: ResourceLimit, now: int) -> Iterator[PrepPart]:
    good = limit.good(str(now))
    if probe.session.origin == "ssh" and uses_pam(probe) is False:
        if not good:
            yield from _sshd(probe, limit, now)
        return
    owner, value = pam_limit(probe, limit.item)
    if value is None:
        if not good:
            yield from _limit_lines(limit, now)
    elif limit.good(value):
        if not good:
            yield _log_in_again(limit, now, "limits.d has the limit: log in again")
    elif owner:
        seen = f"a line for {owner} alone in limits.conf or limits.d: {limit.item} {value}"
        fix = "Change that line: it overrides the line for everybody that dsr1 would write."
        yield PrepNote("FAIL", seen, f"{limit.item} {limit.written}", fix)
    else:
        yield from _limit_lines(limit, now)


def _limit_lines(limit: ResourceLimit, now: int) -> Iterator[FileRewrite]:
    """`*` doesn't include root."""
    for user in ("*", "root"):
        line = f"{user} - {limit.item} {limit.written}"
        old = rf"{re.escape(user)}\s+\S+\s+{limit.item}\s"
        yield FileRewrite(f"{limit.item} is {now} here: {limit.why}", OURS, _put(line, old))


def _put(line: str, instead_of: str, header: str = HEADER) -> Callable[[str], str]:
    return lambda text: with_line(text, line, instead_of, header)


def _log_in_again(limit: ResourceLimit, now: int, how: str) -> PrepNote:
    return PrepNote(
        "WARN", f"this session has {limit.item} {now}", f"{limit.item} {limit.written}", f"{how}."
    )


def _sshd(probe: HostProbe, limit: ResourceLimit, now: int) -> Iterator[PrepPart]:
    """Without PAM a session has what sshd itself has."""
    unit = "ssh" if service_of(probe, "ssh") else "sshd"
    parts = tuple(_service(probe, limit, unit, unset="0"))
    yield from parts or (
        _log_in_again(
            limit, now, f"sshd's unit has the limit: systemctl restart {unit}, then log in again"
        ),
    )


def pam_limit(probe: HostProbe, item: str) -> tuple[str, str | None]:
    """The hard limit that pam_limits gives this user, and whose line it is: a user's overrides a
    group's, which overrides everybody's.

    ("", None): there is no line; ("", value): a line for everybody.
    """
    session = probe.session
    lines = _hard_limits(probe, item)
    groups = {f"@{group}" for group in session.groups}
    for owners in ({session.user}, groups, {"*"} if session.uid else set()):
        found = [(owner, value) for owner, value in lines if owner in owners]
        if found:
            owner, value = found[-1]
            return ("" if owner in ("*", "root") else owner), value
    return "", None


def _hard_limits(probe: HostProbe, item: str) -> list[tuple[str, str]]:
    """Owner and value of each line, in the order in which they are read."""
    files = [
        readable(file_at(probe, "/etc/security/limits.conf")),
        *texts_below(probe, "/etc/security/limits.d"),
    ]
    lines = [words for file in files for words in words_of(file.text) if len(words) >= 4]
    return [
        (words[0], words[3]) for words in lines if words[1] in ("hard", "-") and words[2] == item
    ]


def uses_pam(probe: HostProbe) -> bool | None:
    """sshd takes the first value that it finds. None: only root can read its configuration, as Red
    Hat's."""
    files = _sshd_files(probe)
    if any(file.problem or file.kind == "absent" for file in files):
        return None
    lines = [words for file in files for words in words_of(file.text)]
    values = [words[1] for words in lines if words[0].lower() == "usepam" and words[1:]]
    return bool(values) and values[0].lower() == "yes"


def _sshd_files(probe: HostProbe) -> list[FileState]:
    """In the order in which sshd reads them."""
    drop_ins = [file for file in probe.files if file.path.startswith(f"{SSHD}.d/")]
    return [*sorted(drop_ins, key=lambda file: file.path), file_at(probe, SSHD)]


def of_unit(probe: HostProbe, unit: str, key: str, unset: str) -> str:
    """A key of a service as systemd reads it: the unit's file, then its drop-ins, the last value
    winning."""
    folders = folders_of("systemd/system")
    units = [file_at(probe, f"{folder}/{unit}.service") for folder in folders]
    main = [file for file in units if file.kind != "absent"][:1]
    files = [*main, *texts_below(probe, *(f"{folder}/{unit}.service.d" for folder in folders))]
    text = "\n".join(file.text for file in files)
    found = re.findall(rf"^[ \t]*{key}[ \t]*=(.*)$", text, re.MULTILINE)
    return str(found[-1]).strip() if found else unset


def _service(probe: HostProbe, limit: ResourceLimit, unit: str, unset: str) -> Iterator[PrepPart]:
    value = of_unit(probe, unit, limit.unit_key, unset).split(":")[-1]
    path = f"/etc/systemd/system/{unit}.service.d/dsr1.conf"
    if not limit.good(value):
        written = "infinity" if limit.written == "unlimited" else limit.written
        line = f"{limit.unit_key}={written}"
        why = f"{limit.why}; {unit} passes its own limit on"
        yield FileRewrite(
            why, path, _put(line, rf"{limit.unit_key}\s*=", f"{HEADER}[Service]\n"), RELOAD
        )
        seen, wanted = f"{unit} still runs with its old limits", f"{unit} restarted with {line}"
        fix = f"systemctl restart {unit} at a convenient time: its sessions and jobs go on."
        yield PrepNote("WARN", seen, wanted, fix)


def _propagation(probe: HostProbe) -> Iterator[PrepNote]:
    """Slurm gives a job the limits of the shell that submitted it, unless slurm.conf forbids it."""
    text = file_at(probe, "/etc/slurm/slurm.conf").text
    if not text or re.search(
        r"^\s*PropagateResourceLimitsExcept\s*=.*(MEMLOCK|ALL)", text, re.IGNORECASE | re.MULTILINE
    ):
        return
    if re.search(r"^\s*PropagateResourceLimits\s*=\s*NONE", text, re.IGNORECASE | re.MULTILINE):
        return
    seen = "slurm.conf passes the submitting shell's memlock limit on to jobs"
    fix = (
        "Set PropagateResourceLimitsExcept=MEMLOCK in slurm.conf of the whole cluster, then run"
        " scontrol reconfigure."
    )
    yield PrepNote("WARN", seen, "jobs with slurmd's own memlock limit", fix)
