"""The site as a reader gets it, and the blocks of its pages that a machine without GPUs can run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.blocks import ROOT, Block, pages, shell_blocks

from dsr1.launcher.metrics.prometheus.rules import RULES
from dsr1.launcher.preflight.preflight import CHECKS
from dsr1.launcher.triage.rules import load_rules

BIN = Path(sys.executable).parent
RUNNABLE = [block for page in pages() for block in shell_blocks(page) if block.mark == "run"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make docs` does it: a warning is an error."""
    made = tmp_path_factory.mktemp("site")
    argv = (str(BIN / "mkdocs"), "build", "--quiet", "--strict", "--site-dir", str(made))
    env = os.environ | {"NO_MKDOCS_2_WARNING": "true"}
    done = subprocess.run(
        argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return made


def test_every_check_has_an_anchor(site: Path) -> None:
    anchors = set(re.findall(r'<h2 id="([^"]+)"', (site / "checks.html").read_text()))
    assert {check.replace(".", "") for check in CHECKS} <= anchors


def test_every_command_is_in_the_reference(site: Path) -> None:
    page = (site / "commands.html").read_text()
    for command in ("launch", "stop", "check", "model fetch", "model verify"):
        assert f"<code>dsr1 {command}</code>" in page


def test_every_rule_of_a_failure_has_its_row(site: Path) -> None:
    anchors = set(re.findall(r'<a id="([^"]+)"', (site / "causes.html").read_text()))
    assert anchors == {rule.link.partition("#")[2] for rule in load_rules()}


def test_what_messages_and_code_name_is_a_page(site: Path) -> None:
    """`docs/PAGE.md#ANCHOR`, wherever it stands: mkdocs itself looks at links of pages alone."""
    folders = (ROOT / name for name in ("launcher", "env", "hosts", "slurm", "tests", "bench"))
    files = [file for folder in folders for file in folder.rglob("*.*") if file.suffix in KINDS]
    named = {found for file in files for found in NAMED.findall(file.read_text())}
    assert len(named) > 9
    gone = [page for page, _ in named if not (site / f"{page}.html").is_file()]
    assert gone == []
    assert [one for one in named if one[1] and one[1] not in anchors_of(site, one[0])] == []


KINDS = (".py", ".yaml", ".j2")
NAMED = re.compile(r"docs/([a-z-]+)\.md(?:#([a-z0-9_.-]+))?")


def anchors_of(site: Path, page: str) -> set[str]:
    return set(re.findall(r'\bid="([^"]+)"', (site / f"{page}.html").read_text()))


def test_every_alert_has_its_line(site: Path) -> None:
    page = (site / "metrics.html").read_text()
    assert [rule.name for rule in RULES if f"<code>{rule.name}</code>" not in page] == []


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """A site that is read on a cluster without the internet."""
    loaded = r'<(?:script|link|img)[^>]+(?:src|href)="?(https?://[^">\s]+)'
    found = {
        address for page in site.glob("*.html") for address in re.findall(loaded, page.read_text())
    }
    assert found == set()


@pytest.mark.parametrize("block", RUNNABLE, ids=lambda block: block.place)
def test_a_block_runs_as_it_stands(block: Block, tmp_path: Path) -> None:
    """Not in the checkout: some write a file."""
    (tmp_path / ".cache").symlink_to(ROOT / ".cache")
    env = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "DSR1_STATE_DIR": str(tmp_path)}
    argv = ("bash", "-euo", "pipefail", "-c", block.text)
    done = subprocess.run(
        argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
