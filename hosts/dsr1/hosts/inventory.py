"""Which hosts, and how each is reached: `--hosts`, a file of names, or an inventory in YAML."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dsr1.hosts.access import Access
from dsr1.hosts.errors import InputError

_NAME = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9._:-]*[A-Za-z0-9])?$")
HCA_NAME = r"^[A-Za-z0-9*?][A-Za-z0-9_.*?\[\]-]{0,63}(:[0-9]{1,3})?$"
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


def parse_hosts(option: str, accept_new_keys: bool = False) -> tuple[Access, ...]:
    """`a,b`, `node[01-16,20]`, `user@a`, `@names.txt` or `@inventory.yaml`. Raises InputError naming what is wrong."""
    found = tuple(_from_file(Path(option[1:])) if option.startswith("@") else _from_names(option, "--hosts"))
    _refuse(found, option)
    return tuple(replace(access, accept_new_key=accept_new_keys) for access in found)


def _from_names(text: str, source: str) -> Iterator[Access]:
    """ClusterShell's node sets: the syntax that Slurm, clush and pdsh users know."""
    from ClusterShell.NodeSet import NodeSet, NodeSetException

    user, at, names = text.strip().rpartition("@")
    doubles = [name for name, count in Counter(part.strip() for part in names.split(",")).items() if name and count > 1]
    if doubles and "[" not in names:
        raise InputError(f"{source}: {', '.join(doubles)} named more than once")
    try:
        nodes = list(NodeSet(names))
    except NodeSetException as error:
        raise InputError(f"{source}: {text!r} is no list of hosts: {error}") from None
    ordered = sorted(nodes, key=lambda name: _order(names, name))
    yield from (Access(name=name, target=name, user=user if at else None) for name in ordered)


def _order(names: str, name: str) -> tuple[int, int]:
    """As written, so that the first host named is the leader; within a range, as the range counts."""
    parts = [part.strip() for part in names.split(",")]
    return (parts.index(name), 0) if name in parts else (len(parts), 0)


def _from_file(file: Path) -> Iterator[Access]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--hosts @{file}: can't be read: {getattr(error, 'strerror', 'not UTF-8 text')}") from None
    if file.suffix in (".yaml", ".yml"):
        yield from _from_yaml(text, file)
        return
    for number, line in enumerate(text.splitlines(), 1):
        names = line.partition("#")[0].strip()
        if names:
            yield from _from_names(names, f"{file}:{number}")


def _from_yaml(text: str, file: Path) -> Iterator[Access]:
    try:
        inventory = _Inventory.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise InputError(f"{file}: not YAML: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "inventory"
        raise InputError(f"{file}: {where}: {first['msg']} (seen: {first['input']!r})") from None
    for names, entry in inventory.hosts.items():
        for access in _from_names(names, f"{file}: hosts"):
            yield _with_entry(access, inventory.defaults, entry or _Entry())


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
        labels=tuple(f"{key}={value}" for key, value in sorted({**defaults.labels, **entry.labels}.items())),
    )


def _refuse(found: tuple[Access, ...], option: str) -> None:
    if not found:
        raise InputError(f"--hosts {option}: names no host")
    doubles = [name for name, count in Counter(access.name for access in found).items() if count > 1]
    if doubles:
        raise InputError(f"--hosts: {', '.join(doubles)} named more than once")
    for access in found:
        _refuse_odd(access)


def _refuse_odd(access: Access) -> None:
    for value in _present((access.name, access.target, access.control_address)):
        if not _NAME.match(value) or ".." in value:
            raise InputError(f"--hosts: {value!r} is not a host's name or address")
    if access.user is not None and not _USER.match(access.user):
        raise InputError(f"--hosts: {access.user!r} is not a user's name")


def _present(values: Iterable[str | None]) -> Iterator[str]:
    return (value for value in values if value is not None)
