"""The example of docs/import.md is what the command gives."""

import re
from pathlib import Path

from dsr1.launcher.importing.importer import import_manifest
from dsr1.launcher.importing.proof import prove
from dsr1.launcher.importing.rendering import render_imported_recipe

PAGE = Path(__file__).parents[4] / "docs" / "import.md"


def test_before_and_after() -> None:
    before, after = re.findall(r"```yaml\n(.*?)```\n", PAGE.read_text(), re.DOTALL)
    result = import_manifest(before, "deploy.yaml")
    assert render_imported_recipe(result, "deploy.yaml") == after
    assert prove(result, after, "deploy.yaml") == 4
