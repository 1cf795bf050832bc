"""Which hosts, and how each is reached: `--hosts`, a file of names, or an inventory in YAML."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.inventory.addresses import address_problem, is_ipv6
from dsr1.hosts.inventory.names import MOST_HOSTS, count_names, expand_names
from dsr1.hosts.yaml_text import (
    compose_yaml,
    construct_yaml,
    line_of,
    problem_of,
    read_bounded_text,
)

_WITH_PORT = re.compile(r"([^:]+):([0-9]{1,5})", re.ASCII)
HCA_NAME = r"^[A-Za-z0-9*?][A-Za-z0-9_.*?\[\]-]{0,63}(:[0-9]{1,3})?$"
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


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
    if option.strip() == "@":
        raise InputError(f"{source} @: which file? @hosts.yaml, for example")
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
    yield from (_access(name, user, source) for name in expand_names(names, source))


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
    """A name is the same in upper and lower case: RFC 4343."""
    given = tuple(names)
    counts = Counter(name.lower() for name in given)
    if twice := [name for name in dict.fromkeys(given) if name and counts[name.lower()] > 1]:
        raise InputError(f"{source}: {', '.join(twice)} named more than once")


def _from_file(file: Path, source: str) -> Iterator[Access]:
    try:
        text = read_bounded_text(file, "a list of hosts")
    except InputError as error:
        raise InputError(f"{source} @{error}") from None
    if file.suffix in (".yaml", ".yml"):
        yield from _from_yaml(text, file)
        return
    room = MOST_HOSTS
    for number, line in enumerate(text.splitlines(), 1):
        if names := line.partition("#")[0].strip():
            found = tuple(_from_names(names, f"{file}:{number}"))
            room = _less(room, names, str(file))
            yield from found


def _less(room: int, names: str, source: str) -> int:
    """The room that is left for hosts in a file."""
    before, at, after = names.partition("@")  # a user, and what he is on
    room -= count_names(after if at else before)
    if room < 0:
        raise InputError(f"{source}: names more than {MOST_HOSTS} hosts")
    return room


def _from_yaml(text: str, file: Path) -> Iterator[Access]:
    tree = compose_yaml(text, str(file), "an inventory")
    plain = construct_yaml(tree, str(file))
    try:
        _Inventory.model_validate(plain)
    except ValidationError as error:
        line = line_of(tree, error.errors(include_url=False)[0]["loc"])
        raise InputError(f"{file}:{line}: {_explain(error)}") from None
    yield from _from_inventory(plain, str(file), file.parent)


def parse_inventory(plain: object, source: str, folder: Path) -> tuple[Access, ...]:
    """As parse_hosts, of what an inventory has in it; a relative key lies in `folder`."""
    found = tuple(_from_inventory(plain, source, folder))
    _refuse(found, source)
    return found


def _from_inventory(plain: object, source: str, folder: Path) -> Iterator[Access]:
    try:
        inventory = _Inventory.model_validate(plain)
    except ValidationError as error:
        raise InputError(f"{source}: {_explain(error)}") from None
    room = MOST_HOSTS
    for names, entry in inventory.hosts.items():
        found = tuple(_from_names(names, f"{source}: hosts"))
        room = _less(room, names, source)
        for access in found:
            whole = _with_entry(access, inventory.defaults, entry or _Entry())
            yield replace(whole, key=_beside(folder, whole.key) if whole.key else None)


def _beside(folder: Path, key: str) -> str:
    """A relative key lies beside the inventory, whatever the current folder is."""
    return key if key.startswith("~") else str((folder / key).absolute())


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"])) or "inventory"
    if first["type"] == "extra_forbidden":
        known = list((_Entry if len(first["loc"]) > 1 else _Inventory).model_fields)
        near = get_close_matches(str(first["loc"][-1]), known, n=1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        return f"{where}: unknown key{meant}; allowed are {', '.join(known)}"
    seen = repr(first["input"])
    return f"{where}: {problem_of(first)} (it is {seen if len(seen) <= 80 else f'{seen[:80]}...'})"


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
    if access.user is not None and not _USER.fullmatch(access.user):
        raise InputError(f"{source}: {access.user!r} is not a user's name")


def _refuse_address(value: str, source: str) -> None:
    if problem := address_problem(value):
        raise InputError(f"{source}: {value!r}: {problem}")
