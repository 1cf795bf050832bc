"""A YAML text as trees that know their lines, bounded in depth, size and what aliases make of it.
Pure."""

from collections.abc import Iterable, Iterator
from typing import NoReturn

import yaml

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 60
_MOST_VALUES = 50_000
_TAGS = {
    f"tag:yaml.org,2002:{name}"
    for name in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq")
}
_NULLS = ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: its file, its document (from 1), its line (from 1) and the keys that
    lead to it."""

    source: str
    document: int
    line: int
    path: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        keys = "".join(_step(key) for key in self.path).removeprefix(".")
        document = f"document {self.document}" if self.document > 1 or not keys else ""
        return ": ".join(filter(None, (document, keys)))

    def below(self, key: str | int, line: int) -> "Place":
        return Place(self.source, self.document, line, (*self.path, key))


def refuse(place: Place, why: str) -> NoReturn:
    """Raises InputError that names file, line and key."""
    raise InputError(f"{place.source}:{place.line}: {place}: {why}")


def _step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if key.replace("-", "").replace("_", "").isalnum() else f"[{key!r}]"


@dataclass(frozen=True, slots=True)
class YamlText:
    """Text, as written. `plain` is without quotes; `first_line` is the line of its first
    character."""

    place: Place
    text: str
    plain: bool = False
    first_line: int = 0

    @property
    def is_null(self) -> bool:
        return self.plain and self.text in _NULLS


@dataclass(frozen=True, slots=True)
class YamlList:
    place: Place
    values: tuple["YamlValue", ...] = ()


@dataclass(frozen=True, slots=True)
class YamlMapping:
    place: Place
    values: dict[str, "YamlValue"]

    def get(self, *keys: str) -> "YamlValue | None":
        """The value below these keys, or None where one is missing or null."""
        value: YamlValue | None = self
        for key in keys:
            value = value.values.get(key) if isinstance(value, YamlMapping) else None
        return None if isinstance(value, YamlText) and value.is_null else value

    def fields(self, *keys: str) -> "YamlMapping":
        """The mapping below these keys; an empty one where there is none."""
        found = self.get(*keys)
        return found if isinstance(found, YamlMapping) else YamlMapping(self.place, {})

    def items(self, *keys: str) -> tuple["YamlValue", ...]:
        """The list below these keys; an empty one where there is none."""
        found = self.get(*keys)
        return found.values if isinstance(found, YamlList) else ()

    def text(self, *keys: str) -> str:
        """The text below these keys; nothing where there is none."""
        found = self.get(*keys)
        return found.text if isinstance(found, YamlText) else ""


YamlValue = YamlText | YamlList | YamlMapping


def leaves(value: YamlValue) -> Iterator[YamlValue]:
    """Every scalar, and every list and mapping that is empty."""
    children = children_of(value)
    for child in children:
        yield from leaves(child)
    if not children:
        yield value


def children_of(value: YamlValue) -> tuple[YamlValue, ...]:
    if isinstance(value, YamlText):
        return ()
    return value.values if isinstance(value, YamlList) else tuple(value.values.values())


def parse_documents(text: str, source: str) -> tuple[YamlValue, ...]:
    """All documents of a text that aren't empty. Raises InputError that names source and line."""
    try:
        return tuple(_Builder(text, source).documents())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(
            f"{source}{line}: not YAML: {getattr(error, 'problem', None) or error}"
        ) from None


@dataclass(frozen=True, slots=True)
class _Node:
    """A value before it has a place: aliases share it. `keys` is None for a list."""

    line: int
    text: str | None = None
    style: str = ""
    keys: tuple[str, ...] | None = None
    children: tuple["_Node", ...] = ()


class _Builder:
    """From the parser's events, one by one, so that no depth or size of the file is met
    unguarded."""

    def __init__(self, text: str, source: str) -> None:
        self._events = yaml.parse(text, Loader=_LOADER)
        self._source = source
        self._anchors: dict[str, _Node] = {}
        self._left = _MOST_VALUES

    def documents(self) -> Iterator[YamlValue]:
        number = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                number += 1
                self._anchors = {}
                node = self._node(next(self._events), 0)
                if node.text is None or node.text not in _NULLS:
                    yield self._placed(node, Place(self._source, number, node.line))

    def _node(self, event: yaml.Event, depth: int) -> _Node:
        line = (event.start_mark.line if event.start_mark else 0) + 1
        if depth > _DEEPEST:
            self._refuse(line, f"nested deeper than {_DEEPEST} levels, so it is not a manifest")
        if isinstance(event, yaml.AliasEvent):
            known = self._anchors.get(str(event.anchor))
            return known or self._refuse(line, f"alias *{event.anchor} has no anchor before it")
        assert isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent)
        if event.tag not in (None, "!", *_TAGS):
            allowed = "only YAML's own tags of texts, numbers, lists and mappings are allowed"
            self._refuse(line, f"tag {event.tag!r}: {allowed}")
        node = self._content(event, line, depth)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _content(self, event: yaml.Event, line: int, depth: int) -> _Node:
        if isinstance(event, yaml.ScalarEvent):
            if not event.value.isascii() and any(
                "\ud800" <= char <= "\udfff" for char in event.value
            ):
                self._refuse(line, "half of a surrogate pair is not text")
            return _Node(line, event.value, event.style or "")
        if isinstance(event, yaml.SequenceStartEvent):
            return _Node(line, children=tuple(self._until(yaml.SequenceEndEvent, depth)))
        nodes = list(self._until(yaml.MappingEndEvent, depth))
        return self._mapping(line, nodes[::2], nodes[1::2])

    def _until(self, end: type[yaml.Event], depth: int) -> Iterator[_Node]:
        for event in self._events:
            if isinstance(event, end):
                return
            yield self._node(event, depth + 1)

    def _mapping(self, line: int, keys: list[_Node], values: list[_Node]) -> _Node:
        found: dict[str, _Node] = {}
        merged: dict[str, _Node] = {}
        for key, value in zip(keys, values, strict=True):
            if key.text is None:
                self._refuse(key.line, "a key is a list or a mapping")
            elif key.text == "<<" and not key.style:
                merged = {**self._merged(value), **merged}
            elif key.text in found:
                self._refuse(key.line, f"key {key.text!r} appears twice")
            else:
                found[key.text] = value
        found = {**merged, **found}
        return _Node(line, keys=tuple(found), children=tuple(found.values()))

    def _merged(self, value: _Node) -> dict[str, _Node]:
        sources = (value,) if value.keys is not None else value.children
        found: dict[str, _Node] = {}
        for source in reversed(sources):
            if source.keys is None:
                self._refuse(value.line, "<< must be followed by a mapping")
            found |= dict(zip(source.keys or (), source.children, strict=True))
        return found

    def _placed(self, node: _Node, place: Place) -> YamlValue:
        self._left -= 1
        if self._left < 0:
            self._refuse(
                node.line,
                f"more than {_MOST_VALUES} values once aliases are followed, so it is not a"
                " manifest",
            )
        if node.text is not None:
            first = node.line + (node.style in ("|", ">"))
            return YamlText(place, node.text, not node.style, first)
        keys: Iterable[str | int] = range(len(node.children)) if node.keys is None else node.keys
        pairs = list(zip(keys, node.children, strict=True))
        placed = [(key, self._placed(child, place.below(key, child.line))) for key, child in pairs]
        if node.keys is None:
            return YamlList(place, tuple(value for _, value in placed))
        return YamlMapping(place, {str(key): value for key, value in placed})

    def _refuse(self, line: int, why: str) -> NoReturn:
        raise InputError(f"{self._source}:{line}: {why}")
