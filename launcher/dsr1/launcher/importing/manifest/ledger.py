"""What became of every value of a manifest: used, rewritten, left out, to be set by the user, or
not known."""

from collections.abc import Iterator, Mapping
from dataclasses import field
from enum import Enum

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.importing.manifest.tree import Place, YamlText, YamlValue, children_of, leaves


class NoteKind(Enum):
    """In the order in which a user wants to read them."""

    TO_SET = "to set"
    NOT_KNOWN = "not known"
    REWRITTEN = "rewritten"
    LEFT_OUT = "left out"
    USED = "used"


@dataclass(frozen=True, slots=True)
class Note:
    """What became of the values at one or several places. `key` is the recipe's key that it
    concerns, if there is one.
    """

    kind: NoteKind
    places: tuple[Place, ...]
    text: str
    key: str = ""


@dataclass(slots=True)
class Ledger:
    """Collects notes; a value that no note covers, nor one of what is around it, is found by
    `sweep`."""

    notes: list[Note] = field(default_factory=list)

    def use(self, key: str, *places: Place) -> None:
        if places:
            self._add(NoteKind.USED, places, "", key)

    def rewrite(self, text: str, key: str, *places: Place) -> None:
        self._add(NoteKind.REWRITTEN, places, text, key)

    def leave(self, text: str, *places: Place) -> None:
        self._add(NoteKind.LEFT_OUT, places, text)

    def ask(self, text: str, key: str, *places: Place) -> None:
        self._add(NoteKind.TO_SET, places, text, key)

    def sweep(self, root: YamlValue, reasons: Mapping[str, str]) -> None:
        """Report what no note covers, at the highest value of which no part is: with the
        reason of the nearest key around it that has one, or as not known.
        """
        covered = {(place.document, place.path) for note in self.notes for place in note.places}
        for value in _untouched(root, covered, _touched(covered)):
            for part in _parts(value, reasons):
                key = _reasoned_key(part, reasons)
                if _is_empty(part):
                    self._add(
                        NoteKind.LEFT_OUT, (part.place,), f"{part.place.path[-1]}: nothing is in it"
                    )
                elif key:
                    self._add(NoteKind.LEFT_OUT, (part.place,), f"{key}: {reasons[key]}")
                else:
                    self._add(
                        NoteKind.NOT_KNOWN,
                        (part.place,),
                        f"{part.place.path[-1]!r}: {_UNKNOWN}" if part.place.path else _UNKNOWN,
                    )

    def _add(self, kind: NoteKind, places: tuple[Place, ...], text: str, key: str = "") -> None:
        self.notes.append(Note(kind, places, text, key))


_UNKNOWN = "dsr1 does not know this key"
_Covered = set[tuple[int, tuple[str | int, ...]]]


def _touched(covered: _Covered) -> _Covered:
    """What was spoken of, and all that lies around it."""
    return {(document, path[:end]) for document, path in covered for end in range(len(path) + 1)}


def _untouched(value: YamlValue, covered: _Covered, touched: _Covered) -> Iterator[YamlValue]:
    here = (value.place.document, value.place.path)
    if here in covered:
        return
    if here not in touched:
        yield value
        return
    for child in children_of(value):
        yield from _untouched(child, covered, touched)


def _reasoned_key(value: YamlValue, reasons: Mapping[str, str]) -> str:
    """The nearest key around a value, its own first, that has a reason."""
    return next(
        (key for key in reversed(value.place.path) if isinstance(key, str) and key in reasons), ""
    )


def _parts(value: YamlValue, reasons: Mapping[str, str]) -> Iterator[YamlValue]:
    """The value as a whole; or its parts, where only they have a reason."""
    below = [set(leaf.place.path[len(value.place.path) :]) for leaf in leaves(value)]
    if _reasoned_key(value, reasons) or not any(keys & reasons.keys() for keys in below):
        yield value
        return
    for child in children_of(value):
        yield from _parts(child, reasons)


def _is_empty(value: YamlValue) -> bool:
    is_nothing = value.is_null if isinstance(value, YamlText) else not value.values
    return is_nothing and bool(value.place.path)
