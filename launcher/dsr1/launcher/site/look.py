"""What hosts and Slurm tell that a site file can be made from."""

import contextlib
import getpass
import subprocess
from collections.abc import Sequence
from pathlib import Path

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import Dsr1Error, HostError, InputError, LaunchFailed
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.transport.exec import run_on_all
from dsr1.slurm.client import call

TIMEOUT_S = 60.0
HERE = "this machine"


@dataclass(frozen=True, slots=True)
class SeenHost:
    """Names of its GPUs, environments that have vLLM, folders of models of R1's architecture."""

    gpus: tuple[str, ...] = ()
    venvs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SeenPartition:
    """`gres` as Slurm has it, `gpu:h100:8`; `time` its limit, `infinite` for none."""

    name: str
    nodes: int
    gres: str
    time: str
    default: bool

    @property
    def has_gpus(self) -> bool:
        return "gpu" in self.gres


@dataclass(frozen=True, slots=True)
class SeenSlurm:
    partitions: tuple[SeenPartition, ...] = ()
    accounts: tuple[str, ...] = ()


def survey_site(accesses: Sequence[Access]) -> dict[str, SeenHost]:
    """By name; this machine where none is given. LaunchFailed names every host that doesn't
    answer."""
    argv = ("sh", "-c", Path(__file__).with_name("look.sh").read_text())
    if not accesses:
        return {HERE: parse_look(_look_here(argv))}
    results = run_on_all(accesses, argv, TIMEOUT_S)
    if lost := [one.text for one in results.values() if one.code is None]:
        raise LaunchFailed("\n".join(lost))
    return {host: parse_look(one.text) for host, one in results.items()}


def _look_here(argv: Sequence[str]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, timeout=TIMEOUT_S, check=True)
    except subprocess.SubprocessError as error:
        raise HostError(f"{HERE}: can't be looked at: {error}") from None
    return done.stdout.decode(errors="replace")


def parse_look(text: str) -> SeenHost:
    """What look.sh prints. Other lines are of others."""
    found: dict[str, list[str]] = {"gpu": [], "venv": [], "model": []}
    for line in text.splitlines():
        kind, _, what = line.partition(" ")
        if kind in found and what.isprintable() and what:
            found[kind].append(what)
    venvs, models = (tuple(dict.fromkeys(found[kind])) for kind in ("venv", "model"))
    return SeenHost(tuple(found["gpu"]), venvs, models)


def look_at_slurm_if_any() -> SeenSlurm:
    """Nothing where it isn't there, or has no configuration here."""
    with contextlib.suppress(InputError):
        return look_at_slurm()
    return SeenSlurm()


def look_at_slurm() -> SeenSlurm:
    """InputError: there is none here. HostError: it doesn't answer."""
    done = call(("sinfo", "--noheader", "--format=%P|%D|%G|%l"))
    if done.returncode != 0:
        raise HostError(f"Slurm does not answer: sinfo: {done.stderr.strip()}")
    return SeenSlurm(parse_partitions(done.stdout), _accounts())


def parse_partitions(text: str) -> tuple[SeenPartition, ...]:
    """Those with GPUs first, the default one of them before the others."""
    found: dict[str, SeenPartition] = {}
    for line in text.splitlines():
        fields = line.strip().split("|")
        if len(fields) == 4 and fields[1].isdecimal():
            one = SeenPartition(
                fields[0].rstrip("*"), int(fields[1]), fields[2], fields[3], fields[0][-1:] == "*"
            )
            known = found.get(one.name)
            found[one.name] = one if known is None or one.has_gpus else known
    return tuple(sorted(found.values(), key=lambda one: (not one.has_gpus, not one.default)))


def _accounts() -> tuple[str, ...]:
    """This user's. Without an accounting there are none."""
    user = f"user={getpass.getuser()}"
    try:
        done = call(("sacctmgr", "-nP", "show", "assoc", user, "format=account"))
    except Dsr1Error:
        return ()
    return tuple(dict.fromkeys(done.stdout.split())) if done.returncode == 0 else ()
