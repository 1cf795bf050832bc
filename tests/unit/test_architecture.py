"""What a newcomer reads of the house is true: the paths that the pages name are there, and all rooms are named."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("docs/architecture.md", "CONTRIBUTING.md")
PATH = re.compile(r"`((?:launcher|hosts|env|slurm|tests|docs)/[\w./-]*)`")

ROW = re.compile(r"\| `((?:launcher|hosts|env|slurm)/[\w./-]+\.py)` \| `(\w+)` \|")


def test_the_functions_of_a_launch_are_where_the_picture_has_them() -> None:
    rows = ROW.findall((ROOT / "docs/architecture.md").read_text())
    assert len(rows) > 20
    for path, name in rows:
        assert re.search(rf"^ *(?:def|class) {name}\b", (ROOT / path).read_text(), re.MULTILINE), (
            path,
            name,
        )


@pytest.mark.parametrize("page", PAGES)
def test_the_paths_of_a_page_exist(page: str) -> None:
    named = PATH.findall((ROOT / page).read_text())
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("root", ["launcher", "hosts"])
def test_every_room_is_in_the_picture(root: str) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    source = ROOT / root / "dsr1" / root
    rooms = sorted(file.parent.name for file in source.glob("*/__init__.py"))
    assert [room for room in rooms if f"{room}/`" not in text] == []
