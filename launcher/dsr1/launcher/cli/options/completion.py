"""What the shell completes beside verbs and options. Nothing here fails or asks anybody: a user's
files may be broken, and completion is silent then."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from dsr1.hosts.errors import Dsr1Error


def complete_runs(incomplete: str) -> list[str]:
    """The newest first."""
    from dsr1.launcher.state_folder import run_folders

    with contextlib.suppress(OSError):
        return _beginning([folder.name for folder in reversed(run_folders())], incomplete)
    return []


def complete_recipes(incomplete: str) -> list[str]:
    """Built-in ones; files the shell knows."""
    from dsr1.launcher.recipe.load import built_in_recipes

    return _beginning(built_in_recipes(), incomplete)


def complete_sets(incomplete: str) -> list[str]:
    """Of all site files. What else is in them isn't judged, which would take half a second."""
    from dsr1.launcher.site.places import site_places

    names = (name for place in site_places(os.environ) for name in _sets_in(place))
    return _beginning(dict.fromkeys(names), incomplete)


def _sets_in(file: Path) -> list[str]:
    from dsr1.hosts.yaml_text import compose_yaml, construct_yaml, read_bounded_text

    with contextlib.suppress(Dsr1Error, OSError, AttributeError, TypeError):
        if file.exists():
            text = read_bounded_text(file, "a site file")
            plain = construct_yaml(compose_yaml(text, str(file), "a site file"), str(file))
            return [str(name) for name in plain.get("hosts", {})]
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
