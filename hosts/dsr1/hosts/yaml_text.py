"""YAML that people write: bounded in size, depth and number of values before anything is made of
it, and strict where YAML is lax: no aliases (they can explode), no tags, no key twice."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from dsr1.hosts.errors import InputError

MOST_BYTES, DEEPEST, MOST_VALUES = 2**20, 50, 20_000
LONGEST_NUMBER = 64
# the C one is ten times as fast, and in every wheel
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = "tag:yaml.org,2002:"
TEXT = f"{_CORE}str"
JudgeFile = Callable[[os.stat_result], str]
WORDS = tuple(f"{_CORE}{kind}" for kind in ("int", "float", "bool", "timestamp"))


def _any_file(_: os.stat_result) -> str:
    return ""


def read_bounded_text(file: Path, what: str, judge: JudgeFile = _any_file) -> str:
    """UTF-8, with or without a byte order mark. InputError: it can't be read, is too long to be
    `what`, or `judge` says in words what is wrong with it."""
    try:
        with file.open("rb") as opened:
            if problem := judge(os.fstat(opened.fileno())):
                raise InputError(f"{file}: {problem}")
            data = opened.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise InputError(f"{file}: larger than {MOST_BYTES} bytes, so it is not {what}")
        return data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"{file}: can't be read: {why}") from None


def compose_yaml(text: str, source: str, what: str) -> yaml.Node | None:
    """The node tree, with line numbers. InputError names source and line."""
    try:
        _refuse_unbounded(text, source, what)
        tree: yaml.Node | None = yaml.compose(text, Loader=_LOADER)
    except UnicodeEncodeError:
        raise InputError(f"{source}: not YAML: it holds what is no character") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        why = getattr(error, "problem", None) or error
        raise InputError(f"{source}{line}: not YAML: {why}") from None
    for node in _nodes(tree):
        _refuse_odd_node(node, source)
    return tree


def is_yaml(text: str) -> bool:
    """Whether it is one document of YAML, of whatever kind."""
    anchors: set[str | None] = set()
    documents = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            documents += isinstance(event, yaml.DocumentStartEvent)
            if isinstance(event, yaml.AliasEvent) and event.anchor not in anchors:
                return False
            anchors.add(getattr(event, "anchor", None))
    except (yaml.YAMLError, UnicodeEncodeError):
        return False
    return documents <= 1


def construct_yaml(tree: yaml.Node | None, source: str) -> Any:
    """Plain values. InputError: a date that is none."""
    try:
        return None if tree is None else yaml.constructor.SafeConstructor().construct_document(tree)
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{source}: not YAML: {error}") from None


def line_of(tree: yaml.Node | None, keys: Iterable[int | str]) -> int:
    """Where these keys are, or the last on the way to them that is there."""
    line = 1
    for key in keys:
        pairs = tree.value if isinstance(tree, yaml.MappingNode) else []
        found = [(name, value) for name, value in pairs if name.value == key]
        if not found:
            return line
        (name, tree), *_ = found
        line = name.start_mark.line + 1
    return line


def _refuse_unbounded(text: str, source: str, what: str) -> None:
    """From the parser's events, which come one by one: no tree is made of what is refused."""
    depth = values = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        values += isinstance(event, yaml.NodeEvent)
        if why := _fault(event, depth, values):
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise InputError(f"{source}:{line}: {why} {what}")


def _fault(event: yaml.Event, depth: int, values: int) -> str:
    if isinstance(event, yaml.AliasEvent):
        return "YAML aliases (*name) are not allowed in"
    tag = getattr(event, "tag", None)
    if tag not in (None, "!", TEXT):
        return f"YAML tags ({tag!r}) are not allowed in"
    if depth > DEEPEST:
        return f"nested too deeply: more than {DEEPEST} levels are not allowed in"
    return f"more than {MOST_VALUES} values are not allowed in" if values > MOST_VALUES else ""


def _nodes(node: yaml.Node | None) -> Iterator[yaml.Node]:
    if node is None:
        return
    yield node
    parts = node.value if isinstance(node, yaml.CollectionNode) else ()
    for part in parts:
        for below in part if isinstance(node, yaml.MappingNode) else (part,):
            yield from _nodes(below)


def _refuse_odd_node(node: yaml.Node, source: str) -> None:
    if isinstance(node, yaml.MappingNode):
        _refuse_odd_keys(node, source)
    elif node.tag in WORDS and len(node.value) > LONGEST_NUMBER:
        line, size = node.start_mark.line + 1, len(node.value)
        raise InputError(
            f"{source}:{line}: a number of {size} characters, at most {LONGEST_NUMBER} are allowed;"
            " text stands in quotes"
        )


def _refuse_odd_keys(node: yaml.MappingNode, source: str) -> None:
    """Keys that aren't text, and those that appear twice: YAML would keep the last one."""
    seen: set[str] = set()
    for key, _ in node.value:
        location = f"{source}:{key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode):
            raise InputError(f"{location}: a list or a mapping can't be a key")
        if key.tag != TEXT:
            raise InputError(f"{location}: key {key.value!r} is not text to YAML; put it in quotes")
        if key.value in seen:
            raise InputError(f"{location}: key {key.value!r} appears twice")
        seen.add(key.value)


_MUST_BE = {
    "dict_type": "a mapping of keys and values",
    "model_type": "a mapping of keys and values",
    "list_type": "a list",
    "tuple_type": "a list",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
}


def _plain(value: object) -> object:
    """A whole number without its point."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def problem_of(item: Mapping[str, Any]) -> str:
    """What a value must be, from one of pydantic's errors."""
    words = _MUST_BE.get(item["type"])
    if words:
        bounds = {key: _plain(value) for key, value in item.get("ctx", {}).items()}
        return f"must be {words.format(**bounds)}"
    told = str(item["msg"]).removeprefix("Value error, ")
    return told.replace("Input should be", "must be", 1)
