"""What another user owns or may write, root neither trusts nor changes. He is uid 65534."""

import os
from pathlib import Path

import pytest
from tests.unit.env.prep.roots import make_host, snapshot

from dsr1.hosts.agent.prep.journal import JournalStore

OTHER = 65534
JOURNAL = "var/lib/dsr1/prep"
PLACES = (
    "var",
    "var/lib",
    "var/lib/dsr1",
    JOURNAL,
    f"{JOURNAL}/originals",
    f"{JOURNAL}/journal.json",
)
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a second user's files take root to make")


def give(path: Path, how: str) -> None:
    if how == "own":
        os.chown(path, OTHER, OTHER)
    else:
        path.chmod(0o777)


@pytest.mark.parametrize("how", ["own", "mode"])
@pytest.mark.parametrize("place", PLACES)
def test_a_journal_that_another_could_have_written(tmp_path: Path, place: str, how: str) -> None:
    host = make_host(tmp_path)
    host.apply(["ibgda.params"])
    give(tmp_path / place, how)
    before, ran = snapshot(tmp_path / "etc"), len(host.ran)
    for report in (host.undo(), host.apply()):
        assert [outcome.state for outcome in report.outcomes] == ["refused"]
        assert "must be root's alone to write" in report.outcomes[0].problem
    assert (snapshot(tmp_path / "etc"), len(host.ran)) == (before, ran)


def test_a_journals_folder_that_is_a_link_of_his(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    (tmp_path / "his/prep/originals").mkdir(parents=True)
    (tmp_path / "var/lib/dsr1").symlink_to(tmp_path / "his")
    os.lchown(tmp_path / "var/lib/dsr1", OTHER, OTHER)
    assert [outcome.state for outcome in host.apply().outcomes] == ["refused"]


def test_an_original_that_is_not_as_it_was_kept(tmp_path: Path) -> None:
    """By whoever could, once: what root writes back is what it took away."""
    host = make_host(tmp_path)
    host.apply(["ibgda.params"])
    kept = next(edit for edit in JournalStore(tmp_path).read().edits if edit.backup)
    JournalStore(tmp_path).original(kept.backup).write_text("options nvidia his=1\n")
    outcome = next(one for one in host.undo().outcomes if one.what == kept.path)
    assert (outcome.state, "is not as it was kept" in outcome.problem) == ("failed", True)
    assert "his=1" not in (tmp_path / kept.path.lstrip("/")).read_text()


@pytest.mark.parametrize("how", ["own", "mode"])
def test_a_folder_of_files_that_another_may_write_to(tmp_path: Path, how: str) -> None:
    host = make_host(tmp_path)
    give(tmp_path / "etc/modprobe.d", how)
    before = snapshot(tmp_path / "etc/modprobe.d")
    states = {outcome.what: outcome.state for outcome in host.apply(["ibgda.params"]).outcomes}
    assert states["/etc/modprobe.d/nvidia.conf"] == "refused"
    assert snapshot(tmp_path / "etc/modprobe.d") == before
