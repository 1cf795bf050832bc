"""Read a recipe, built in or a file, with profiles and `--set` changes: a Recipe, or an error that
names the line."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.launcher.recipe.arguments import canonical_setting, with_flag_names
from dsr1.launcher.recipe.explain import LAYER_KEYS, explain_errors, suggestion
from dsr1.launcher.recipe.layers import (
    Layer,
    assign,
    layer_part,
    location_of,
    merge_layers,
    without_key,
)
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.recipe.parse import parse_layer, parse_value, read_layer
from dsr1.launcher.recipe.paths import (
    PATH_OPTIONS,
    LocalPath,
    local_paths,
    with_experts,
    with_paths,
)
from dsr1.launcher.recipe.site import NO_SITE, SiteValues, with_model_of_site, with_one_runtime

BUILT_IN = Path(__file__).with_name("builtin")
_EXTENDS, _PROFILE, _PROFILES = LAYER_KEYS
_MOST_LAYERS = 32
_MODEL = re.compile(r"[\w-][\w.-]*/[\w.-]+(?<!\.yaml)(?<!\.yml)", re.ASCII)  # a hub's owner/name


@dataclass(frozen=True, slots=True)
class Resolved:
    """A recipe, and its values with where each came from. `local` are paths that were expanded
    here."""

    recipe: Recipe
    tree: Layer
    local: tuple[LocalPath, ...] = ()


def built_in_recipes() -> dict[str, Path]:
    """Name to file of the recipes that come with dsr1."""
    return {file.stem: file for file in sorted(BUILT_IN.glob("*.yaml"))}


def describe_recipe(file: Path) -> str:
    """A recipe's own description, without validating the rest: its paths may need variables that
    aren't set."""
    return str(read_layer(file, file.name).values.get("description", ""))


@dataclass(frozen=True, slots=True)
class RecipeChanges:
    """What a user changes of a recipe: profiles, then `a.b.c=value` (values are YAML), then --model
    and --venv.

    `site` is what the site says; none of it for a recipe that is complete, as a job's.
    `keep_unset`: $NAME of a variable that isn't set stays as it is, which will do to look at a
    recipe.
    """

    profiles: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    model: str = ""
    venv: str = ""
    keep_unset: bool = False
    site: SiteValues = NO_SITE


def load_recipe(
    name: str,
    settings: Sequence[str] = (),
    profiles: Sequence[str] = (),
    model: str = "",
    venv: str = "",
) -> Recipe:
    """The recipe of a built-in name or a file, with a user's changes.

    Raises InputError that names file, line, key, the value seen and what is wanted.
    """
    return resolve_recipe(name, RecipeChanges(tuple(profiles), tuple(settings), model, venv)).recipe


def resolve_recipe(name: str, changes: RecipeChanges) -> Resolved:
    """As load_recipe, with where every value came from."""
    file = find_recipe(name)
    return _resolve(read_layer(file, _source(file)), file.parent, changes)


def parse_recipe(text: str, source: str, settings: Sequence[str] = ()) -> Recipe:
    """As load_recipe, from text; `source` is what messages call it."""
    return _resolve(
        parse_layer(text, source), Path(), RecipeChanges(settings=tuple(settings))
    ).recipe


def find_recipe(name: str, beside: Path = Path()) -> Path:
    """A built-in recipe's file by its name, or a file; a relative one lies `beside` the recipe that
    names it."""
    known = built_in_recipes()
    if name in known:
        return known[name]
    if _MODEL.fullmatch(name) and not os.path.exists(beside / name):  # noqa: PTH110
        raise InputError(f"{name!r} is a model, not a recipe; did you mean --model {name}?")
    if os.path.isfile(beside / name / "config.json"):  # noqa: PTH113
        raise InputError(
            f"{name!r} is a model's folder, not a recipe; did you mean --model {name}?"
        )
    if _is_file_name(name) or os.path.isfile(beside / name):  # noqa: PTH113 - never an error
        return beside / name
    raise InputError(
        f"no recipe {name!r}: built in are {', '.join(known)}{suggestion(name, known)};"
        " a file ends in .yaml"
    )


def _is_file_name(name: str) -> bool:
    return "/" in name or name.endswith((".yaml", ".yml"))


def _source(file: Path) -> str:
    return file.name if file.parent == BUILT_IN else str(file)


def _resolve(own: Layer, beside: Path, changes: RecipeChanges) -> Resolved:
    site, (layers, offered) = changes.site, _stack(own, beside, ())
    offered = _with_profiles(offered, site.profiles)
    chosen = [_chosen_profile(name, offered, f"--profile {name}") for name in changes.profiles]
    tree = replace(merge_layers(site.below, *layers, *chosen), source=own.source)
    for setting in changes.settings:
        tree = _changed(tree, setting)
    for (keys, option), value in zip(
        PATH_OPTIONS.items(), (changes.model, changes.venv), strict=True
    ):
        tree = assign(tree, keys, value, option) if value else tree
    tree = with_one_runtime(with_model_of_site(tree, site), site)
    written, tree = tree, with_experts(with_paths(tree, changes.keep_unset))
    return resolve_tree(tree, local_paths(written, tree))


def resolve_tree(tree: Layer, local: tuple[LocalPath, ...] = ()) -> Resolved:
    """What the layers came to, as a recipe. InputError names each line that makes it none."""
    try:
        return Resolved(Recipe.model_validate(dict(tree.values)), tree, local)
    except ValidationError as error:
        raise InputError("\n".join(explain_errors(error, tree))) from None


def _stack(own: Layer, beside: Path, seen: tuple[str, ...]) -> tuple[list[Layer], dict[str, Layer]]:
    """The layers below a recipe and itself, first to last, and the profiles that all of them
    offer."""
    layers, offered = _extended(own, beside, seen)
    offered = _with_profiles(offered, profiles_in(own))
    chosen = _named(own, _PROFILE)
    if chosen:
        where = f"{location_of(own, (_PROFILE,))}: {_PROFILE}"
        layers.append(_chosen_profile(chosen, offered, where, beside))
    return [*layers, without_key(own, *LAYER_KEYS)], offered


def _extended(
    own: Layer, beside: Path, seen: tuple[str, ...]
) -> tuple[list[Layer], dict[str, Layer]]:
    """Of the recipe that this one extends, as _stack."""
    base = _named(own, _EXTENDS)
    if not base:
        return [], {}
    file, location = find_recipe(base, beside), f"{location_of(own, (_EXTENDS,))}: {_EXTENDS}"
    if str(file) in seen:
        raise InputError(f"{location}: {base} extends what extends it")
    if len(seen) > _MOST_LAYERS:
        raise InputError(f"{location}: {base} is more than {_MOST_LAYERS} recipes below the first")
    return _stack(read_layer(file, _source(file)), file.parent, (*seen, str(file)))


def profiles_in(own: Layer) -> dict[str, Layer]:
    """The profiles that a file offers, by name."""
    if not own.values.get(_PROFILES):
        return {}
    names = layer_part(own, (_PROFILES,), _PROFILES).values
    return {
        name: with_flag_names(layer_part(own, (_PROFILES, name), f"profile {name}"))
        for name in names
    }


def _with_profiles(offered: Mapping[str, Layer], more: Mapping[str, Layer]) -> dict[str, Layer]:
    """What a later one says of a profile goes on top."""
    both = {name: merge_layers(offered[name], one) for name, one in more.items() if name in offered}
    return {**offered, **more, **both}


def _named(layer: Layer, key: str) -> str:
    value = layer.values.get(key)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{location_of(layer, (key,))}: {key}: is {value!r}; it must be a name")
    return value or ""


def _chosen_profile(
    name: str, offered: Mapping[str, Layer], where: str, beside: Path = Path()
) -> Layer:
    """One that the recipe offers, or a site's own file with the keys that it changes, beside what
    names it."""
    if name in offered:
        return offered[name]
    if _is_file_name(name):
        return _only_changes(read_layer(beside / name, str(beside / name)))
    known = ", ".join(offered) or "none"
    raise InputError(
        f"{where}: no such profile{suggestion(name, offered)}; the recipe has {known};"
        " a file ends in .yaml"
    )


def _only_changes(layer: Layer) -> Layer:
    for key in LAYER_KEYS:
        if key in layer.values:
            raise InputError(
                f"{location_of(layer, (key,))}: {key}: is for a recipe; a profile is keys to change"
            )
    return layer


def _changed(tree: Layer, change: str) -> Layer:
    path, equals, value = change.partition("=")
    keys = tuple(path.strip().split("."))
    if not equals or not all(keys) or len(keys) > _MOST_LAYERS:
        raise InputError(
            f"--set {change}: must be KEY.KEY=VALUE, for example engines.decode.max_num_seqs=256"
        )
    location = f"--set {change}"
    return assign(
        tree, *canonical_setting(keys, parse_value(value, keys, location), location), location
    )
