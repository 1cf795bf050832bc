"""What a launch does before anything is started, here and inside a job: hosts are surveyed and
judged, and the plan made from that is written down."""

from collections.abc import Sequence

from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.inventory.parse import parse_hosts
from dsr1.hosts.transport.connect import over_ssh
from dsr1.launcher.commands.secrets import CERT
from dsr1.launcher.health.settings import HealthSettings
from dsr1.launcher.plan.plan import Plan, make_plan
from dsr1.launcher.preflight.preflight import extras_of, refuse_unfit
from dsr1.launcher.preflight.survey import survey_here, survey_hosts
from dsr1.launcher.preflight.survey_result import Survey
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.run.assets import upload_assets
from dsr1.launcher.run.settings import HookSettings, RunSecrets, RunSettings
from dsr1.launcher.run.store import Run


def survey_local(recipe: Recipe, checks: Sequence[str]) -> Survey:
    """This machine. Judged if checks say so: unchecked, a host may have no facts."""
    survey = survey_here(recipe, extras_of(checks))
    refuse_unfit(survey, checks)
    return survey


def survey_remote(recipe: Recipe, accesses: Sequence[Access], checks: Sequence[str]) -> Survey:
    """Reach every host and spare before anything is written down, judge them if checks say so, and
    upload what they need."""
    spares = spares_of(recipe, accesses)
    with over_ssh((*accesses, *spares), recipe.runtime.interpreter) as transport:
        survey = survey_hosts(recipe, accesses, spares, transport, extras_of(checks))
        refuse_unfit(survey, checks)
        upload_assets(recipe, survey, transport)
        return survey


def spares_of(recipe: Recipe, accesses: Sequence[Access]) -> tuple[Access, ...]:
    """Reached as the hosts are. InputError for one that is a host already."""
    if not recipe.spares:
        return ()
    spares = parse_hosts(",".join(recipe.spares), accesses[0].accept_new_key, "spares")
    names = {access.name for access in accesses}
    if doubles := [spare.name for spare in spares if spare.name in names]:
        raise InputError(
            f"spares: {', '.join(doubles)}: named in --hosts, too; a spare waits beside them"
        )
    return spares


def plan_run(run: Run, recipe: Recipe, survey: Survey, checks: Sequence[str]) -> None:
    """The final plan, from the facts, and all that its supervisor needs beside it."""
    plan = make_plan(recipe, survey.hosts, run.name, str(run.folder), survey.facts, run.run_id())
    with run.written_whole():
        secrets = make_run_secrets(plan, survey, recipe)
        run.fill(plan, make_settings(recipe, survey, checks), secrets)


def make_run_secrets(plan: Plan, survey: Survey, recipe: Recipe) -> RunSecrets:
    """The secrets that the plan names, and the facts."""
    return RunSecrets(_own_secrets(plan, survey) | frontend_secrets(recipe), survey.facts)


def frontend_secrets(recipe: Recipe) -> dict[str, str]:
    """InputError: a file that the recipe names can't be used."""
    if not recipe.frontend.tls and not recipe.frontend.api_key_file:
        return {}
    from dsr1.launcher.smoke.frontend_files import read_frontend_files

    return read_frontend_files(recipe.frontend)


def _own_secrets(plan: Plan, survey: Survey) -> dict[str, str]:
    named = {secret.file for process in plan.processes for secret in process.secrets}
    if CERT not in named:
        return {}
    from dsr1.launcher.commands.certificates import make_secrets

    return make_secrets([host.address for host in (*survey.hosts, *survey.spares)])


def _health_settings(recipe: Recipe) -> HealthSettings:
    asked, means = recipe.health, not recipe.is_meaningless
    return HealthSettings(
        interval_s=asked.interval_s,
        patience=asked.patience,
        answers=asked.answers,
        compares=means,
        known=means and recipe.model.is_r1,
    )


def _restarts_engines(recipe: Recipe, hosts: Sequence[Host]) -> bool:
    """Prefill and decode on GPUs of one machine map each other's KV cache: of an engine that died
    the memory is only free when its partner has ended, too, so it can't be started alone."""
    hands_over = recipe.uses_gpus and any(one.kv_transfer for one in recipe.engines.values())
    on_one = hands_over and len({host.address for host in hosts}) == 1
    return recipe.restarts_engines and not (on_one and recipe.restart.scope is None)


def make_settings(recipe: Recipe, survey: Survey, checks: Sequence[str]) -> RunSettings:
    limits = recipe.timeouts
    return RunSettings(
        python=recipe.runtime.interpreter,
        prepare_s=limits.prepare,
        ready_s=limits.ready,
        importing_s=limits.importing,
        loading_s=limits.loading,
        compiling_s=limits.compiling,
        chat_s=limits.chat,
        lost_s=limits.lost,
        restarts=recipe.restart.max,
        backoff_s=recipe.restart.backoff,
        hosts=survey.accesses,
        machines=survey.hosts,
        spares=survey.spares,
        checks=tuple(checks),
        within_s=recipe.restart.within,
        orphans=recipe.orphans,
        orphaned_s=limits.orphaned,
        log_most_bytes=recipe.logs.max,
        log_keep=recipe.logs.keep,
        health=_health_settings(recipe),
        hooks=HookSettings(recipe.hooks.commands, recipe.hooks.timeout),
        engine_scope=_restarts_engines(recipe, survey.hosts),
        drain_s=limits.drain,
    )
