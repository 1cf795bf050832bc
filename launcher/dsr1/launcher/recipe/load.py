"""Read a recipe, built in or a file, with profiles and `--set` changes: a Recipe, or an error that
names the line."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from dsr1.hosts.errors import InputError
from dsr1.launcher.recipe.layers import (
    Layer,
    assign,
    layer_part,
    merge_layers,
    parse_layer,
    parse_value,
    place_of,
    read_layer,
    without_key,
)
from dsr1.launcher.recipe.models import Recipe

BUILT_IN = Path(__file__).with_name("builtin")
_PATHS = (("model", "path"), ("runtime", "venv"), ("runtime", "python"))
_OPTIONS = {("model", "path"): "--model", ("runtime", "venv"): "--venv"}
_EXTENDS, _PROFILE, _PROFILES = "extends", "profile", "profiles"
_MOST_CONFIG_BYTES, _MOST_LAYERS = 2**20, 32


@dataclass(frozen=True, slots=True)
class Resolved:
    """A recipe, and its values with where each came from."""

    recipe: Recipe
    tree: Layer


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

    `keep_unset`: $NAME of a variable that isn't set stays as it is, which will do to look at a
    recipe.
    """

    profiles: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    model: str = ""
    venv: str = ""
    keep_unset: bool = False


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
    if _is_file_name(name) or (beside / name).is_file():
        return beside / name
    raise InputError(
        f"no recipe {name!r}: built in are {', '.join(known)}{_guess(name, known)}; a file ends in"
        " .yaml"
    )


def _is_file_name(name: str) -> bool:
    return "/" in name or name.endswith((".yaml", ".yml"))


def _source(file: Path) -> str:
    return file.name if file.parent == BUILT_IN else str(file)


def _resolve(own: Layer, beside: Path, changes: RecipeChanges) -> Resolved:
    layers, offered = _stack(own, beside, ())
    chosen = [_chosen_profile(name, offered, f"--profile {name}") for name in changes.profiles]
    tree = replace(merge_layers(*layers, *chosen), source=own.source)
    for setting in changes.settings:
        tree = _changed(tree, setting)
    for (keys, option), value in zip(_OPTIONS.items(), (changes.model, changes.venv), strict=True):
        tree = assign(tree, keys, value, option) if value else tree
    tree = _with_experts(_with_paths(tree, changes.keep_unset))
    try:
        return Resolved(Recipe.model_validate(dict(tree.values)), tree)
    except ValidationError as error:
        raise InputError("\n".join(_explain(error, tree))) from None


def _stack(own: Layer, beside: Path, seen: tuple[str, ...]) -> tuple[list[Layer], dict[str, Layer]]:
    """The layers below a recipe and itself, first to last, and the profiles that all of them
    offer."""
    layers: list[Layer] = []
    offered: dict[str, Layer] = {}
    base = _named(own, _EXTENDS)
    if base:
        file = find_recipe(base, beside)
        place = f"{place_of(own, (_EXTENDS,))}: {_EXTENDS}"
        if str(file) in seen:
            raise InputError(f"{place}: {base} extends what extends it")
        if len(seen) > _MOST_LAYERS:
            raise InputError(f"{place}: {base} is more than {_MOST_LAYERS} recipes below the first")
        layers, offered = _stack(read_layer(file, _source(file)), file.parent, (*seen, str(file)))
    for name in (
        layer_part(own, (_PROFILES,), _PROFILES).values if own.values.get(_PROFILES) else ()
    ):
        mine = layer_part(own, (_PROFILES, name), f"profile {name}")
        offered[name] = merge_layers(offered[name], mine) if name in offered else mine
    chosen = _named(own, _PROFILE)
    if chosen:
        layers.append(
            _chosen_profile(chosen, offered, f"{place_of(own, (_PROFILE,))}: {_PROFILE}", beside)
        )
    return [*layers, without_key(own, _EXTENDS, _PROFILE, _PROFILES)], offered


def _named(layer: Layer, key: str) -> str:
    value = layer.values.get(key)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{place_of(layer, (key,))}: {key}: is {value!r}, a name is wanted")
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
        f"{where}: no such profile{_guess(name, offered)}; the recipe has {known}; a file ends in"
        " .yaml"
    )


def _only_changes(layer: Layer) -> Layer:
    for key in (_EXTENDS, _PROFILE, _PROFILES):
        if key in layer.values:
            raise InputError(
                f"{place_of(layer, (key,))}: {key}: is for a recipe; a profile is keys to change"
            )
    return layer


def _changed(tree: Layer, change: str) -> Layer:
    path, equals, value = change.partition("=")
    keys = tuple(path.strip().split("."))
    if not equals or not all(keys):
        raise InputError(
            f"--set {change}: wanted KEY.KEY=VALUE, for example engines.decode.max_num_seqs=256"
        )
    place = f"--set {change}"
    return assign(tree, keys, parse_value(value, keys, place), place)


def _value(tree: Layer, *keys: str) -> object:
    value: object = tree.values
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _with_paths(tree: Layer, keep_unset: bool) -> Layer:
    """Expand ~ and $NAME in the keys that name a place on this site, and nowhere else."""
    for keys in _PATHS:
        value = _value(tree, *keys)
        if isinstance(value, str):
            place = place_of(tree, keys)
            tree = assign(tree, keys, _expanded(value, keys, place, keep_unset), place)
    return tree


def _expanded(value: str, keys: tuple[str, str], place: str, keep_unset: bool) -> str:
    text = (
        str(Path(os.path.expandvars(value)).expanduser())
        if value.startswith("~")
        else os.path.expandvars(value)
    )
    missing = re.search(r"\$(?:\{(\w+)[^}]*\}|(\w+))", text)
    if missing and keep_unset:
        return value
    if missing:
        name = missing[1] or missing[2]
        option = f" or give {_OPTIONS[keys]}" if keys in _OPTIONS else ""
        raise InputError(
            f"{place}: {'.'.join(keys)}: {value!r} needs the environment variable {name}; set"
            f" it{option}"
        )
    return str(Path(text).absolute()) if _is_place(text, keys[1]) else text


def _is_place(text: str, key: str) -> bool:
    """A hub id, org/name, looks like a relative folder: it is one where that folder is here, or
    after a dot."""
    return text.startswith(".") or key == "venv" or (key == "path" and Path(text).is_dir())


def _with_experts(tree: Layer) -> Layer:
    """The model's own word, where its folder is here. Whether the file is sound is for a check to
    say."""
    file = Path(str(_value(tree, "model", "path") or ""), "config.json")
    try:
        if not file.is_absolute() or file.stat().st_size > _MOST_CONFIG_BYTES:
            return tree
        experts = json.loads(file.read_text()).get("n_routed_experts")
    except (OSError, ValueError, AttributeError):
        return tree
    return (
        assign(tree, ("model", "experts"), experts, str(file))
        if isinstance(experts, int) and experts > 0
        else tree
    )


def _explain(error: ValidationError, tree: Layer) -> Iterator[str]:
    found: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for item in error.errors(include_url=False):
        keys = tuple(str(key) for key in item["loc"] if not _is_branch(str(key)))
        found.setdefault(keys, []).append(item)
    for keys, items in found.items():
        told = ": ".join(filter(None, (".".join(keys), _reasons(items, keys))))
        yield f"{place_of(tree, keys or _spoken_of(told))}: {told}"


def _reasons(items: Sequence[Mapping[str, Any]], keys: tuple[str, ...]) -> str:
    """Of one value; several where it may be of several kinds."""
    first, *others = dict.fromkeys(_reason(item, keys) for item in items)
    said = " or ".join((first, *(other.removeprefix("Input should be ") for other in others)))
    shown = items[0]["type"] not in ("extra_forbidden", "missing") and not isinstance(
        items[0]["input"], dict | list
    )
    return f"{said} (seen: {items[0]['input']!r})" if shown else said


def _spoken_of(message: str) -> tuple[str, ...]:
    """What several keys get wrong together begins with the one to change."""
    return tuple(message.partition(": ")[0].split("."))


def _is_branch(key: str) -> bool:
    """Pydantic adds the name of a union's branch to a location; it isn't a key of the file."""
    return "[" in key or key in (
        "int",
        "str",
        "float",
        "bool",
        "constrained-int",
        "constrained-str",
    )


def _reason(item: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    if item["type"] == "extra_forbidden":
        allowed = _allowed_keys(keys[:-1])
        return f"unknown key{_guess(keys[-1], allowed)}; allowed are {', '.join(allowed)}"
    if item["type"] == "missing":
        return "is missing"
    return str(item["msg"]).removeprefix("Value error, ")


def _allowed_keys(keys: tuple[str, ...]) -> list[str]:
    model: type[BaseModel] = Recipe
    for key in keys:
        field = model.model_fields.get(key)
        model = next(_models_in(field.annotation), model) if field else model
    return [*model.model_fields, *((_EXTENDS, _PROFILE, _PROFILES) if model is Recipe else ())]


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """The parts that a key's value may be: `dict[Name, Engine]` and `Eplb | None` hold one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _guess(key: str, known: Sequence[str] | Mapping[str, object]) -> str:
    near = get_close_matches(key, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""
