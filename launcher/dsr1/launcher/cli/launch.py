"""`dsr1 launch`: bring a deployment up on this machine, and return once it serves."""

import secrets
from typing import TYPE_CHECKING, Annotated

import typer

from dsr1.launcher.cli.options import (
    AcceptNewKeys,
    Account,
    HostsOption,
    ModelPath,
    Nodes,
    Partition,
    Profiles,
    RecipeName,
    Rehearse,
    SetOption,
    Time,
    Venv,
    chosen_hosts,
    chosen_recipe,
    slurm_changes,
    tell_unused_spares,
)

if TYPE_CHECKING:
    from dsr1.launcher.run.store import Run


def launch(
    recipe: RecipeName = "dsr1-dep",
    hosts: HostsOption = None,
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="The run's name; default: the recipe's and four letters."
        ),
    ] = "",
    profile: Profiles = None,
    changes: SetOption = None,
    model: ModelPath = "",
    venv: Venv = "",
    rehearsed: Rehearse = False,
    accept_new_keys: AcceptNewKeys = False,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Don't judge the hosts first.")
    ] = False,
    skip_check: Annotated[
        list[str] | None,
        typer.Option(metavar="CHECK", help="Go on without this check or kind; may be repeated."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Stay: print the logs until it ends.")
    ] = False,
    slurm: Annotated[
        bool, typer.Option("--slurm", help="In a job of Slurm's, see the recipe's slurm keys.")
    ] = False,
    partition: Partition = "",
    account: Account = "",
    time: Time = "",
    nodes: Nodes = None,
    test_only: Annotated[
        bool, typer.Option("--test-only", help="Ask Slurm whether and when; submit nothing.")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Return once the job is submitted.")
    ] = False,
) -> None:
    """Start a deployment: over SSH, in a job, or here.

    Returns once it serves; Ctrl-C before that takes all of it back.
    """
    from dsr1.launcher.cli.view import make_view, print_logs
    from dsr1.launcher.commands.rehearsal import rehearse
    from dsr1.launcher.operate.backends import backend_for
    from dsr1.launcher.preflight.preflight import choose_checks
    from dsr1.launcher.run.backend import LaunchRequest
    from dsr1.launcher.run.signals import interrupt_on_signals

    asked = slurm_changes(partition, account, time, nodes)
    _refuse_mixed(slurm, hosts, bool(asked or test_only or no_wait), no_wait and follow)
    loaded = chosen_recipe(recipe, [*(changes or []), *asked], model, venv, profile)
    loaded = rehearse(loaded) if rehearsed else loaded
    name = name or f"{loaded.name}-{secrets.token_hex(2)}"
    skip = tuple(skip_check or ())
    choose_checks((), skip)  # a word that is no check is refused before anything is asked
    if slurm:
        tell_unused_spares(loaded)
    if test_only:
        from dsr1.launcher.batch.launch import try_job

        print(try_job(loaded, name))
        return
    accesses = chosen_hosts(hosts, accept_new_keys)
    request = LaunchRequest(loaded, name, accesses, no_check, skip, wait=not no_wait)
    interrupt_on_signals()
    with make_view() as show:
        run = backend_for(accesses, slurm).launch(request, show)
    if no_wait:
        print(
            f"run {run.name}: submitted as {run.job()}; `dsr1 status {run.name}` tells how it"
            " stands"
        )
    else:
        _tell_ready(run)
    if follow:
        print_logs(run, follow=True)


def _refuse_mixed(slurm: bool, hosts: str | None, for_slurm: bool, torn: bool) -> None:
    from dsr1.hosts.errors import InputError

    if slurm and hosts is not None:
        raise InputError(
            "--slurm and --hosts: Slurm chooses the hosts; give --set slurm.nodelist=... to choose"
            " them"
        )
    if for_slurm and not slurm:
        raise InputError(
            "--partition, --account, --time, --nodes, --test-only and --no-wait are for --slurm"
        )
    if torn:
        raise InputError(
            "--no-wait and --follow: a job that nobody waits for has no logs yet; `dsr1 logs -f`"
            " later"
        )


def _tell_ready(run: "Run") -> None:
    service = run.plan().service
    print(
        f"run {run.name}: ready after {run.state().ready_after} s, {service.url}/v1 serves"
        f" {service.model}",
        flush=True,
    )
