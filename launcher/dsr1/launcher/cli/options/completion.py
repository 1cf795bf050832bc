"""What the shell completes beside verbs and options. Nothing here fails or asks anybody: a user's
files may be broken, and completion is silent then."""

import contextlib
from collections.abc import Iterable, Iterator

from dsr1.hosts.errors import Dsr1Error


def complete_runs(incomplete: str) -> list[str]:
    """The newest first."""
    from dsr1.launcher.run.store import list_runs

    with contextlib.suppress(Dsr1Error, OSError):
        return _beginning([run.name for run in reversed(list_runs())], incomplete)
    return []


def complete_recipes(incomplete: str) -> list[str]:
    """Built-in ones; files the shell knows."""
    from dsr1.launcher.recipe.load import built_in_recipes

    return _beginning(built_in_recipes(), incomplete)


def complete_sets(incomplete: str) -> list[str]:
    from dsr1.launcher.site.load import load_site

    with contextlib.suppress(Dsr1Error, OSError):
        return _beginning(load_site().site.hosts, incomplete)
    return []


def complete_checks(incomplete: str) -> list[str]:
    from dsr1.launcher.preflight.preflight import CHECKS

    kinds = dict.fromkeys(name.partition(".")[0] for name in CHECKS)
    return _beginning((*kinds, *CHECKS), incomplete)


def complete_keys(incomplete: str) -> list[str]:
    """Of --set, up to the `=`."""
    from dsr1.launcher.recipe.models import Recipe

    return _beginning(_keys_of(Recipe, ""), incomplete)


def _keys_of(model: object, before: str) -> Iterator[str]:
    from dsr1.launcher.recipe.explain import models_in

    for name, field in getattr(model, "model_fields", {}).items():
        below = next(models_in(field.annotation), None)
        if name == "engines" and below is not None:
            yield from _keys_of(below, f"{before}engines.main.")
        elif below is not None:
            yield from _keys_of(below, f"{before}{name}.")
        else:
            yield f"{before}{name}="


def _beginning(words: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
