"""Whatever a file holds, it is refused with a message, or imported whole: no traceback, and nothing
dropped unsaid."""

import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.launcher.importing.mutation import mutate_text, mutate_tree

from dsr1.hosts.errors import InputError
from dsr1.launcher.importing.importer import Imported, import_manifest
from dsr1.launcher.importing.proof import prove
from dsr1.launcher.importing.rendering import (
    imported_values,
    one_line,
    render_imported_recipe,
    render_notes,
)

MANIFESTS = sorted((Path(__file__).parents[3] / "data" / "manifests").glob("*.yaml"))
ROUNDS = 30


def imported_or_refused(text: str) -> Imported | str:
    try:
        result = import_manifest(text, "f.yaml", keep_unknown=True)
        prove(result, render_imported_recipe(result, "f.yaml"), "f.yaml")
    except InputError as error:
        return str(error)
    return result


def judge(text: str) -> bool:
    """Whether it was imported."""
    result = imported_or_refused(text)
    if isinstance(result, str):
        assert result.startswith("f.yaml")
        return False
    rendered = render_imported_recipe(result, "f.yaml")
    assert yaml.safe_load(rendered) == result.recipe
    assert all(one_line(line).isprintable() for line in render_notes(result.notes))
    assert str(imported_values(result))
    spoken_of = {(place.document, place.path) for note in result.notes for place in note.places}
    for number, document in enumerate(yaml.compose_all(text, yaml.CSafeLoader), start=1):
        is_nothing = isinstance(document, yaml.ScalarNode) and document.value in ("", "null", "~")
        for path in () if is_nothing else _paths(document):
            assert any((number, path[:end]) in spoken_of for end in range(len(path) + 1)), path
    return True


def _paths(node: Any) -> list[tuple[str | int, ...]]:
    if isinstance(node, yaml.MappingNode):
        pairs = [(key.value, value) for key, value in _merged(node)]
        below = [(key, *path) for key, value in pairs for path in _paths(value)]
    elif isinstance(node, yaml.SequenceNode):
        below = [(index, *path) for index, value in enumerate(node.value) for path in _paths(value)]
    else:
        return [()]
    return below or [()]


def _merged(node: yaml.MappingNode) -> list[tuple[Any, Any]]:
    own = [(key, value) for key, value in node.value if key.value != "<<"]
    names = {key.value for key, _ in own}
    merged = [pair for key, value in node.value if key.value == "<<" for pair in _merged(value)]
    return [*own, *((key, value) for key, value in merged if key.value not in names)]


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.stem)
@pytest.mark.parametrize("seed", range(2))
def test_mutated_trees(file: Path, seed: int) -> None:
    chance = random.Random(f"{file.name} {seed}")
    outcomes = []
    for _ in range(ROUNDS):
        documents = list(yaml.safe_load_all(file.read_text()))
        for _ in range(chance.randrange(1, 5)):
            mutate_tree(documents, chance)
        text = yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True)
        outcomes.append(judge(text))
    assert True in outcomes
    assert False in outcomes


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.stem)
@pytest.mark.parametrize("seed", range(2))
def test_mutated_texts(file: Path, seed: int) -> None:
    chance = random.Random(f"{file.name} {seed}")
    outcomes = []
    for _ in range(ROUNDS):
        text = file.read_text()
        for _ in range(chance.randrange(1, 4)):
            text = mutate_text(text, chance)
        outcomes.append(judge(text))
    assert True in outcomes
    assert False in outcomes
