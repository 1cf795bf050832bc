"""What Slurm gave a job, from the variables of its batch step. Pure."""

import itertools
from collections.abc import Iterator, Mapping

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.names import expand_names


@dataclass(frozen=True, slots=True)
class AllocatedHost:
    """A host of an allocation, and its group in a heterogeneous job."""

    host: str
    group: int | None = None


@dataclass(frozen=True, slots=True)
class Allocation:
    """A job's id, its cluster and its hosts, the one that runs the batch step first; its name.

    `is_lent`: its user asked for it, by salloc say, and it is more than one run's. `step_options`
    are further ones of each srun.
    """

    job: str
    cluster: str
    places: tuple[AllocatedHost, ...]
    name: str = ""
    is_lent: bool = False
    step_options: tuple[str, ...] = ()


def is_inside(env: Mapping[str, str]) -> bool:
    return bool(env.get("SLURM_JOB_ID")) and bool(env.get("SLURM_JOB_NODELIST"))


def own_allocation(env: Mapping[str, str]) -> Allocation | None:
    """The one that a command is entered in. None: in none."""
    return parse_allocation(env) if is_inside(env) else None


def parse_allocation(env: Mapping[str, str]) -> Allocation:
    """Raises InputError outside of a job."""
    if not is_inside(env):
        raise InputError("not inside a job of Slurm (no SLURM_JOB_ID): submit this with sbatch")
    job = env.get("SLURM_HET_JOB_ID") or env["SLURM_JOB_ID"]
    places = tuple(_groups(env)) or tuple(
        AllocatedHost(host) for host in _expand(env["SLURM_JOB_NODELIST"])
    )
    cluster, name = env.get("SLURM_CLUSTER_NAME", "cluster"), env.get("SLURM_JOB_NAME", "")
    return Allocation(job, cluster, places, name)


def restart_count(env: Mapping[str, str]) -> int:
    """How often the job was requeued."""
    return int(env.get("SLURM_RESTART_COUNT") or 0)


def refuse_array(env: Mapping[str, str]) -> None:
    """InputError: the batch step is of a task of an array, whose number may be the whole array's:
    who signals or cancels that one ends all."""
    if env.get("SLURM_ARRAY_TASK_ID"):
        raise InputError(
            f"job {env.get('SLURM_JOB_ID')} is a task of the array"
            f" {env.get('SLURM_ARRAY_JOB_ID')}: a run is one job; submit it without --array"
        )


def _groups(env: Mapping[str, str]) -> Iterator[AllocatedHost]:
    for group in itertools.count():
        hosts = env.get(f"SLURM_JOB_NODELIST_HET_GROUP_{group}")
        if hosts is None:
            return
        yield from (AllocatedHost(host, group) for host in _expand(hosts))


def _expand(hosts: str) -> list[str]:
    """In Slurm's own order, which is not sorted by name."""
    return expand_names(hosts, "SLURM_JOB_NODELIST")
