"""Which hosts, and how each is reached: `--hosts`, a file of names, or an inventory in YAML."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product
from math import prod
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.access import Access

MOST_HOSTS = 4096
_NAME = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9._:-]*[A-Za-z0-9])?$")
HCA_NAME = r"^[A-Za-z0-9*?][A-Za-z0-9_.*?\[\]-]{0,63}(:[0-9]{1,3})?$"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(,[A-Za-z0-9][A-Za-z0-9._-]*)*", re.ASCII)
_USER = re.compile(r"^[A-Za-z_][A-Za-z0-9_.-]*$")


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    address: str | None = None
    user: str | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    key: str | None = None
    jump: str | None = None
    gpus: Annotated[int, Field(ge=0)] | None = None
    control_address: str | None = None
    hca: list[Annotated[str, Field(pattern=HCA_NAME)]] | None = None
    labels: dict[str, str] = {}


class _Inventory(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    defaults: _Entry = _Entry()
    hosts: Annotated[dict[str, _Entry | None], Field(min_length=1)]


def parse_hosts(
    option: str, accept_new_keys: bool = False, source: str = "--hosts"
) -> tuple[Access, ...]:
    """`a,b`, `node[01-16,20]`, `user@a`, `@names.txt` or `@inventory.yaml`, in the order written:
    the first one leads.

    Raises InputError naming what is wrong; `source` is what it calls a list that is no file.
    """
    found = tuple(
        _from_file(Path(option[1:]), source)
        if option.startswith("@")
        else _from_names(option, source)
    )
    _refuse(found, f"{source} {option}" if option.startswith("@") else source)
    return tuple(replace(access, accept_new_key=accept_new_keys) for access in found)


def _from_names(text: str, source: str) -> Iterator[Access]:
    """ClusterShell's node sets: the syntax that Slurm, clush and pdsh users know."""
    user, names = _split_user(text.strip())
    if "@" in names or "," in (user or ""):
        wanted = (
            "one user, in front, is for all hosts; several need an inventory (@hosts.yaml). Groups"
            " aren't known"
        )
        raise InputError(f"{source}: {text!r}: {wanted}")
    doubles = [
        name
        for name, count in Counter(part.strip() for part in names.split(",")).items()
        if name and count > 1
    ]
    if doubles and "[" not in names:
        raise InputError(f"{source}: {', '.join(doubles)} named more than once")
    yield from (Access(name=name, target=name, user=user) for name in _expand(names, text, source))


def _split_user(text: str) -> tuple[str | None, str]:
    user, at, names = text.partition("@")
    return (user, names) if at else (None, text)


def _expand(names: str, text: str, source: str) -> list[str]:
    """The names of a node set; a node set itself would sort them."""
    if (many := _count(names)) > MOST_HOSTS:  # a node set would hold each of them in memory
        raise InputError(f"{source}: {text!r} names {many} hosts, at most {MOST_HOSTS} are allowed")
    if _PLAIN.fullmatch(names):  # a node set would be the same, and ClusterShell is slow to load
        return names.split(",")
    from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException

    try:
        nodes = NodeSet(names, resolver=RESOLVER_NOGROUP)
        written = [
            name for part in _parts(names) for name in NodeSet(part, resolver=RESOLVER_NOGROUP)
        ]
    except NodeSetException as error:
        raise InputError(f"{source}: {text!r} is no list of hosts: {error}") from None
    return [name for name in dict.fromkeys(written) if name in nodes]


def _count(names: str) -> int:
    """How many names there are at most, from the ends of the ranges alone."""
    parts = re.split(r"[,!&^](?![^\[\]]*\])", names)
    return sum(prod(map(_span, re.findall(r"\[([^\[\]]*)\]", part))) for part in parts)


def _span(ranges: str) -> int:
    ends = (re.fullmatch(r"\s*(\d+)-(\d+)(?:/\d+)?\s*", one) for one in ranges.split(","))
    return sum(max(1, int(found[2]) - int(found[1]) + 1) if found else 1 for found in ends)


def _parts(names: str) -> Iterator[str]:
    """`z[3,1-2],a` -> `z[3]`, `z[1-2]`, `a`: between commas and other operators, those in brackets
    too."""
    for operand in re.split(r"[,!&^](?![^\[\]]*\])", names):
        pieces = re.split(r"\[([^\[\]]*)\]", operand.strip())  # every second one stood in brackets
        ranges = (
            [f"[{one}]" for one in piece.split(",")] if at % 2 else [piece]
            for at, piece in enumerate(pieces)
        )
        yield from map("".join, product(*ranges))


def _from_file(file: Path, source: str) -> Iterator[Access]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{source} @{file}: can't be read: {getattr(error, 'strerror', 'not UTF-8 text')}"
        ) from None
    if file.suffix in (".yaml", ".yml"):
        yield from _from_yaml(text, file)
        return
    for number, line in enumerate(text.splitlines(), 1):
        names = line.partition("#")[0].strip()
        if names:
            yield from _from_names(names, f"{file}:{number}")


def _from_yaml(text: str, file: Path) -> Iterator[Access]:
    try:
        _refuse_double_keys(yaml.compose(text, Loader=yaml.SafeLoader), file)
        inventory = _Inventory.model_validate(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{file}: {_explain(error)}") from None
    for names, entry in inventory.hosts.items():
        for access in _from_names(names, f"{file}: hosts"):
            found = _with_entry(access, inventory.defaults, entry or _Entry())
            yield replace(found, key=_beside(file, found.key) if found.key else None)


def _beside(file: Path, key: str) -> str:
    """A relative key lies beside the inventory, wherever its user or its supervisor stands."""
    return key if key.startswith("~") else str((file.parent / key).absolute())


def _explain(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "is nested too deeply for an inventory"
    if not isinstance(error, ValidationError):
        return f"not YAML: {error}"
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"])) or "inventory"
    return f"{where}: {first['msg']} (seen: {first['input']!r})"


def _refuse_double_keys(node: yaml.Node | None, file: Path) -> None:
    """YAML would keep the last one."""
    seen: set[str] = set()
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        name = str(key.value)
        if name in seen:
            raise InputError(f"{file}:{key.start_mark.line + 1}: {name} stands twice")
        seen.add(name)
        _refuse_double_keys(value, file)


def _with_entry(access: Access, defaults: _Entry, entry: _Entry) -> Access:
    """A host's own keys win over the defaults."""
    both = defaults.model_dump(exclude_none=True) | entry.model_dump(exclude_none=True)
    return Access(
        name=access.name,
        target=both.get("address", access.target),
        user=both.get("user", access.user),
        port=both.get("port"),
        key=both.get("key"),
        jump=both.get("jump"),
        gpus=both.get("gpus"),
        control_address=both.get("control_address"),
        hca=tuple(both.get("hca", ())),
        labels=tuple(
            f"{key}={value}" for key, value in sorted({**defaults.labels, **entry.labels}.items())
        ),
    )


def _refuse(found: tuple[Access, ...], source: str) -> None:
    if not found:
        raise InputError(f"{source}: names no host")
    doubles = [
        name for name, count in Counter(access.name for access in found).items() if count > 1
    ]
    if doubles:
        raise InputError(f"{source}: {', '.join(doubles)} named more than once")
    for access in found:
        _refuse_odd(access, source)


def _refuse_odd(access: Access, source: str) -> None:
    for value in _present((access.name, access.target, access.control_address)):
        if not _NAME.match(value) or ".." in value:
            raise InputError(f"{source}: {value!r} is not a host's name or address")
    if access.user is not None and not _USER.match(access.user):
        raise InputError(f"{source}: {access.user!r} is not a user's name")


def _present(values: Iterable[str | None]) -> Iterator[str]:
    return (value for value in values if value is not None)
