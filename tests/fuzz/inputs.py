"""Hostile inputs, made at random but repeatably: good samples spoilt, and forms that explode."""

import copy
import io
import json
import lzma
import random
import string
import tarfile
from collections.abc import Callable, Sequence
from typing import Any

from tests.unit.launcher.importing.mutation import mutate_text, mutate_tree

PIECES = (
    "\n", "\r", "\t", "\0", "\x1b[2J", "\x7f", "\x85", "\u2028", "\u202e", "\ufeff", "\ud800", "é",
    "٣", "$", "${A", "$(", "((", "))", "`", "'", '"', "\\", "[", "]", "{", "}", "<<E", "|", "&", ";",
    ",", ":", "- ", "? ", "*a", "&a ", "!!x ", "<<: ", "%", "@", "#", "~", "--", "=", "../", "/", "0",
    "-1", "1e999", "9" * 40, "9" * 5000, "1-2-3", "[1-99999999]", "NaN", "Infinity", "null", "true",
    "Xid", "mlx5_core", "rror: ", "lease", "Capturing CUDA graphs (", "_DP1", "pid=1", "%|", "(W",
    "keepalive", "password=", "token", "://a:b@", "-----BEGIN ", "Authorization: ", "::", "1.2.3.4",
)  # fmt: skip
LENGTHS = (1, 2, 3, 10, 60, 300, 3000, 20000, 64000)
Maker = Callable[[random.Random], Any]


def any_text(chance: random.Random) -> str:
    """Of letters, of pieces that mean something somewhere, or of one piece many times."""
    if chance.random() < 0.5:
        return repeated(chance)
    count = chance.choice((0, 1, 3, 8, 30))
    return "".join(chance.choice((*PIECES, *string.printable)) for _ in range(count))


def repeated(chance: random.Random) -> str:
    """What makes bad patterns and deep parsers slow: pieces, many times, with an odd end."""
    unit = "".join(
        chance.choices((*PIECES, *string.ascii_letters, " "), k=chance.choice((1, 1, 2)))
    )
    most = max(1, 64000 // len(unit))
    head = chance.choice(("", *PIECES))
    return head + unit * min(chance.choice(LENGTHS), most) + chance.choice(("", "\x01", *PIECES))


def spoilt(samples: Sequence[str]) -> Maker:
    """A sample with a few changes; now and then something else altogether."""

    def make(chance: random.Random) -> str:
        text = chance.choice(samples) if chance.random() < 0.9 else any_text(chance)
        for _ in range(chance.choice((0, 1, 1, 2, 5))):
            text = _spoil(text, chance)
        return text

    return make


def _spoil(text: str, chance: random.Random) -> str:
    if chance.random() < 0.5:
        return mutate_text(text, chance)
    at = chance.randrange(len(text) + 1)
    end = min(len(text), at + chance.choice((0, 0, 1, 5, 100)))
    return text[:at] + any_text(chance) + text[end:]


def spoilt_bytes(samples: Sequence[str]) -> Maker:
    """As spoilt, in bytes that need not be UTF-8."""

    def make(chance: random.Random) -> bytes:
        data: bytes = spoilt(samples)(chance).encode("utf-8", "surrogatepass")
        if chance.random() < 0.3:
            at = chance.randrange(len(data) + 1)
            data = data[:at] + chance.randbytes(3) + data[at:]
        return data

    return make


ODD_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 2**63, 10**400, -(10**40), 1e308, float("inf"), float("nan"), "", "x", "\0",
    "\ud800", "\x1b[2J", "x" * 70000, [], {}, [[]], {"": None}, ["a", 1, None], {"pid": "1"},
)  # fmt: skip


def spoilt_json(samples: Sequence[Any]) -> Maker:
    """JSON of a sample with values replaced, or spoilt as text, or nested without end."""

    def make(chance: random.Random) -> str:
        form = chance.random()
        if form < 0.06:
            deep = chance.choice((60, 900, 5000, 100_000))
            opened, closed = chance.choice((("[", "]"), ('{"a":', "}")))
            return opened * deep + "1" + closed * chance.choice((0, deep))
        tree = {"": copy.deepcopy(chance.choice(samples))}
        for _ in range(chance.choice((0, 1, 1, 2, 4))):
            tree = copy.deepcopy(mutate_tree(tree, chance))  # it puts one value in many places
            _replace_one(tree, chance)
        text = json.dumps(tree.get(""))
        return text if form < 0.8 else spoilt((text,))(chance)

    return make


def _replace_one(tree: Any, chance: random.Random) -> None:
    """A value somewhere in the tree becomes one of another kind."""
    while isinstance(tree, dict | list) and tree:
        key: Any = chance.choice(list(tree) if isinstance(tree, dict) else range(len(tree)))
        if chance.random() < 0.3 or not isinstance(tree[key], dict | list):
            tree[key] = copy.deepcopy(chance.choice(ODD_VALUES))
            return
        tree = tree[key]


def yaml_bomb(chance: random.Random) -> str:
    """Aliases that double, depth, breadth, merges, huge scalars, odd tags and keys."""
    many = chance.choice((3, 30, 300, 3000, 30000))
    few = min(many, 30)
    doubled = "".join(f"a{n}: &a{n} [{f'*a{n - 1},*a{n - 1}' if n else 1}]\n" for n in range(few))
    merged = "".join(
        f"b{n}: &b{n} {{<<: [{f'*b{n - 1}, *b{n - 1}' if n else '{}'}], k{n}: 1}}\n"
        for n in range(few)
    )
    wide = "{" + ", ".join(f"k{n}: {n}" for n in range(many)) + "}"
    return str(
        chance.choice(
            (
                doubled,
                merged,
                f"hosts: {wide}\n",
                "engines: {a: {args: " + wide + "}}\n",
                "name: " + "[" * many + "]" * chance.choice((0, many)),
                "hosts: " + "{a: " * many + "1" + "}" * chance.choice((0, many)),
                "".join(f"{' ' * n}a:\n" for n in range(min(many, 2000))),
                "- " * many + "a",
                "? " * many + "a",
                f"name: !!int {'1' * many}\n",
                f"a: !!timestamp {many}-99-99\nb: !!binary '{'=' * few}'\nc: !!set {{a, b}}\n",
                f"a: 0x{'f' * many}\nb: {':59' * few}\nc: {'1' * many}:59.5\n",
                "--- \n" * many,
                "%TAG ! tag:x,2000:\n--- !<x> a\n",
                f"'{'a' * many}': 1\n" * few,
            )
        )
    )


def either(*makers: Maker) -> Maker:
    return lambda chance: chance.choice(makers)(chance)


def host_list(chance: random.Random) -> str:
    """Pieces of node sets, put together without care."""
    pieces = (
        "n", "node", "-", "[", "]", "1", "01", "99999999", "9" * 5000, ",", "-2", "1-2-3", "/2", "!",
        "&", "^", "@", "@group", ":", ".", "..", " ", "\n", "%", "%s", "[1-3]", "[1-99999999]",
        "[1-9]" * 12, "[01-16,20]", "user@", "*", "é", "٣", "[٣-٩]", "x[1-3/0]", "[3-1]", "[,]", "\0",
    )  # fmt: skip
    return "".join(chance.choices(pieces, k=chance.choice((1, 2, 3, 5, 9, 40))))


def pack(chance: random.Random) -> bytes:
    """A packed cache: odd names, kinds, sizes and counts, cut, spoilt, or of little that grows."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=chance.choice((1, 2))) as archive:
        for _ in range(chance.choice((0, 1, 3, 40))):
            entry, data = _entry(chance)
            archive.addfile(entry, io.BytesIO(data))
    plain = bytearray(raw.getvalue())
    for _ in range(chance.choice((0, 0, 1, 4))):
        plain[chance.randrange(len(plain))] = chance.randrange(256)
    if chance.random() < 0.05:
        plain = bytearray(_header(chance)) + bytes(chance.choice((10**4, 10**8)))
    data = lzma.compress(bytes(plain), preset=0)
    return data[: chance.choice((len(data), len(data), len(data) // 2, 0))]


def _entry(chance: random.Random) -> tuple[tarfile.TarInfo, bytes]:
    names = ("a", "a/b", "../a", "/a", "a/../../b", "", ".", "x" * 300, "a\0b", "\x1b", "a/" * 200)
    entry = tarfile.TarInfo(chance.choice((*names, ".ninja_log", ".ninja_deps")))
    entry.type = chance.choice((tarfile.REGTYPE,) * 6 + (b"1", b"2", b"3", b"5", b"6", b"S", b"x"))
    entry.linkname = chance.choice(("", "a", "/etc/passwd"))
    data = chance.randbytes(chance.choice((0, 1, 600)))
    entry.size = len(data) if chance.random() < 0.8 else 0
    return entry, data[: entry.size]


def _header(chance: random.Random) -> bytes:
    """Of an entry, or of its attributes, that says it is huge, or less than nothing."""
    entry = tarfile.TarInfo("a")
    entry.type = chance.choice((tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME))
    entry.size = chance.choice((10**8, 2**40, 2**62))
    return entry.tobuf(tarfile.GNU_FORMAT)
