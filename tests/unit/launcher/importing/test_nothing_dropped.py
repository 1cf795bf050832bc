"""Every value of a manifest is in the recipe, or spoken of where it stands."""

import json
from typing import Any

import pytest
import yaml
from tests.unit.launcher.importing.generated import Maker

from dsr1.launcher.importing.importer import import_manifest
from dsr1.launcher.importing.manifest.ledger import NoteKind
from dsr1.launcher.importing.rendering import imported_values, render_imported_recipe


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    below = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [leaf for key, child in below for leaf in leaves(child, (*path, key))] or [(path, value)]


@pytest.mark.parametrize("seed", range(40))
def test_generated_manifests(seed: int) -> None:
    documents = Maker(seed).manifest()
    result = import_manifest(yaml.safe_dump_all(documents, sort_keys=False), "f.yaml")
    recipe = json.dumps(yaml.safe_load(render_imported_recipe(result, "f.yaml")))
    kinds = {
        (place["document"], tuple(place["keys"])): note["kind"]
        for note in imported_values(result)["notes"]
        for place in note["places"]
    }
    for number, document in enumerate(documents, start=1):
        for path, value in leaves(document):
            said = [kinds.get((number, path[:end])) for end in range(len(path) + 1)]
            assert any(said), f"{path}: {value} is dropped"
            if (
                "unique" in str(value)
                and set(said) <= {None, NoteKind.USED.value}
                and len(str(value)) < 40
            ):
                assert str(value).lower() in recipe.lower(), f"{path}: {value} is said to be used"


def test_a_value_in_a_script_is_in_the_recipe() -> None:
    for seed in range(40):
        documents = Maker(seed).manifest()
        text = yaml.safe_dump_all(documents, sort_keys=False)
        result = import_manifest(text, "f.yaml")
        for path, value in leaves(documents):
            if "args" in path:
                words = [
                    word for word in str(value).replace("\\\n", " ").split() if "unique" in word
                ]
                assert all(word in json.dumps(result.recipe) for word in words)


def test_unknown_keys_are_called_so() -> None:
    text = yaml.safe_dump_all(
        [
            {
                "apiVersion": "nvidia.com/v1alpha1",
                "kind": "DynamoGraphDeployment",
                "metadata": {"name": "a"},
                "spec": {
                    "services": {
                        "Worker": {
                            "replica": 2,
                            "extraPodSpec": {
                                "mainContainer": {"args": ["--model", "m"], "envv": [{"name": "A"}]}
                            },
                        }
                    }
                },
            }
        ]
    )
    unknown = [
        note for note in import_manifest(text, "f.yaml").notes if note.kind is NoteKind.NOT_KNOWN
    ]
    assert [note.places[0].path[-1] for note in unknown] == ["envv", "replica"]
