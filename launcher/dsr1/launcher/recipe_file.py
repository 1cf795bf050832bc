"""Read a recipe, built in or a YAML file, with `--set` changes: a Recipe, or an error that names the line."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from dsr1.hosts.errors import InputError
from dsr1.launcher.recipe import Recipe

BUILT_IN = Path(__file__).with_name("recipes")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is ten times as fast, and in every wheel
_MAX_BYTES = 2**20
_PATHS = (("model", "path"), ("runtime", "venv"), ("runtime", "python"))


def built_in_recipes() -> dict[str, Path]:
    """Name to file of the recipes that come with dsr1."""
    return {file.stem: file for file in sorted(BUILT_IN.glob("*.yaml"))}


def describe(file: Path) -> str:
    """A recipe's own description, without validating the rest: its paths may need variables that aren't set."""
    return str(_construct(_read(file), str(file)).get("description", ""))


def load_recipe(name: str, changes: Sequence[str] = ()) -> Recipe:
    """The recipe of a built-in name or a file, with changes `a.b.c=value` (values are YAML).

    Raises InputError that names file, line, key, the value seen and what is wanted.
    """
    file = find_recipe(name)
    return parse_recipe(_read(file), str(file) if file.parent != BUILT_IN else name, changes)


def find_recipe(name: str) -> Path:
    known = built_in_recipes()
    if name in known:
        return known[name]
    if "/" in name or name.endswith((".yaml", ".yml")):
        return Path(name)
    raise InputError(f"no recipe {name!r}: built in are {', '.join(known)}{_guess(name, known)}; a file ends in .yaml")


def parse_recipe(text: str, source: str, changes: Sequence[str] = ()) -> Recipe:
    """As load_recipe, from text; `source` is what messages call it."""
    tree = _compose(text, source)
    data = _construct(text, source)
    for change in changes:
        _apply(data, change)
    _expand_paths(data, source)
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        raise InputError("\n".join(_explain(error, tree, source))) from None


def _read(file: Path) -> str:
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise InputError(f"{file}: larger than {_MAX_BYTES} bytes, so it is not a recipe")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{file}: can't be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}"
        ) from None


def _compose(text: str, source: str) -> yaml.Node | None:
    """The node tree with line numbers; refuses what YAML lets pass: aliases (they can explode) and double keys."""
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=_LOADER)):
            raise InputError(f"{source}: YAML aliases (*name) are not allowed in a recipe")
        tree: yaml.Node | None = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{source}{line}: not YAML: {getattr(error, 'problem', None) or error}") from None
    _refuse_double_keys(tree, source)
    return tree


def _refuse_double_keys(node: yaml.Node | None, source: str) -> None:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_double_keys(item, source)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if key.value in seen:
            raise InputError(f"{source}:{key.start_mark.line + 1}: key {key.value!r} stands twice")
        seen.add(str(key.value))
        _refuse_double_keys(value, source)


def _construct(text: str, source: str) -> dict[str, Any]:
    try:
        data = yaml.load(text, Loader=_LOADER)  # a SafeLoader
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{source}: not YAML: {error}") from None
    if not isinstance(data, dict):
        raise InputError(f"{source}: a recipe is a mapping with keys {', '.join(Recipe.model_fields)}")
    return data


def _apply(data: dict[str, Any], change: str) -> None:
    path, equals, value = change.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise InputError(f"--set {change}: wanted KEY.KEY=VALUE, for example engines.decode.max_num_seqs=256")
    for key in keys[:-1]:
        data = _step_into(data, key, change)
    try:
        data[keys[-1]] = yaml.load(value, Loader=_LOADER)  # a SafeLoader
    except yaml.YAMLError:
        data[keys[-1]] = value


def _step_into(data: dict[str, Any], key: str, change: str) -> dict[str, Any]:
    inner = data.setdefault(key, {})
    if not isinstance(inner, dict):
        raise InputError(f"--set {change}: {key!r} is {inner!r}, which has no keys below it")
    return inner


def _expand_paths(data: dict[str, Any], source: str) -> None:
    """Expand ~ and $NAME in the keys that name a place on this site, and nowhere else."""
    for section, key in _PATHS:
        part = data.get(section)
        if isinstance(part, dict) and isinstance(part.get(key), str):
            part[key] = _expanded(part[key], f"{source}: {section}.{key}")


def _expanded(value: str, where: str) -> str:
    text = str(Path(os.path.expandvars(value)).expanduser()) if value.startswith("~") else os.path.expandvars(value)
    missing = re.search(r"\$(?:\{(\w+)[^}]*\}|(\w+))", text)
    if missing:
        name = missing[1] or missing[2]
        option = {"model.path": "--model", "runtime.venv": "--venv"}.get(where.rsplit(" ", 1)[-1])
        raise InputError(
            f"{where}: {value!r} needs the environment variable {name}; set it"
            + (f" or give {option}" if option else "")
        )
    return str(Path(text).absolute()) if _is_place(text, where) else text


def _is_place(text: str, where: str) -> bool:
    """A hub id, org/name, looks like a relative folder: it is one where that folder is here, or after a dot."""
    return text.startswith(".") or where.endswith("venv") or (where.endswith("path") and Path(text).is_dir())


def _explain(error: ValidationError, tree: yaml.Node | None, source: str) -> Iterator[str]:
    for item in error.errors(include_url=False):
        keys = tuple(str(key) for key in item["loc"] if not _is_branch(str(key)))
        line = _line_of(tree, keys)
        where = f"{source}:{line}" if line else source
        yield f"{where}: {'.'.join(keys) or 'recipe'}: {_reason(item, keys)}"


def _is_branch(key: str) -> bool:
    """Pydantic adds the name of a union's branch to a location; it isn't a key of the file."""
    return "[" in key or key in ("int", "str", "float", "bool", "constrained-int", "constrained-str")


def _reason(item: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    if item["type"] == "extra_forbidden":
        allowed = _allowed_keys(keys[:-1])
        return f"unknown key{_guess(keys[-1], allowed)}; allowed are {', '.join(allowed)}"
    if item["type"] == "missing":
        return "is missing"
    message = str(item["msg"]).removeprefix("Value error, ")
    return message if isinstance(item["input"], dict | list) else f"{message} (seen: {item['input']!r})"


def _allowed_keys(keys: tuple[str, ...]) -> list[str]:
    model: type[BaseModel] = Recipe
    for key in keys:
        model = _model_below(model, key) or model
    return list(model.model_fields)


def _model_below(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    field = model.model_fields.get(key)
    found = re.findall(r"dsr1\.launcher\.recipe\.(\w+)", str(field.annotation)) if field else []
    below = getattr(__import__(Recipe.__module__, fromlist=["Recipe"]), found[-1], None) if found else None
    return below if isinstance(below, type) and issubclass(below, BaseModel) else None


def _guess(key: str, known: Sequence[str] | Mapping[str, object]) -> str:
    near = get_close_matches(key, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _line_of(node: yaml.Node | None, keys: tuple[str, ...]) -> int | None:
    """The line of a key, or of the last part of its path that the file has."""
    line = None
    for key in keys:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        found = next(((k, v) for k, v in pairs if k.value == key), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line
