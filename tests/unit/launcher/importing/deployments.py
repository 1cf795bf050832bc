"""Manifests of the tests, imported, and what was said of them."""

import json
from pathlib import Path
from typing import Any

from dsr1.launcher.importing.importer import Imported, import_manifest
from dsr1.launcher.importing.manifest.ledger import NoteKind

MANIFESTS = Path(__file__).parents[3] / "data" / "manifests"


ALL = sorted(file.name for file in MANIFESTS.glob("*.yaml"))


def imported(name: str) -> Imported:
    return import_manifest((MANIFESTS / name).read_text(), name)


def notes_of(result: Imported, kind: NoteKind) -> str:
    return "\n".join(note.text for note in result.notes if note.kind is kind)


def scripted(script: str) -> Imported:
    service = worker()
    service["extraPodSpec"]["mainContainer"] = {"command": ["bash", "-c"], "args": [script]}
    return deployed(decode=service)


def worker(*args: str, **more: Any) -> dict[str, Any]:
    return {
        "componentType": "worker",
        **more,
        "extraPodSpec": {"mainContainer": {"args": ["--model", "m", *args]}},
    }


def deployed(**services: dict[str, Any]) -> Imported:
    head = {
        "apiVersion": "nvidia.com/v1alpha1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": "a"},
    }
    return import_manifest(json.dumps({**head, "spec": {"services": services}}), "f.yaml")
