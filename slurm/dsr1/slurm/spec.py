"""What a job asks of Slurm, and its `#SBATCH` lines. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError

WARNING = "USR1"
_DURATION = re.compile(
    r"\d{1,9}|\d{1,9}:\d{2}|\d{1,9}:\d{2}:\d{2}|\d{1,9}-\d{1,2}(:\d{2}){0,2}|UNLIMITED|INFINITE",
    re.IGNORECASE | re.ASCII,
)
_DAY_UNITS, _UNITS = (86400, 3600, 60, 1), {1: (60,), 2: (60, 1), 3: (3600, 60, 1)}
_SHORT = {
    "A": "account", "C": "constraint", "G": "gpus", "J": "job-name", "M": "clusters", "N": "nodes",
    "a": "array", "k": "no-kill", "n": "ntasks", "o": "output", "p": "partition", "q": "qos",
    "t": "time", "w": "nodelist", "x": "exclude",
}  # fmt: skip
_KEYS = (
    "nodes", "gpus-per-node", "gres", "exclusive", "constraint", "nodelist", "exclude", "partition",
    "account", "qos", "reservation", "time", "output", "mail-user", "mail-type",
    "comment", "requeue",
)  # fmt: skip
OWNED = {name: f"the recipe's own key: slurm.{name.replace('-', '_')}" for name in _KEYS} | {
    "gpus": "the recipe's own key: slurm.gpus_per_node",
    "no-requeue": "the recipe's own key: slurm.requeue",
    "signal": "the recipe's own key: slurm.warn",
    "job-name": "dsr1: it is the run's name",
    "ntasks": "dsr1: one task a node",
    "ntasks-per-node": "dsr1: one task a node",
    "array": "dsr1: a run is one job",
    "clusters": "dsr1: it asks for and ends jobs of this cluster; go to a login node of the other",
    "export": "dsr1: a job needs PATH and HOME",
    "no-kill": "dsr1: a job that has lost its first node, and with it dsr1, would stay",
}


STEPS_OWN = dict.fromkeys(
    (
        *("jobid", "het-group", "overlap", "exclusive", "nodes", "ntasks", "ntasks-per-node"),
        *("nodelist", "mem", "mem-per-cpu", "mem-per-gpu", "mpi", "cpu-bind", "export"),
        *("kill-on-bad-exit", "no-kill", "unbuffered", "job-name", "label", "pty", "multi-prog"),
        *("input", "output", "error", "clusters", "test-only", "time", "immediate", "quit"),
    ),
    "dsr1: a step is a node, whole, and its streams are dsr1's",
)


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One job. Field names are sbatch's own; `warn_s` is when a job is told that its time limit is
    near.

    `directives` are further options, as `--licenses=a:1`; `setup` are bash lines that run before
    dsr1.
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
    """The options, in the order in which a person asks: what, where, how long. Raises
    InputError."""
    owned = OWNED | ({"mem": "the recipe's own key: slurm.exclusive"} if spec.exclusive else {})
    own, further = (tuple(map(_checked, options)) for options in (_options(spec), spec.directives))
    for option in further:
        _refuse_owned(option, owned)
    return own + further


def check_time(time: str, warn_s: int = 0) -> str:
    """Slurm's own forms. InputError names them: sbatch's words for a wrong one don't."""
    if not _DURATION.fullmatch(time):
        raise InputError(
            f"slurm.time: {time!r}: wanted MINUTES, HOURS:MINUTES:SECONDS or DAYS-HOURS, as 4:00:00"
        )
    seconds = duration_s(time)
    if 0 < seconds <= warn_s:
        raise InputError(
            f"slurm.time: {time!r} is {seconds} s, and the deployment stops slurm.warn, {warn_s} s,"
            " before its end: 4:00 is 4 minutes to Slurm; 4 hours is 4:00:00"
        )
    return time


def check_step_options(options: Sequence[str]) -> tuple[str, ...]:
    """For each srun, as `--network=...`. InputError: one that isn't an option, or is dsr1's own."""
    for option in options:
        if not option.startswith("--"):
            raise InputError(f"slurm.srun: {option!r}: wanted is the long form, --name=value")
        _checked(option, "srun")
        _refuse_owned(option, STEPS_OWN, "slurm.srun")
    return tuple(options)


def duration_s(time: str) -> int:
    """0: no limit, as in Slurm, or none that can be told."""
    if not time[:1].isdigit() or not _DURATION.fullmatch(time):
        return 0
    parts = [int(part) for part in re.split("[-:]", time)]
    units = _DAY_UNITS if "-" in time else _UNITS[len(parts)]
    return sum(part * unit for part, unit in zip(parts, units, strict=False))


def _refuse_owned(option: str, owned: Mapping[str, str], key: str = "slurm.directives") -> None:
    """sbatch takes a long option's beginning for the whole of it, and a short one's value without a
    blank."""
    name = option.partition("=")[0]
    long = name[2:] if name.startswith("--") else _SHORT.get(name[1], name)
    owner = owned.get(long) or next(
        (owner for whole, owner in owned.items() if whole.startswith(long)), ""
    )
    if owner:
        raise InputError(f"{key}: {option!r} is set by {owner}")


def _options(spec: JobSpec) -> Iterator[str]:
    yield from (f"--job-name={spec.name}", f"--nodes={spec.nodes}", "--ntasks-per-node=1")
    for name in ("gpus_per_node", "gres", "constraint", "nodelist", "exclude"):
        yield from _option(spec, name)
    if spec.exclusive:
        yield from (
            "--exclusive",
            "--mem=0",
        )  # all of a node's memory; else a default a CPU, which no model fits in
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


def _checked(option: str, command: str = "sbatch") -> str:
    """sbatch reads a directive's line like a shell; what would be another line, or another option,
    is refused."""
    name, equals, value = option.partition("=")
    if not re.fullmatch(r"--?[A-Za-z][A-Za-z0-9-]*", name) or any(
        not letter.isprintable() for letter in option
    ):
        raise InputError(
            f"slurm: {option!r} is no option of {command}: wanted --name or --name=value, on one"
            " line"
        )
    return name + equals + _quoted(value)


def _quoted(value: str) -> str:
    """As sbatch reads a directive: words end at blanks, `#` begins a comment, quotes and
    backslashes as in a shell."""
    if re.fullmatch(r"[A-Za-z0-9_@%+=:,./\[\]*&|()!-]*", value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
