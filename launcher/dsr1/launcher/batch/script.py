"""A recipe as a batch script: what it asks of Slurm, and the supervisor as its batch step. Pure."""

import shlex
from collections.abc import Sequence

import yaml

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.host import Host
from dsr1.launcher.layout.placement import make_topology, wanted_nodes
from dsr1.launcher.layout.topology import GPUS_PER_NODE
from dsr1.launcher.recipe.models import Recipe
from dsr1.slurm.script import BatchCommand, render_script
from dsr1.slurm.spec import JobSpec, check_time, render_directives
from dsr1.slurm.states import JobInfo

_OF_BATCH = ("--output", "--requeue", "--no-requeue", "--signal")
"""Options of sbatch's alone."""


@dataclass(frozen=True, slots=True)
class BatchSite:
    """Where the job finds dsr1 and keeps its run, both on a file system that the nodes share.

    `python` is the one that runs dsr1; `state` the folder of all runs; `path` is PYTHONPATH, for a
    checkout.
    """

    python: str
    state: str
    path: str = ""


def render_job(
    recipe: Recipe, site: BatchSite, name: str = "", options: Sequence[str] = (), run_id: str = ""
) -> str:
    """`name` is the run's; without it every submission is a run of its own, named by its job.
    `run_id` is that of a run which is there already, and waits for this job alone.

    Raises InputError.
    """
    argv = (
        site.python,
        "-P",
        "-m",
        "dsr1.launcher.batch.main",
        *(("--name", name) if name else ()),
        *(("--run-id", run_id) if run_id else ()),
        *options,
    )
    env = {"DSR1_STATE_DIR": site.state} | ({"PYTHONPATH": site.path} if site.path else {})
    head = (
        (
            f"Recipe {recipe.name}, rendered by dsr1: submit it with sbatch. It starts the"
            " deployment and watches it."
        ),
    )
    command = BatchCommand(argv, env, render_job_recipe(recipe))
    return render_script(make_spec(recipe, site, name, run_id), command, head)


def render_job_recipe(recipe: Recipe) -> str:
    """As YAML that reads back as the same recipe; defaults are left out."""
    plain = recipe.model_dump(exclude_defaults=True)
    text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=110)
    return text


def make_spec(recipe: Recipe, site: BatchSite, name: str = "", run_id: str = "") -> JobSpec:
    """InputError for a node count that isn't known, and a time that Slurm doesn't read or that is
    over at once."""
    asked, warn_s = recipe.slurm, recipe.slurm.warn + recipe.slurm.overlap
    return JobSpec(
        name=run_job_name(name or recipe.name, run_id),
        nodes=max(needed_hosts(recipe), asked.nodes or 0) + asked.spares,
        partition=asked.partition,
        account=asked.account,
        qos=asked.qos,
        reservation=asked.reservation,
        time=None if asked.time is None else check_time(asked.time, warn_s),
        gpus_per_node=asked.gpus_per_node or _default_gpus(recipe),
        gres=asked.gres,
        exclusive=asked.exclusive,
        constraint=asked.constraint,
        exclude=asked.exclude,
        nodelist=asked.nodelist,
        mail_user=asked.mail_user,
        mail_type=asked.mail_type,
        output=asked.output or f"{site.state}/jobs/%x-%j.out",
        comment=asked.comment,
        requeue=asked.requeue,
        warn_s=warn_s,
        directives=tuple(asked.directives),
        setup=tuple(asked.setup),
    )


def salloc_command(recipe: Recipe, site: BatchSite) -> tuple[str, ...]:
    """What takes the nodes of such a job for a command, which follows. InputError as above."""
    options = shlex.split(" ".join(render_directives(make_spec(recipe, site))))
    return ("salloc", *(one for one in options if one.partition("=")[0] not in _OF_BATCH))


def run_job_name(name: str, run_id: str = "") -> str:
    """One that squeue shows as dsr1's. With the beginning of a run's identity it is the name of
    that run's jobs alone, by which they are found and known."""
    shown = name if name.startswith("dsr1") else f"dsr1-{name}"
    return f"{shown}-{run_id[:12]}" if run_id else shown


def too_short(recipe: Recipe, info: JobInfo) -> str:
    """Why the time that Slurm granted, a partition's default say, is over at once. Empty: it
    isn't."""
    warn_s = recipe.slurm.warn + recipe.slurm.overlap
    if not 0 < info.limit_s <= warn_s:
        return ""
    whose = "--time" if recipe.slurm.time else "its default, without --time"
    of = f"partition {info.partition}, " if info.partition else ""
    return (
        f"job {info.job} was granted {info.limit_s} s ({of}{whose}), and the deployment stops"
        f" slurm.warn, {warn_s} s, before its end: give --time, as 4:00:00"
    )


def _default_gpus(recipe: Recipe) -> int | None:
    return GPUS_PER_NODE if recipe.uses_gpus and not recipe.slurm.gres else None


def needed_hosts(recipe: Recipe, given: int | None = None) -> int:
    """The fewest hosts of 8 GPUs that all engines fit on together; of `slurm.nodes` those that get
    one, the first. An engine that takes all takes what is `given`, less the spares."""
    if recipe.slurm.nodes:
        return _dealt(recipe, recipe.slurm.nodes)
    greedy = [name for name, engine in recipe.engines.items() if engine.nodes == "all"]
    if greedy and given is not None:
        return _dealt(recipe, max(1, given - recipe.slurm.spares))
    if greedy:
        raise InputError(
            f"slurm.nodes: engines.{greedy[0]}.nodes is all: say how many to ask Slurm for, --set"
            " slurm.nodes=2"
        )
    return _dealt(recipe, wanted_nodes(recipe))


def _dealt(recipe: Recipe, count: int) -> int:
    """Of so many hosts, those that have a node of an engine."""
    topology = make_topology(
        recipe, [Host(f"node{number}", f"node{number}") for number in range(count)]
    )
    return len({node.host.name for group in topology.groups for node in group.nodes})


def unused_spares(recipe: Recipe) -> str:
    """A note: hosts that the recipe names are none of a job's; nothing where it names none."""
    named = ", ".join(recipe.spares)
    return (
        f"spares: {named}: for hosts over SSH, not used in a job; slurm.spares says how many it has"
        if named
        else ""
    )
