"""Values of a recipe that depend on where it is read: paths with ~ and $NAME, and what the model's
own files say."""

import os
import re
from pathlib import Path

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.hosts.protocol.bounded import parse_bounded
from dsr1.launcher.recipe.layers import Keys, Layer, assign, location_of, value_at
from dsr1.launcher.secret_names import TOKEN, names_secret

PATH_OPTIONS: dict[Keys, str] = {("model", "path"): "--model", ("runtime", "venv"): "--venv"}
_PATHS: tuple[Keys, ...] = (("model", "path"), ("runtime", "venv"), ("runtime", "python"))
_FILES: tuple[Keys, ...] = (
    ("frontend", "tls", "cert"),
    ("frontend", "tls", "key"),
    ("frontend", "api_key_file"),
    ("metrics", "tls", "cert"),
    ("metrics", "tls", "key"),
    ("metrics", "password_file"),
)
"""Read where the launch is, and on no host."""
_OF_TESTS = "DSR1_TINY_"  # what the recipes without GPUs name
_MOST_CONFIG_BYTES = 2**20
_VARIABLE = re.compile(r"\$(?:\{(\w+)[^}]*\}|(\w+))", re.ASCII)


@dataclass(frozen=True, slots=True)
class LocalPath:
    """A key whose value, as it is written, means a path of this machine's alone; and that path."""

    key: str
    written: str
    path: str


def with_paths(tree: Layer, keep_unset: bool) -> Layer:
    """Expand ~ and $NAME in the keys that name a path of this site, and nowhere else. A variable
    that holds a secret is none of them: a path ends in plans and in arguments."""
    for keys in (*_PATHS, *_FILES):
        value = value_at(tree, keys)
        if isinstance(value, str) and value:
            location = location_of(tree, keys)
            _refuse_secrets(value, keys, location)
            tree = assign(tree, keys, _expanded(value, keys, location, keep_unset), location)
    return tree


def local_paths(written: Layer, tree: Layer) -> tuple[LocalPath, ...]:
    """What `with_paths` made of ~ and of relative folders; `written` is as it was before."""
    pairs = ((".".join(keys), value_at(written, keys), value_at(tree, keys)) for keys in _PATHS)
    return tuple(
        LocalPath(key, before, str(after))
        for key, before, after in pairs
        if isinstance(before, str) and before != after and not _is_everywhere(before)
    )


def _is_everywhere(value: str) -> bool:
    """Whether it is absolute, at the latest once variables are expanded."""
    return os.path.expandvars(value).startswith("/")


def _refuse_secrets(value: str, keys: Keys, location: str) -> None:
    for found in _VARIABLE.finditer(value):
        name = found[1] or found[2]
        if names_secret(name) or TOKEN.search(os.environ.get(name, "")):
            raise InputError(
                f"{location}: {'.'.join(keys)}: {value!r} names the variable {name}, which looks"
                " like a secret and would stand in plans and arguments; a path is wanted"
            )


def _expanded(value: str, keys: Keys, location: str, keep_unset: bool) -> str:
    text = (
        str(Path(os.path.expandvars(value)).expanduser())
        if value.startswith("~")
        else os.path.expandvars(value)
    )
    missing = _VARIABLE.search(text)
    if missing and keep_unset:
        return value
    if missing:
        name = missing[1] or missing[2]
        option = f" or give {PATH_OPTIONS[keys]}" if keys in PATH_OPTIONS else ""
        made = "; `make model` in a checkout makes both" if name.startswith(_OF_TESTS) else ""
        raise InputError(
            f"{location}: {'.'.join(keys)}: {value!r} needs the environment variable {name}; set"
            f" it{option}{made}"
        )
    return str(Path(text).absolute()) if keys in _FILES or _is_path(text, keys[1]) else text


def _is_path(text: str, key: str) -> bool:
    """A hub id, org/name, looks like a relative folder: it is one where that folder is here, or
    after a dot."""
    return text.startswith(".") or key == "venv" or (key == "path" and Path(text).is_dir())


def with_experts(tree: Layer) -> Layer:
    """What the model's config.json says, where its folder is here. Whether the file is sound is for
    a check to say.
    """
    file = Path(str(value_at(tree, ("model", "path")) or ""), "config.json")
    try:
        if not file.is_absolute() or file.stat().st_size > _MOST_CONFIG_BYTES:
            return tree
        experts = parse_bounded(file.read_bytes()).get("n_routed_experts")
    except (OSError, ValueError, AttributeError):
        return tree
    return (
        assign(tree, ("model", "experts"), experts, str(file))
        if isinstance(experts, int) and experts > 0
        else tree
    )
