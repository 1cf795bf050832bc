"""The pages: every shell block is tried or says why not, and the site takes any page."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from tests import tried
from tests.docs.blocks import MARK, ROOT, pages, read_blocks, shell_blocks


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_shell_block_says_how_it_is_tried(page: Path) -> None:
    """See tests/docs/blocks.py for what a block may say in the line before it."""
    assert [block.place for block in shell_blocks(page) if not block.mark] == []


def test_what_runs_the_same_is_there() -> None:
    files = {
        found["file"]
        for page in pages()
        for block in shell_blocks(page)
        if (found := MARK.match(f"<!-- {block.mark} -->"))
    }
    assert [file for file in files - {None} if not (ROOT / file).exists()] == []


def test_blocks_are_found_with_their_marks() -> None:
    marked = "<!-- run -->\n\n```sh\na\n```\n"
    others = "```yaml\nb: 1\n```\nwords\n```\nc\n```\n"
    tildes = "<!-- needs GPUs -->\n~~~bash\n```\nd\n~~~\n"
    text = marked + others + tildes
    found = [(block.line, block.mark, block.text) for block in read_blocks("p", text)]
    assert found == [(3, "run", "a"), (10, "", "c"), (14, "needs GPUs", "```\nd")]


def test_the_site_takes_any_page(hooks: ModuleType) -> None:
    nav = hooks.make_nav(
        [
            "zebra.md",
            "index.md",
            "recipes/b.md",
            "recipes/a.md",
            "checks.md",
            "aaa.md",
            "recipes.md",
        ]
    )
    assert nav[:2] == ["index.md", {"Recipes": ["recipes.md", "recipes/a.md", "recipes/b.md"]}]
    assert nav[2:] == ["checks.md", "aaa.md", "zebra.md"]
    assert hooks.make_nav(["index.md", "new/a.md", "aaa.md"]) == [
        "index.md",
        "aaa.md",
        {"New": ["new/a.md"]},
    ]


def test_pages_are_grouped(hooks: ModuleType) -> None:
    entries = [
        "index.md",
        {"Recipes": ["recipes.md", "recipes/a.md"]},
        "runs.md",
        "json.md",
        "new.md",
    ]
    assert hooks.group_nav(entries) == [
        "index.md",
        {"Start": [{"Recipes": ["recipes.md", "recipes/a.md"]}]},
        {"Operate": ["runs.md"]},
        {"Reference": ["json.md", "new.md"]},
    ]


def test_every_page_is_in_a_group(hooks: ModuleType) -> None:
    top = {page.name for page in (ROOT / "docs").glob("*.md")}
    assert top <= set(hooks.ORDER)


def test_a_cell_has_the_name_of_its_column(hooks: ModuleType) -> None:
    head = '<table><tr><th>key</th><th><code>a</code> &lt; "b"</th><th></th></tr>'
    told = hooks.on_page_content(f'{head}<tr><td>1</td><td id="x">2</td><td>3</td></tr></table>')
    assert '<td>1</td><td data-label="a &lt; &quot;b&quot;" id="x">2</td><td>3</td>' in told
    assert hooks.on_page_content("<p>no <td</p>") == "<p>no <td</p>"


def test_typers_cut_lists_are_left_out(hooks: ModuleType) -> None:
    told = (
        "# `dsr1`\n\n**Options**:\n\n* `--help`: Show.\n\n**Commands**:\n\n* `a`: cut...\n\n##"
        " `dsr1 a`\n"
    )
    assert hooks.shorten(told).split() == ["#", "Command", "reference", "##", "`dsr1", "a`"]


def test_every_row_of_the_threat_model_names_tests_that_are_there() -> None:
    page = (ROOT / "docs" / "threat-model.md").read_text()
    rows = page.partition("## Who, what for")[2].partition("\n\n## ")[0].splitlines()[4:]
    table = [row for row in rows if row.startswith("|")]
    named = [re.findall(r"`([a-z_/]+(?:\.py|/))`", row.split("|")[-2]) for row in table]
    assert len(table) > 10
    assert all(named)
    assert [one for row in named for one in row if not (ROOT / "tests" / one).exists()] == []


def test_the_table_of_tried_versions_is_that_of_the_captures() -> None:
    """`python -m tests.tried` writes it anew."""
    assert tried.PAGE.read_text() == tried.written(tried.PAGE.read_text())
    assert tried.render_tried().count("\n") >= 5
