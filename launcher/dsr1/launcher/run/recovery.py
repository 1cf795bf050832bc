"""What a run is ended by, where its files can't be read whole: another version wrote them, or the
disk was full."""

import contextlib
from dataclasses import fields

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import LaunchFailed
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.inventory.host import this_machine
from dsr1.hosts.protocol.bounded import parse_bounded
from dsr1.hosts.protocol.plain import from_plain
from dsr1.launcher.run.folder import read_own_file
from dsr1.launcher.run.store import Run


@dataclass(frozen=True, slots=True)
class RecoveryInfo:
    """Of the settings, what it takes to reach the agents. Without `hosts` they are on this
    machine."""

    python: str = ""
    hosts: tuple[Access, ...] = ()
    replaced: tuple[str, ...] = ()


def parse_recovery_info(text: str) -> RecoveryInfo:
    """Passes over keys that this version doesn't know. ValueError: whom to reach can't be told."""
    plain = parse_bounded(text)
    kept = _known(RecoveryInfo, plain)
    if isinstance(hosts := kept.get("hosts"), list):
        kept["hosts"] = [_known(Access, host) for host in hosts]
    return from_plain(RecoveryInfo, kept, "settings.json")


def _known(kind: type, plain: object) -> dict[str, object]:
    if not isinstance(plain, dict):
        raise ValueError(f"an object is wanted, not {plain!r}")
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in plain.items() if name in names}


def read_recovery_info(run: Run) -> RecoveryInfo | None:
    """None: the settings aren't there, or can't be read at all; the run then counts as one on this
    machine."""
    try:
        return parse_recovery_info(read_own_file(run.folder / "settings.json"))
    except (OSError, ValueError):
        return None


def find_run_id(run: Run) -> str:
    """The run's identity, from whichever of its files can be read. Empty: from none; nothing can
    be told to be the run's own then."""
    with contextlib.suppress(LaunchFailed):
        return run.run_id()
    for file in (run.folder / "plan.json", *sorted((run.folder / "hosts").glob("*/plan.json"))):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return str(parse_bounded(read_own_file(file))["run_id"])
    return ""


@dataclass(frozen=True, slots=True)
class Remains:
    """What a run is ended by, as it was at one moment: while it is ended its folder may be removed,
    and its name become another run's. `unknown`: in words, what of it can't be told."""

    run_id: str
    info: RecoveryInfo
    hosts: tuple[str, ...]
    unknown: tuple[str, ...]


def read_remains(run: Run) -> Remains:
    found = read_recovery_info(run)
    info = found or RecoveryInfo()
    unknown = (*unreachable_hosts(run, found), *unplaced(run, found), *unidentified(run, info))
    return Remains(find_run_id(run), info, hosts_to_end(run, info), unknown)


def unidentified(run: Run, info: RecoveryInfo) -> tuple[str, ...]:
    """In words: a run that may have been started, and whose identity is lost."""
    if find_run_id(run) or not (info.hosts or local_hosts(run)) or is_over(run):
        return ()
    return (
        f"{run.folder}: the run's identity can't be read, so its processes can't be told from"
        f" another run's; `dsr1 stop {run.name} --hosts ...` asks the hosts",
    )


def hosts_to_end(run: Run, info: RecoveryInfo) -> tuple[str, ...]:
    """As planned; where the plan can't be read, all that the run has a way to."""
    if not info.hosts:
        return hosts_here(run)
    planned = planned_hosts(run) or tuple(access.name for access in info.hosts)
    return tuple(dict.fromkeys((*planned, *info.replaced)))


def hosts_here(run: Run) -> tuple[str, ...]:
    """The run's names for this machine, by whatever tells of them: none of its files may be there
    while its processes are."""
    told = dict.fromkeys((*planned_hosts(run), *hosts_told(run)))
    here = {host.name for host in this_machine(len(told), 0)}
    return tuple(dict.fromkeys((*(host for host in told if host in here), *local_hosts(run))))


def hosts_told(run: Run) -> tuple[str, ...]:
    """By the run's state, whose ranks have hosts. Empty: it had none yet, or can't be read."""
    with contextlib.suppress(LaunchFailed):
        return tuple(dict.fromkeys(row.host for row in run.state().ranks))
    return ()


def may_have_begun(run: Run) -> bool:
    """False: its launch was still asking its hosts, and hadn't planned anything."""
    if run.is_planned() or hosts_told(run):
        return True
    try:
        return run.state().phase != "starting"
    except LaunchFailed:
        return True


def unplaced(run: Run, found: RecoveryInfo | None) -> tuple[str, ...]:
    """In words: a run that may have been started, and nothing says where."""
    if found is not None or planned_hosts(run) or hosts_here(run):
        return ()
    if run.is_in_job():  # nothing outlives the job's steps, and their streams
        return ()
    if is_over(run) or not may_have_begun(run):
        return ()
    told = f" ({', '.join(hosts)}, by its state)" if (hosts := hosts_told(run)) else ""
    return (
        f"{run.folder}: where it runs{told} can't be read from settings.json and plan.json:"
        f" `dsr1 stop {run.name} --hosts ...` asks hosts, and squeue shows jobs; if it was never"
        " started, remove that folder",
    )


def local_hosts(run: Run) -> tuple[str, ...]:
    """From what is on disk, so that a run whose plan can't be read is ended all the same."""
    folder = run.folder / "hosts"
    return (
        tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))
        if folder.is_dir()
        else ()
    )


def planned_hosts(run: Run) -> tuple[str, ...]:
    """Empty where the plan can't be read."""
    try:
        return tuple(host.host for host in run.plan().hosts)
    except LaunchFailed:
        return ()


def unreachable_hosts(run: Run, found: RecoveryInfo | None) -> tuple[str, ...]:
    """In words: hosts of the plan that are other machines, while the settings that tell the way
    there are lost.

    None where the run's supervisor, who knew the way, has ended it.
    """
    if found is not None or is_over(run):
        return ()
    planned = planned_hosts(run)
    here = {host.name for host in this_machine(len(planned), 0)}
    return tuple(
        f"{host}: how it is reached can't be read from {run.folder / 'settings.json'}"
        for host in planned
        if host not in here
    )


def is_over(run: Run) -> bool:
    """By its own word, with nothing left. False, too: it can't be read."""
    try:
        state = run.state()
    except LaunchFailed:
        return False
    return state.ended and not state.left
