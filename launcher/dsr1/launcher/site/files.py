"""Where site files lie, and how they are read: the nearest wins, key by key."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from dsr1.hosts.errors import InputError
from dsr1.hosts.yaml_text import read_bounded_text
from dsr1.launcher.recipe.layers import Layer, merge_layers, replace_value, value_at
from dsr1.launcher.recipe.parse import parse_layer
from dsr1.launcher.site.places import VARIABLE

_KEYS = "hosts, runtime, models and slurm"


def read_site_layers(places: tuple[Path, ...], named: str) -> Layer:
    """All that are there, merged. InputError: one can't be read, is no site file, or is somebody
    else's; there is none at the place that is `named`."""
    if named and not Path(named).exists():
        raise InputError(f"{VARIABLE}: {named}: there is no such file")
    there = [place for place in places if _is_there(place)]
    return merge_layers(Layer("site", {}, {}), *map(_read, reversed(there)))


def _is_there(place: Path) -> bool:
    try:
        return place.exists()
    except OSError:  # a folder that this user may not look into
        return False


def _read(file: Path) -> Layer:
    text, source = read_bounded_text(file, "a site file", _not_others), _shown(file)
    if not any(map(_says_something, text.splitlines())):
        return Layer(source, {}, {})
    return _beside(parse_layer(text, source, "a site file", _KEYS), file.absolute().parent)


def _says_something(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _not_others(status: os.stat_result) -> str:
    """It names commands that dsr1 runs: what another user wrote, in /tmp say, is not taken."""
    if status.st_uid not in (0, os.getuid()):
        return "it belongs to another user: a site file is to be yours or root's"
    if stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_IWOTH:
        return "everybody may write to it: `chmod o-w` it, since it names commands that dsr1 runs"
    return ""


def _shown(file: Path) -> str:
    """`~/.config/dsr1/site.yaml`."""
    home = os.path.expanduser("~")  # noqa: PTH111 - never an error
    text = str(file)
    return f"~{text[len(home) :]}" if home != "/" and text.startswith(f"{home}/") else text


def _beside(layer: Layer, folder: Path) -> Layer:
    """Files and folders that it names lie beside it, whatever the current folder is."""
    values = dict(layer.values)
    for keys in _paths_in(layer):
        value = value_at(layer, keys)
        if isinstance(value, str):
            values = replace_value(values, keys, _absolute(value, keys[0], folder))
    if isinstance(spares := values.get("spares"), list):
        values["spares"] = [_absolute_list(one, folder) for one in spares]
    return Layer(layer.source, values, layer.locations)


def _paths_in(layer: Layer) -> Iterator[tuple[str, ...]]:
    yield ("runtime", "venv")
    for key in ("hosts", "models"):
        sets = layer.values.get(key)
        yield from ((key, name) for name in (sets if isinstance(sets, dict) else ()))


def _absolute(value: str, key: str, folder: Path) -> object:
    if key == "hosts":
        return _absolute_list(value, folder)
    relative = value.startswith(".") or (key == "runtime" and not value.startswith(("/", "~", "$")))
    return str(folder / value) if relative else value


def _absolute_list(value: object, folder: Path) -> object:
    """`@hosts.yaml`."""
    named = isinstance(value, str) and value.startswith("@") and not value.startswith("@~")
    return f"@{folder / str(value)[1:]}" if named else value
