"""Which hosts, and how each is reached: `--hosts`, a file of names, or an inventory in YAML."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, product
from math import prod
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.inventory.addresses import address_problem, is_ipv6

MOST_HOSTS = 4096
_WITH_PORT = re.compile(r"([^:]+):([0-9]{1,5})", re.ASCII)
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
    if option.startswith("@"):
        found = tuple(_from_file(Path(option[1:]), source))
        _refuse(found, f"{source} {option}")
    else:
        found = tuple(_from_names(option, source))
        _refuse(found, source)
    return tuple(replace(access, accept_new_key=accept_new_keys) for access in found)


def _from_names(text: str, source: str) -> Iterator[Access]:
    """ClusterShell's node sets: the syntax that Slurm, clush and pdsh users know."""
    before, at, after = text.strip().partition("@")
    user, names = (before, after) if at else (None, before)
    if "@" in names or "," in (user or ""):
        why = "one user in front is for all hosts; several users need an inventory (@hosts.yaml)"
        raise InputError(f"{source}: {text!r}: {why}; groups are not supported")
    if "[" not in names:
        _refuse_twice((part.strip() for part in names.split(",")), source)
    yield from (_access(name, user, source) for name in _expand(names, text, source))


def _access(text: str, user: str | None, source: str) -> Access:
    """`n1` or `n1:2222`: the port is SSH's alone, and no part of the host's name."""
    found = _WITH_PORT.fullmatch(text)
    if found is None:
        return Access(name=text, target=text, user=user)
    name, port = found[1], int(found[2])
    if not 1 <= port <= 65535:
        raise InputError(f"{source}: {text!r}: {port} is no port of SSH's, 1 to 65535")
    return Access(name=name, target=name, user=user, port=port)


def _refuse_twice(names: Iterable[str], source: str) -> None:
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise InputError(f"{source}: {', '.join(twice)} named more than once")


def _expand(names: str, text: str, source: str) -> list[str]:
    """The names of a node set; a node set itself would sort them."""
    if (many := _count(names)) > MOST_HOSTS:  # a node set would hold each of them in memory
        raise InputError(f"{source}: {text!r} names {many} hosts, at most {MOST_HOSTS} are allowed")
    if _PLAIN.fullmatch(names):  # a node set would be the same, and ClusterShell is slow to load
        return names.split(",")
    from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException

    try:
        nodes = NodeSet(names, resolver=RESOLVER_NOGROUP)
        parts = [NodeSet(part, resolver=RESOLVER_NOGROUP) for part in _parts(names)]
    except NodeSetException as error:
        raise InputError(f"{source}: {text!r} is not a list of hosts: {error}") from None
    return [name for name in dict.fromkeys(chain(*parts)) if name in nodes]


def _count(names: str) -> int:
    """How many names there are at most, from the ends of the ranges alone."""
    parts = re.split(r"[,!&^](?![^\[\]]*\])", names)
    return sum(prod(map(_span, re.findall(r"\[([^\[\]]*)\]", part))) for part in parts)


def _span(ranges: str) -> int:
    ends = (re.fullmatch(r"\s*(\d+)-(\d+)(?:/\d+)?\s*", one) for one in ranges.split(","))
    return sum(max(1, int(found[2]) - int(found[1]) + 1) if found else 1 for found in ends)


def _parts(names: str) -> Iterator[str]:
    """`z[3,1-2],a` -> `z[3]`, `z[1-2]`, `a`: split at commas and other operators, in brackets
    too."""
    for operand in re.split(r"[,!&^](?![^\[\]]*\])", names):
        pieces = re.split(r"\[([^\[\]]*)\]", operand.strip())  # every second one was in brackets
        ranges = (
            [f"[{one}]" for one in piece.split(",")] if at % 2 else [piece]
            for at, piece in enumerate(pieces)
        )
        yield from map("".join, product(*ranges))


def _from_file(file: Path, source: str) -> Iterator[Access]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", "not UTF-8 text")
        raise InputError(f"{source} @{file}: can't be read: {why}") from None
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
    """A relative key lies beside the inventory, whatever the current folder is."""
    return key if key.startswith("~") else str((file.parent / key).absolute())


def _explain(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply for an inventory"
    if not isinstance(error, ValidationError):
        return f"not YAML: {error}"
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"])) or "inventory"
    return f"{where}: {first['msg']} (it is {first['input']!r})"


def _refuse_double_keys(node: yaml.Node | None, file: Path) -> None:
    """YAML would keep the last one."""
    names: set[str] = set()
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        name = str(key.value)
        if name in names:
            raise InputError(f"{file}:{key.start_mark.line + 1}: {name} appears twice")
        names.add(name)
        _refuse_double_keys(value, file)


def _with_entry(access: Access, defaults: _Entry, entry: _Entry) -> Access:
    """A host's own keys win over the defaults."""
    both = defaults.model_dump(exclude_none=True) | entry.model_dump(exclude_none=True)
    labels = {**defaults.labels, **both.pop("labels")}
    return replace(
        access,
        target=both.pop("address", access.target),
        hca=tuple(both.pop("hca", ())),
        labels=tuple(f"{key}={value}" for key, value in sorted(labels.items())),
        **both,
    )


def _refuse(found: tuple[Access, ...], source: str) -> None:
    if not found:
        raise InputError(f"{source}: names no host")
    _refuse_twice((access.name for access in found), source)
    for access in found:
        _refuse_odd(access, source)


def _refuse_odd(access: Access, source: str) -> None:
    """SSH is asked for the target, which may be any address; the name, or the control address where
    one is given, becomes part of URLs and of arguments."""
    for value in (access.name, access.control_address):
        if value is not None:
            _refuse_address(value, source)
    if not is_ipv6(access.target):
        _refuse_address(access.target, source)
    elif access.control_address is None:
        raise InputError(
            f"{source}: {access.name}: SSH may use {access.target}, but the other hosts need a name"
            " or an IPv4 address: give control_address"
        )
    if access.user is not None and not _USER.match(access.user):
        raise InputError(f"{source}: {access.user!r} is not a user's name")


def _refuse_address(value: str, source: str) -> None:
    if problem := address_problem(value):
        raise InputError(f"{source}: {value!r}: {problem}")
