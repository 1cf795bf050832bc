"""Applied on a host's file tree and cut anywhere: it goes on, and a journal that is spoilt hides
nothing."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.unit.env.prep.roots import FakeHost, make_host, snapshot, write

from dsr1.hosts.agent.prep.apply import apply
from dsr1.hosts.agent.prep.journal import JournalStore
from dsr1.hosts.agent.prep.undo import undo

# The kernel's own: their times mean nothing, and a module stays loaded.
VOLATILE = ("proc/",)


class Cut(BaseException):
    """The power went."""


def cut_at(host: FakeHost, place: int) -> Callable[[Sequence[str]], str]:
    """A run that ends with its `place`-th command."""

    def run(argv: Sequence[str]) -> str:
        if len(host.ran) == place:
            raise Cut
        return host.run(argv)

    return run


@pytest.mark.parametrize("place", range(8))
def test_cut_anywhere_a_second_apply_goes_on(tmp_path: Path, place: int) -> None:
    host, whole = make_host(tmp_path / "cut"), make_host(tmp_path / "whole")
    before = snapshot(host.root, *VOLATILE)
    with pytest.raises(Cut):
        apply(host.decide().steps, host.root, cut_at(host, place))
    assert host.apply().bad == ()
    whole.apply()
    etc = "proc/", "var/"
    plain = [
        {path: told[:4] for path, told in snapshot(one.root, *etc).items()} for one in (host, whole)
    ]
    assert plain[0] == plain[1]
    assert set(host.ran) == set(whole.ran)
    assert host.undo().bad == ()
    assert snapshot(host.root, *VOLATILE) == before


def test_cut_between_the_journal_and_the_file(tmp_path: Path) -> None:
    """The journal tells of an edit that never came to be, and of one that did."""
    host = make_host(tmp_path)
    before = snapshot(tmp_path, *VOLATILE)
    host.apply()
    (tmp_path / "etc/modprobe.d/zz-dsr1.conf").unlink()
    host.apply()
    store = JournalStore(tmp_path)
    assert len(store.read().edits) == len({kept.path for kept in store.read().edits})
    (tmp_path / "etc/modprobe.d/zz-dsr1.conf").unlink()
    assert host.undo().bad == ()
    assert snapshot(tmp_path, *VOLATILE) == before


def test_undo_cut_goes_on(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    before = snapshot(tmp_path, *VOLATILE)
    host.apply()
    for place in range(len(host.ran), len(host.ran) + 3):
        with pytest.raises(Cut):
            undo(tmp_path, cut_at(host, place))
    assert host.undo().bad == ()
    assert snapshot(tmp_path, *VOLATILE) == before


def test_a_spoilt_journal_is_not_written_over(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    host.apply()
    write(tmp_path, "var/lib/dsr1/prep/journal.json", "{")
    then = snapshot(tmp_path)
    assert [outcome.state for outcome in host.undo().outcomes] == ["failed"]
    assert [
        outcome.state for outcome in apply(host.decide().steps, tmp_path, host.run).outcomes
    ] == ["failed"]
    assert snapshot(tmp_path) == then


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"a": 1}', "[" * 100_000, "\0"])
def test_a_journal_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    """An empty one would say that nothing was done."""
    host = make_host(tmp_path)
    host.apply()
    assert host.look().journal_problem == ""
    write(tmp_path, "var/lib/dsr1/prep/journal.json", text)
    then = snapshot(tmp_path)
    assert host.look().journal_problem.startswith(
        f"{tmp_path}/var/lib/dsr1/prep/journal.json is not a journal of dsr1's"
    )
    assert [outcome.state for outcome in host.undo().outcomes] == ["failed"]
    assert snapshot(tmp_path) == then


def test_a_journal_that_breaks_off_hides_nothing_of_what_was_done(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    steps = host.decide(["ibgda.params", "sys.numa_balancing"]).steps

    def run(argv: Sequence[str]) -> str:
        (tmp_path / "var/lib/dsr1/prep/journal.json").write_text("{")
        return host.run(argv)

    report = apply(steps, tmp_path, run)
    assert [outcome.state for outcome in report.outcomes] == ["done"] * len(steps.edits) + [
        "failed"
    ]
    assert (tmp_path / "proc/sys/kernel/numa_balancing").read_text() == "1\n"
