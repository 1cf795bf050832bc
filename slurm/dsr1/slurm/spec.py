"""What a job asks of Slurm, and its `#SBATCH` lines. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dsr1.hosts.errors import InputError

WARNING = "USR1"
_DURATION = re.compile(r"^(\d+|\d+:\d{2}|\d+:\d{2}:\d{2}|\d+-\d{1,2}(:\d{2}){0,2}|UNLIMITED|INFINITE)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One job. Field names are sbatch's own; `warn_s` is when a job is told that its time limit is near.

    `directives` are further options, as `--licenses=a:1`; `setup` are bash lines that run before dsr1.
    """

    name: str
    nodes: int
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    reservation: str | None = None
    time: str | None = None
    gpus_per_node: int | str | None = None
    gres: str | None = None
    exclusive: bool = True
    constraint: str | None = None
    exclude: str | None = None
    nodelist: str | None = None
    mail_user: str | None = None
    mail_type: str | None = None
    output: str = "slurm-%j.out"
    comment: str | None = None
    requeue: bool = False
    warn_s: int = 120
    directives: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()


def render_directives(spec: JobSpec) -> tuple[str, ...]:
    """The options, in the order in which a person asks: what, where, how long. Raises InputError."""
    return tuple(_checked(option) for option in (*_options(spec), *spec.directives))


def check_time(time: str) -> str:
    """Slurm's own forms. InputError names them: sbatch's words for a wrong one don't."""
    if not _DURATION.match(time):
        raise InputError(f"slurm.time: {time!r}: wanted MINUTES, HOURS:MINUTES:SECONDS or DAYS-HOURS, as 4:00:00")
    return time


def _options(spec: JobSpec) -> Iterator[str]:
    yield from (f"--job-name={spec.name}", f"--nodes={spec.nodes}", "--ntasks-per-node=1")
    for name in ("gpus_per_node", "gres", "constraint", "nodelist", "exclude"):
        yield from _option(spec, name)
    if spec.exclusive:
        yield from ("--exclusive", "--mem=0")  # all of a node's memory; else a default a CPU, which no model fits in
    for name in ("partition", "account", "qos", "reservation", "time"):
        yield from _option(spec, name)
    yield f"--output={spec.output}"
    for name in ("mail_user", "mail_type", "comment"):
        yield from _option(spec, name)
    yield "--requeue" if spec.requeue else "--no-requeue"
    yield f"--signal=B:{WARNING}@{spec.warn_s}"


def _option(spec: JobSpec, name: str) -> Iterator[str]:
    value = getattr(spec, name)
    if value is not None:
        yield f"--{name.replace('_', '-')}={value}"


def _checked(option: str) -> str:
    """sbatch reads a directive's line like a shell; what would be another line, or another option, is refused."""
    name, equals, value = option.partition("=")
    if not re.match(r"^--?[A-Za-z][A-Za-z0-9-]*$", name) or any(ord(letter) < 32 for letter in option):
        raise InputError(f"slurm: {option!r} is no option of sbatch: wanted --name or --name=value, on one line")
    return name + equals + _quoted(value)


def _quoted(value: str) -> str:
    """As sbatch reads a directive: words end at blanks, `#` begins a comment, quotes and backslashes as in a shell."""
    if re.fullmatch(r"[A-Za-z0-9_@%+=:,./\[\]*&|()!-]*", value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
