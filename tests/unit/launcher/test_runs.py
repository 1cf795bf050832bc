"""What a run's folder keeps."""

from pathlib import Path

import pytest

from dsr1.hosts.errors import LaunchFailed
from dsr1.hosts.facts.fact import Fact
from dsr1.launcher.runs import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_facts_that_a_run_was_planned_from(run: Run) -> None:
    facts = {"a": {"clock.now": Fact(1.5, "time"), "ib.ports": Fact(None, "sysfs", "gone")}}
    run.save_facts(facts)
    assert run.facts() == facts


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": {"b": 1}}', "\udcff"])
def test_facts_that_cannot_be_read_name_their_file(run: Run, text: str) -> None:
    (run.folder / "facts.json").write_text(text, errors="surrogateescape")
    with pytest.raises(LaunchFailed, match=r"facts\.json: can't be read"):
        run.facts()
