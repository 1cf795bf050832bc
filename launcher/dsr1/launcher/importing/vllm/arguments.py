"""A program's arguments to flags: by their long names, joined where dots spread them, each with its
places. Pure."""

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.bounded import MOST_DEPTH, refuse_depth
from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.left_out import FLAGS as LEFT_OUT
from dsr1.launcher.importing.manifest.program import ContainerArgument
from dsr1.launcher.importing.manifest.tree import Place
from dsr1.launcher.importing.shell.secrecy import quoted

_NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Flag:
    """`name` is long, with dashes and without those in front. `off` is its --no- form. `path`:
    --name.path.path VALUE.

    `unknown` are expansions in its values that only a shell could make.
    """

    name: str
    values: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()
    unknown: tuple[str, ...] = ()
    off: bool = False
    path: tuple[str, ...] = ()
    adds: bool = False

    @property
    def text(self) -> str:
        return " ".join(self.values)


@dataclass(frozen=True, slots=True)
class KnownFlags:
    """The flags of one program: what each takes, and which long name a short one stands for."""

    kinds: Mapping[str, str]
    shorts: Mapping[str, str]

    def guess(self, name: str) -> str:
        close = get_close_matches(name, self.kinds, n=1)
        return f" (did you mean --{close[0]}?)" if close else ""


@cache
def known_flags(program: str) -> KnownFlags:
    """Of `worker` (vLLM 0.31 with Dynamo 1.6.1), `frontend`, or what `vllm serve` has beyond a
    worker's: `server`."""
    lines = (
        Path(__file__).with_name(f"{program}_flags.txt").read_text(encoding="utf-8").splitlines()
    )
    rows = [line.split() for line in lines]
    return KnownFlags(
        {row[0]: row[1] for row in rows}, {alias: row[0] for row in rows for alias in row[2:]}
    )


@dataclass(frozen=True, slots=True)
class ParsedFlags:
    """Flags in their order, and arguments that belong to none."""

    flags: tuple[Flag, ...]
    strays: tuple[ContainerArgument, ...] = ()


def parse_flags(arguments: Sequence[ContainerArgument], known: KnownFlags) -> ParsedFlags:
    """As argparse would. An unknown flag takes all arguments that don't look like flags."""
    flags: list[Flag] = []
    strays: list[ContainerArgument] = []
    left = list(arguments)
    while left:
        argument = left.pop(0)
        if _is_flag(argument.text, known):
            flags.append(_take(argument, left, known))
        else:
            strays.append(argument)
    return ParsedFlags(tuple(flags), tuple(strays))


def _is_flag(text: str, known: KnownFlags) -> bool:
    return (text.startswith("-") and not _NUMBER.fullmatch(text)) and len(text) > 1


def _take(argument: ContainerArgument, left: list[ContainerArgument], known: KnownFlags) -> Flag:
    flag, given = _named(argument, known)
    values = [] if given is None else [ContainerArgument(given, (), argument.unknown)]
    most = 0 if given is not None else _most(flag, known)
    while left and len(values) < most and not _is_flag(left[0].text, known):
        values.append(left.pop(0))
    return Flag(
        flag.name,
        tuple(value.text for value in values),
        (*argument.places, *(place for value in values for place in value.places)),
        tuple(expansion for value in values for expansion in value.unknown),
        flag.off,
        flag.path,
        flag.adds,
    )


def _named(argument: ContainerArgument, known: KnownFlags) -> tuple[Flag, str | None]:
    """A flag's name, and the value behind its = if there is one."""
    written, equals, value = argument.text.partition("=")
    adds = written.endswith("+")
    first, *path = written.removesuffix("+").split(".", MOST_DEPTH // 2)
    name = known.shorts.get(first) or first.lstrip("-").replace("_", "-")
    if (
        name.startswith("no-")
        and name not in known.kinds
        and (name[3:] in known.kinds or name[3:] in LEFT_OUT)
    ):
        return Flag(name[3:], off=True), value if equals else None
    if re.fullmatch(r"-O\d", first):
        return Flag("optimization-level"), first[2:]
    return Flag(name, path=tuple(path), adds=adds), value if equals else None


def _most(flag: Flag, known: KnownFlags) -> int:
    """How many arguments it may take."""
    if flag.path:
        return 1
    if flag.off:
        return 0
    return {"switch": 0, "value": 1, "values": 1000}.get(known.kinds.get(flag.name, ""), 1000)


def joined(flags: Sequence[Flag]) -> tuple[Flag, ...]:
    """--config.a.b 1 and --config '{...}' become one flag of JSON, as vLLM joins them; the last of
    a kind counts."""
    found: dict[str, Flag] = {}
    for flag in flags:
        before = found.pop(flag.name, None)
        if before and (flag.path or (_mapping(before) is not None and _mapping(flag) is not None)):
            found[flag.name] = _merged(before, flag)
        else:
            found[flag.name] = _merged(Flag(flag.name, ("{}",)), flag) if flag.path else flag
    return tuple(found.values())


def note_repeated(flags: Sequence[Flag], ledger: Ledger) -> None:
    """Flags that a later one of the same name takes the place of."""
    last = {flag.name: flag for flag in flags}
    for flag in flags:
        if last[flag.name] is not flag and not flag.path and _mapping(flag) is None:
            text = f"--{flag.name} {quoted(flag.text)}: given again later, and the last one counts"
            ledger.leave(text, *flag.places)


def _merged(before: Flag, flag: Flag) -> Flag:
    whole = _deep(_mapping(before) or {}, _spread(flag) if flag.path else _mapping(flag) or {})
    text = json.dumps(whole, separators=(",", ":"))
    return Flag(
        flag.name, (text,), (*before.places, *flag.places), (*before.unknown, *flag.unknown)
    )


def _spread(flag: Flag) -> dict[str, Any]:
    value: Any = flag.text.split(",") if flag.adds else parsed_json(flag.text, flag.text)
    for key in reversed(flag.path):
        value = {key: value}
    return dict(value)


def _deep(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    result = dict(old)
    for key, value in new.items():
        before = result.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            result[key] = _deep(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            result[key] = before + value
        else:
            result[key] = value
    return result


def _mapping(flag: Flag) -> dict[str, Any] | None:
    value = parsed_json(flag.text, None)
    return value if isinstance(value, dict) else None


def parsed_json(text: str, otherwise: Any) -> Any:
    """JSON, where writing it again would lose nothing; else what to take in its place."""
    try:
        value = json.loads(text, object_pairs_hook=_once)
        refuse_depth(value)
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return otherwise
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key appears twice")
    return dict(pairs)


def exact_value(text: str) -> Any:
    """A number that is written back as it was, a mapping or a list of JSON; else the text."""
    value = parsed_json(text, text)
    if isinstance(value, bool) or value is None:
        return text
    return value if isinstance(value, dict) or str(value) == text else text
