"""Manifests turned into others, at random but repeatably: as text, and as trees with hostile values
put in."""

import random
from typing import Any

HOSTILE: tuple[Any, ...] = (
    "$(id)",
    "';id",
    '"; id; "',
    "`id`",
    "a b",
    "x,y",
    '{"a": 1}',
    '{"a": "\\u0000"}',
    "line\nbreak",
    "\x85\u2028next",
    "\x1b[31mred",
    "tab\there",
    "# comment",
    "- item: [",
    "*alias",
    "!!python/object",
    "${UNSET}",
    "${A:-b}",
    "$((1+1))",
    "'",
    "--",
    "-",
    "--=",
    "---",
    "=",
    "é\u4e2d\U0001f600",
    "x" * 5000,
    "null",
    "~",
    "yes",
    "0x10",
    "1e3",
    "-1",
    "",
    0,
    -5,
    3.5,
    True,
    None,
    10**40,
    [],
    {},
    [["a"]],
    {"name": {"deep": ["er"]}},
    [None, 1, "a", {"name": "a", "value": "b"}],
)
_STRANGE_KEYS = (
    "strange",
    "",
    "a b",
    "a.b",
    "$(id)",
    "line\nbreak",
    "env",
    "args",
    "services",
    "name",
    "replicas",
)


def mutate_tree(tree: Any, chance: random.Random) -> Any:
    """One part of a tree replaced, taken away, renamed, doubled or moved."""
    places = list(_places(tree))
    if not places:
        return tree
    holder, key = chance.choice(places)
    action = chance.randrange(6)
    if action < 3:
        holder[key] = chance.choice(HOSTILE)
    elif action == 3:
        del holder[key]
    elif action == 4:
        value = holder.pop(key)
        _put(holder, chance.choice(_STRANGE_KEYS), value)
    else:
        other, place = chance.choice(places)
        value = chance.choice(HOSTILE)
        if isinstance(holder[key], str) and isinstance(value, str):
            holder[key] = chance.choice(
                (f"{value}{holder[key]}", f"{holder[key]}{value}", f"{holder[key]} {value}")
            )
        elif not isinstance(other.get(place) if isinstance(other, dict) else None, dict | list):
            _put(holder, chance.choice(_STRANGE_KEYS), value)
    return tree


def mutate_text(text: str, chance: random.Random) -> str:
    """One line, word or character changed."""
    lines = text.splitlines(keepends=True) or ["a: 1"]
    at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    action = chance.randrange(6)
    if action == 0:
        del lines[at]
    elif action == 1:
        lines.insert(at, lines[other])
    elif action == 2:
        lines[at], lines[other] = lines[other], lines[at]
    elif action == 3:
        spot = chance.randrange(len(lines[at]))
        lines[at] = (
            lines[at][:spot] + chance.choice("'\"\\{}[]:,#&*!|>%@` \t-=$()") + lines[at][spot:]
        )
    elif action == 4:
        spot = chance.randrange(len(lines[at]))
        lines[at] = lines[at][:spot] + lines[at][spot + 1 :]
    else:
        words = lines[at].split(" ")
        words[chance.randrange(len(words))] = str(chance.choice(HOSTILE))
        lines[at] = " ".join(words)
    return "".join(lines)


def _places(value: Any) -> Any:
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, child in items:
        yield value, key
        yield from _places(child)


def _put(holder: Any, key: str, value: Any) -> None:
    if isinstance(holder, dict):
        holder[key] = value
    else:
        holder.append(value)
