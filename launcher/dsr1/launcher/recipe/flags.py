"""Command-line flags from a recipe's `args`: one name for each, which of them the recipe has keys
for, and how a value is written."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from dsr1.launcher.recipe.flag_table import BY_NAME, SHORT_NAMES

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*(\.[\w.-]+\+?)?", re.ASCII)
T = TypeVar("T")


def flag_name(key: str) -> str:
    """The one name of a flag, long and without dashes in front, as vLLM takes its spellings.

    `max_model_len`, `--max-model-len` and `max-model-len` are one, `-q` is `quantization`. Case
    counts, and what stands behind a dot (`--hf-overrides.num_hidden_layers`) is a key of vLLM's
    JSON: both stay.
    """
    name, dot, path = SHORT_NAMES.get(key, key.removeprefix("--")).partition(".")
    return f"{name.replace('_', '-')}{dot}{path}"


def canonical_flag(key: str, value: T) -> tuple[str, T | bool]:
    """A flag's name and value; `no-NAME: true` is `NAME: false`, and the other way round."""
    name = flag_name(key)
    if not name.startswith("no-") or not (value is None or isinstance(value, bool)):
        return name, value
    return name.removeprefix("no-"), value if value is None else not value


def canonical_flags(args: Mapping[str, T]) -> dict[str, T | bool]:
    """By name. ValueError for a flag that is given twice, in whatever spellings."""
    keys: dict[str, str] = {}
    flags: dict[str, T | bool] = {}
    for key, value in args.items():
        name, canonical = canonical_flag(key, value)
        if name in keys:
            raise ValueError(f"{keys[name]!r} and {key!r} are one flag, --{name}: keep one of them")
        keys[name], flags[name] = key, canonical
    return flags


def check_flags(args: Mapping[str, T]) -> dict[str, T | bool]:
    """By name. ValueError for names that aren't flags', and for flags that the recipe has a key of
    its own for."""
    flags = canonical_flags(args)
    for name in flags:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is not a flag's name; write it as in --help, for example load-format"
            )
        if name.startswith("no-"):
            raise ValueError(f"{name!r} takes no value but true or false")
        if row := BY_NAME.get(name.partition(".")[0]):
            raise ValueError(f"{name!r} is set by the recipe's own key: {row.owner}")
    return flags


def joined_argument(args: Mapping[str, object], name: str) -> object:
    """A flag's value with what --NAME.KEY.KEY adds to it, as vLLM joins them; None without."""
    value = args.get(name)
    for key, inner in args.items():
        flag, _, path = key.partition(".")
        if flag == name and path:
            value = _joined(value, path.split("."), inner)
    return value


def _joined(value: object, path: Sequence[str], inner: object) -> object:
    if not path:
        return inner
    own = dict(value) if isinstance(value, Mapping) else {}
    return {**own, path[0]: _joined(own.get(path[0]), path[1:], inner)}


def render_flag(name: str, value: object) -> tuple[str, ...]:
    """One flag: true is the bare flag, false its --no- form, null nothing, lists repeat values,
    mappings are JSON."""
    if value is None:
        return ()
    if isinstance(value, bool):
        return (f"--{name}",) if value else (f"--no-{name}",)
    if isinstance(value, list):
        return (f"--{name}", *map(str, value))
    if isinstance(value, Mapping):
        return (f"--{name}", json.dumps(value, separators=(",", ":")))
    return (f"--{name}", str(value))


def render_flags(flags: Mapping[str, object]) -> tuple[str, ...]:
    """All flags, in the order given, by their names."""
    return tuple(part for name, value in flags.items() for part in render_flag(name, value))
