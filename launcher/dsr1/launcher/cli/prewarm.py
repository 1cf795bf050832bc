"""`dsr1 prewarm`: compile once on one host what all of a recipe's hosts will need."""

import secrets
from typing import TYPE_CHECKING, Annotated

import typer

from dsr1.launcher.cli.options import (
    AcceptNewKeys,
    ModelPath,
    Profiles,
    RecipeName,
    SetOption,
    Venv,
    chosen_hosts,
    chosen_recipe,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dsr1.env.caches import HostCache
    from dsr1.hosts.inventory.access import Access
    from dsr1.launcher.preflight.survey import Survey
    from dsr1.launcher.recipe.models import Recipe


def prewarm(
    recipe: RecipeName = "dsr1-dep",
    hosts: Annotated[
        str | None,
        typer.Option(
            metavar="HOSTS",
            help="All of the launch to come; the first compiles; default: this machine.",
        ),
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ENGINE", help="This engine; may be repeated; default: all, one by one."
        ),
    ] = None,
    profile: Profiles = None,
    changes: SetOption = None,
    model: ModelPath = "",
    venv: Venv = "",
    accept_new_keys: AcceptNewKeys = False,
) -> None:
    """Compile before the first start, with one rank on one host.

    Fills the JIT caches with dummy weights on the first host, then gives them to all.
    """
    from dsr1.hosts.transport.parallel import raise_all
    from dsr1.launcher.preflight.survey import survey_any

    loaded = chosen_recipe(recipe, changes, model, venv, profile)
    accesses = chosen_hosts(hosts, accept_new_keys)
    seen = survey_any(loaded, accesses, extras=())
    for name, cache in _chosen(loaded, seen, engine or []).items():
        _fill(loaded, seen, accesses[:1], name, cache)
    if accesses:
        _give(loaded, seen, accesses)
        raise_all(seen.facts_by_host)


def _chosen(recipe: "Recipe", seen: "Survey", names: "Sequence[str]") -> "dict[str, HostCache]":
    """InputError: no such engine, or nothing is known of its cache; HostError where hosts didn't
    tell."""
    from dsr1.hosts.errors import InputError
    from dsr1.hosts.transport.parallel import raise_all
    from dsr1.launcher.caches.prewarm import prewarm_engines
    from dsr1.launcher.plan.plan import make_plan

    caches = prewarm_engines(make_plan(recipe, seen.hosts, "prewarm", "prewarm", seen.facts))
    wanted = list(names or recipe.engines)
    if unknown := [name for name in wanted if name not in recipe.engines]:
        raise InputError(
            f"--engine {', '.join(unknown)}: the recipe has {', '.join(recipe.engines)}"
        )
    if silent := [name for name in wanted if name not in caches]:
        raise_all(seen.facts_by_host)
        what = (
            "stack mocker compiles nothing, or the runtime or the model's config.json isn't there"
        )
        raise InputError(
            f"engines {', '.join(silent)}: no JIT cache follows from their hosts ({what})"
        )
    return {name: caches[name] for name in wanted}


def _fill(
    recipe: "Recipe", seen: "Survey", first: "tuple[Access, ...]", name: str, cache: "HostCache"
) -> None:
    from dsr1.hosts.errors import LaunchFailed
    from dsr1.hosts.protocol.fact import value_of
    from dsr1.launcher.caches.prewarm import make_prewarming
    from dsr1.launcher.caches.store import jit_store
    from dsr1.launcher.caches.transfer import harvest
    from dsr1.launcher.cli.view import make_view
    from dsr1.launcher.operate.backends import backend_for
    from dsr1.launcher.run.backend import LaunchRequest
    from dsr1.launcher.run.signals import interrupt_on_signals

    config = value_of(seen.facts[cache.host], "model.config")
    one = make_prewarming(recipe, name, cache.ranks, config if isinstance(config, dict) else {})
    interrupt_on_signals()
    backend, run_name = backend_for(first), f"prewarm-{name}-{secrets.token_hex(2)}"
    with make_view() as show:
        run = backend.launch(LaunchRequest(one, run_name, first, no_check=True), show)
    try:
        words = harvest(backend.transport(run), (cache,), jit_store(), run.name)
    finally:
        left = backend.stop(run)
    for line in words:
        print(line)
    kept = jit_store().find(cache.cache.key)
    size = f"{kept.files} files, {kept.bytes / 1e6:.0f} MB" if kept else "nothing was compiled"
    print(f"engine {name}: {cache.cache.key}: {size}, after {run.state().ready_after} s")
    if left:
        raise LaunchFailed(f"{run.name}: may still run: {'; '.join(left)}")


def _give(recipe: "Recipe", seen: "Survey", accesses: "Sequence[Access]") -> None:
    from dsr1.hosts.transport.connect import over_ssh
    from dsr1.hosts.transport.parallel import raise_all
    from dsr1.launcher.caches.store import jit_store
    from dsr1.launcher.caches.transfer import give
    from dsr1.launcher.plan.plan import make_plan

    caches = make_plan(recipe, seen.hosts, "prewarm", "prewarm", seen.facts).caches
    with over_ssh(accesses, recipe.runtime.interpreter) as transport:
        done = give(transport, caches, jit_store())
    for words in done.values():
        if isinstance(words, str) and words:
            print(words)
    raise_all(done)
