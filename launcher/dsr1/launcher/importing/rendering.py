"""An imported recipe as YAML with its notes as comments, as lines for a person, and as JSON. Pure.

Whatever a manifest says stays a value: scalars are quoted by the YAML library, and a comment is one
printable line.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dsr1.launcher.importing.importer import Imported
from dsr1.launcher.importing.manifest.ledger import Note, NoteKind
from dsr1.launcher.importing.manifest.tree import Place
from dsr1.launcher.recipe.render import yaml_line
from dsr1.launcher.terminal import escape_line

_MOST_LINES = 8
_MOST_COMMENTS = 500
_HEADINGS = {
    NoteKind.TO_SET: "To set by you",
    NoteKind.NOT_KNOWN: "Not known to dsr1",
    NoteKind.REWRITTEN: "Rewritten",
    NoteKind.LEFT_OUT: "Left out",
}


def render_imported_recipe(imported: Imported, source: str) -> str:
    """YAML that loads as a recipe: what was left out on top, what was rewritten beside its key."""
    beside: list[Note] = []
    on_top: list[Note] = []
    for note in imported.notes:
        is_beside = note.kind is NoteKind.REWRITTEN and _holds(imported.recipe, note.key)
        (beside if is_beside else on_top).append(note)
    notes = list(render_notes(on_top))
    more = (
        [f"{len(notes) - _MOST_COMMENTS} notes more: dsr1 import --json"]
        if notes[_MOST_COMMENTS:]
        else []
    )
    lines = [f"Imported by dsr1 from {source}.", *notes[:_MOST_COMMENTS], *more]
    comments: dict[str, list[str]] = {}
    for note in beside:
        comments.setdefault(note.key, []).append(_sentence(note))
    body = _mapping(imported.recipe, "", 0, comments)
    return "\n".join((*(_comment(line) for line in lines), *body)) + "\n"


def _comment(line: str) -> str:
    return f"# {one_line(line)}".rstrip()


def one_line(text: str) -> str:
    """One line: what is no printable character is written as Python escapes it."""
    return escape_line(text).replace("\t", "\\t")


def _holds(recipe: Mapping[str, Any], key: str) -> bool:
    value: Any = recipe
    for step in key.split("."):
        if not isinstance(value, Mapping) or step not in value:
            return False
        value = value[step]
    return bool(key)


def _mapping(
    values: Mapping[str, Any], above: str, depth: int, comments: Mapping[str, list[str]]
) -> Iterator[str]:
    indent = "  " * depth
    for name, value in values.items():
        key = f"{above}.{name}" if above else name
        yield from (f"{indent}{_comment(text)}" for text in dict.fromkeys(comments.get(key, ())))
        if isinstance(value, Mapping) and value:
            yield f"{indent}{yaml_line(name)}:"
            yield from _mapping(value, key, depth + 1, comments)
        else:
            yield f"{indent}{yaml_line(name)}: {yaml_line(value)}"


def render_notes(notes: Iterable[Note]) -> Iterator[str]:
    """By what became of it, what a user must do first; equal words of several places together."""
    by_kind: dict[NoteKind, dict[str, list[Note]]] = {}
    for note in notes:
        by_kind.setdefault(note.kind, {}).setdefault(note.text, []).append(note)
    for kind, heading in _HEADINGS.items():
        if kind in by_kind:
            yield f"{heading}:"
            yield from (f"  {_line(text, found)}" for text, found in by_kind[kind].items())


def _line(text: str, notes: list[Note]) -> str:
    places: dict[int, Place] = {}
    for note in notes:
        for place in note.places[:1]:
            places.setdefault(place.line, place)
    if not places:
        return text
    first, *others = places.values()
    lines = ", ".join(str(place.line) for place in others[:_MOST_LINES]) + (
        ", ..." if others[_MOST_LINES:] else ""
    )
    more = f" and line{'s' if len(others) > 1 else ''} {lines}" if others else ""
    return f"{text} (line {first.line}, {first}{more})"


def _sentence(note: Note) -> str:
    return f"{note.text} (line {note.places[0].line})" if note.places else note.text


def imported_values(imported: Imported) -> dict[str, Any]:
    """The recipe, and every note: what became of it, where it stands, which key of the recipe it
    concerns."""
    notes = [
        {
            "kind": note.kind.value,
            "text": note.text,
            "key": note.key,
            "places": [
                {"document": p.document, "line": p.line, "keys": list(p.path)} for p in note.places
            ],
        }
        for note in imported.notes
    ]
    return {"recipe": imported.recipe, "notes": notes}
