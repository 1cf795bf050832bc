"""Lists of hosts as Slurm, clush and pdsh users write them (node[01-16,20],login): read in the
order written, and bounded before they are expanded; and many names or numbers in few words."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, product
from math import prod

from dsr1.hosts.errors import InputError

MOST_HOSTS = 4096
_NUMBER = r"[0-9]{1,9}"
_SPAN = rf"\s*{_NUMBER}(?:-{_NUMBER}(?:/{_NUMBER})?)?\s*"
_PIECE = rf"[A-Za-z0-9._:-]|\[{_SPAN}(?:,{_SPAN})*\]"
# ClusterShell would read 1-2-3 as -2 to 3, and what it can't read at all as it likes.
_LIST = re.compile(rf"\s*(?:{_PIECE})+\s*(?:[,!&^]\s*(?:{_PIECE})+\s*)*", re.ASCII)
_WANTED = "wanted are names, and numbers in brackets: node[01-16,20],login"
_SYNTAX = re.compile(r"[\[\]!&^]")
# Between operators; a comma in brackets is none.
_OPERANDS = re.compile(r"(?:\[[^\]]*\]|[^,!&^\[])+")
_HUGE = re.compile(r"[0-9]{64}")  # a number that Python would not read
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")


def expand_names(names: str, source: str) -> list[str]:
    """A node set itself would sort them. InputError: it is none, or names too many."""
    if not _SYNTAX.search(names):  # a node set would be the same, and ClusterShell is slow to load
        plain = [name.strip() for name in names.split(",")]
        if not all(plain) and plain != [""]:
            raise InputError(f"{source}: {_shown(names)} is not a list of hosts; {_wanted(names)}")
        return [name for name in plain if name]
    if not _LIST.fullmatch(names) or _HUGE.search(names):
        raise InputError(f"{source}: {_shown(names)} is not a list of hosts; {_wanted(names)}")
    if count_names(names) > MOST_HOSTS:  # a node set would hold each of them in memory
        raise InputError(
            f"{source}: {_shown(names)} names too many hosts: at most {MOST_HOSTS} are allowed"
        )
    from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException

    try:
        nodes = NodeSet(names, resolver=RESOLVER_NOGROUP)
        parts = [NodeSet(part, resolver=RESOLVER_NOGROUP) for part in _parts(names)]
    except (NodeSetException, AssertionError) as error:  # digits beside brackets: n[1-3]999999999
        raise InputError(f"{source}: {_shown(names)} is not a list of hosts: {error}") from None
    return [name for name in dict.fromkeys(chain(*parts)) if name in nodes]


def _wanted(names: str) -> str:
    """Of a list that is none, what is nearest to what was meant."""
    if re.search(r"(^|,)\s*(,|$)", names):
        return "a comma has no host beside it"
    if re.search(r"\[[0-9A-Fa-f]*:", names):
        return "an IPv6 address is for SSH alone: give a name or an IPv4 address here"
    return _WANTED


def count_names(names: str) -> int:
    """How many names there are at most, from the ends of the ranges alone; of a list that is
    one."""
    parts = _OPERANDS.findall(names)
    return sum(prod(map(_count_ranges, _BRACKETS.findall(part))) for part in parts)


def _count_ranges(ranges: str) -> int:
    return sum(map(_count_span, ranges.split(",")))


def _count_span(text: str) -> int:
    first, _, last = text.partition("/")[0].partition("-")
    return max(1, int(last or first) - int(first) + 1)


def _parts(names: str) -> Iterator[str]:
    """`z[3,1-2],a` -> `z[3]`, `z[1-2]`, `a`: split at commas and other operators, in brackets
    too."""
    for operand in _OPERANDS.findall(names):
        pieces = _BRACKETS.split(operand.strip())  # every second one was in brackets
        ranges = (
            [f"[{one}]" for one in piece.split(",")] if at % 2 else [piece]
            for at, piece in enumerate(pieces)
        )
        yield from map("".join, product(*ranges))


def _shown(names: str) -> str:
    return repr(names if len(names) <= 80 else f"{names[:80]}...")


def fold_names(names: Iterable[str]) -> str:
    """`node[01-16]`, sorted. ClusterShell is slow to load, and one name needs none."""
    given = list(names)
    if len(given) < 2:
        return "".join(given)
    from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException

    try:
        return str(NodeSet.fromlist(given, resolver=RESOLVER_NOGROUP))
    except NodeSetException:  # of a file that somebody else wrote
        return ",".join(given)


def fold_numbers(numbers: Iterable[int]) -> str:
    """`0-3,8`."""
    from ClusterShell.RangeSet import RangeSet

    return str(RangeSet.fromlist(map(str, numbers)))


def name_few(names: Sequence[str], most: int = 4) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def counted(number: int, what: str) -> str:
    """`1 host`, `2 hosts`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def counted_files(number: int, of_bytes: int) -> str:
    """`1 file, 12.3 kB`, `40 files, 7.1 MB`."""
    size = f"{of_bytes / 1e3:.1f} kB" if of_bytes < 1e5 else f"{of_bytes / 1e6:.1f} MB"
    return f"{counted(number, 'file')}, {size}"
