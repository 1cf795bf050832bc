"""`dsr1 prewarm`: compile on one host what all of a recipe's hosts will need."""

import secrets
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

from dsr1.env.caches import HostCache
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.inventory.names import counted_files
from dsr1.hosts.protocol.facts.fact import value_of
from dsr1.hosts.transport.connect import over_ssh
from dsr1.hosts.transport.parallel import raise_all
from dsr1.launcher.caches.prewarm import make_prewarming, prewarm_engines
from dsr1.launcher.caches.store import jit_store
from dsr1.launcher.caches.transfer import give, harvest
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.options.common import AsJson, HostOptions
from dsr1.launcher.cli.options.recipe import RecipeOptions
from dsr1.launcher.cli.views.start import start_view
from dsr1.launcher.operate.backends import backend_for
from dsr1.launcher.plan.plan import Plan, make_plan
from dsr1.launcher.preflight.survey import survey_any
from dsr1.launcher.preflight.survey_result import Survey
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.run.backend import LaunchRequest
from dsr1.launcher.run.signals import interrupt_on_signals
from dsr1.launcher.run.store import Run


def prewarm(
    recipe: RecipeOptions,
    hosts: HostOptions,
    engine: Annotated[
        list[str] | None,
        typer.Option(
            "--engine",
            metavar="ENGINE",
            help="Only this engine; may be repeated; default: all, one after the other.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compile JIT kernels on one host before the first start.

    --hosts are those of the launch to come. One rank with dummy weights fills the JIT caches on the
    first of them; then all get what it compiled.
    """
    loaded, accesses = recipe.load(elsewhere=hosts.named), hosts.accesses()
    survey = survey_any(loaded, accesses, extras=())
    rows = []
    for name, cache in _choose_engines(loaded, survey, engine or []).items():
        rows.append(_fill(loaded, survey, accesses[:1], name, cache, as_json))
        if as_json:
            ANSWER.put("prewarm", rows)
    if accesses:
        _give(loaded, survey, accesses, as_json)
        raise_all(survey.facts_by_host)


def _plan(recipe: Recipe, survey: Survey) -> Plan:
    return make_plan(recipe, survey.hosts, "prewarm", "prewarm", survey.facts)


def _choose_engines(recipe: Recipe, survey: Survey, names: Sequence[str]) -> dict[str, HostCache]:
    """InputError: there is no such engine, or nothing is known of its cache; HostError where that
    is because hosts did not answer."""
    if recipe.runtime.caches == "own":
        raise InputError("runtime.caches: own: what is compiled here goes to no other host")
    caches = prewarm_engines(_plan(recipe, survey))
    wanted = list(names or recipe.engines)
    if unknown := [name for name in wanted if name not in recipe.engines]:
        engines = ", ".join(recipe.engines)
        raise InputError(f"--engine {', '.join(unknown)}: the recipe's engines are {engines}")
    if without := [name for name in wanted if name not in caches]:
        raise_all(survey.facts_by_host)
        if recipe.traits.simulated:
            raise InputError("stack mocker compiles nothing: there is nothing to prewarm")
        raise InputError(
            f"{', '.join(without)}: what is compiled for it can't be known, since the vLLM of the"
            " runtime or the model's config.json can't be read on its hosts; `dsr1 check` with the"
            " same recipe and hosts says which"
        )
    return {name: caches[name] for name in wanted}


@dataclass(frozen=True, slots=True)
class PrewarmedEngine:
    """What an engine's cache holds now. `files` 0: nothing was compiled."""

    engine: str
    key: str
    files: int
    bytes: int
    ready_after_s: float | None


def _fill(
    recipe: Recipe,
    survey: Survey,
    first: tuple[Access, ...],
    name: str,
    cache: HostCache,
    quiet: bool,
) -> PrewarmedEngine:
    config = value_of(survey.facts[cache.host], "model.config")
    one = make_prewarming(recipe, name, cache.ranks, config if isinstance(config, dict) else {})
    interrupt_on_signals()
    backend, run_name = backend_for(first), f"prewarm-{name}-{secrets.token_hex(2)}"
    with start_view(run_name, time.time(), quiet=quiet) as show:
        run = backend.launch(LaunchRequest(one, run_name, first, no_check=True), show)
    try:
        lines = harvest(backend.transport(run), (cache,), jit_store(), run.name)
    finally:
        left = backend.stop(run)
    filled = _filled(run, name, cache.cache.key)
    _say((*lines, _filled_line(filled)), quiet)
    if left:
        raise LaunchFailed(f"{run.name}: may still run: {'; '.join(left)}")
    return filled


def _say(lines: Iterable[str], quiet: bool) -> None:
    """On stderr, where stdout is for JSON."""
    for line in lines:
        print(line, file=sys.stderr if quiet else sys.stdout)


def _filled(run: Run, name: str, key: str) -> PrewarmedEngine:
    kept, took_s = jit_store().find(key), run.state().ready_after
    return PrewarmedEngine(name, key, kept.files if kept else 0, kept.bytes if kept else 0, took_s)


def _filled_line(one: PrewarmedEngine) -> str:
    size = counted_files(one.files, one.bytes) if one.files else "nothing was compiled"
    after = f", after {one.ready_after_s:.0f} s" if one.ready_after_s else ""
    return f"engine {one.engine}: {one.key}: {size}{after}"


def _give(recipe: Recipe, survey: Survey, accesses: Sequence[Access], quiet: bool) -> None:
    with over_ssh(accesses, recipe.runtime.interpreter) as transport:
        results = give(transport, _plan(recipe, survey).caches, jit_store())
    _say((line for line in results.values() if isinstance(line, str) and line), quiet)
    raise_all(results)
