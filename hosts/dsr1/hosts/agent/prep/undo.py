"""Takes back what the journal says was done to a host: files byte for byte, unless somebody has
changed one since."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dsr1.hosts.agent.prep.apply import ROOT, report_of_steps, settle, what, write_value
from dsr1.hosts.agent.prep.command import RunCommand, run_command
from dsr1.hosts.agent.prep.files import describe_file, read_whole, state_of, write_whole
from dsr1.hosts.agent.prep.journal import JournalStore
from dsr1.hosts.protocol.facts.fact import reason_of
from dsr1.hosts.protocol.prep import EditRecord, PrepReport, StepOutcome, Sysctl, outcome_of


def undo(root: Path = ROOT, run: RunCommand = run_command) -> PrepReport:
    """All or, when a file isn't as we left it, nothing."""
    store = JournalStore(root)
    if not store.folder.exists():
        return PrepReport(())
    return report_of_steps(store, lambda: tuple(_changed(store, root)) or _all(store, root, run))


def _changed(store: JournalStore, root: Path) -> Iterator[StepOutcome]:
    """From the newest edit of each file back, as undoing goes."""
    now: dict[str, str] = {}
    for kept in reversed(store.read().edits):
        state = now.get(kept.path) if kept.path in now else _state(root / kept.path.lstrip("/"))
        if state not in (*kept.after, kept.before):
            remedy = "remove it, as before,"
            if kept.backup:
                remedy = f"put its original there, {store.original(kept.backup)},"
            problem = f"somebody has changed it since: {remedy} and undo again"
            yield StepOutcome(kept.path, "refused", problem)
        now[kept.path] = kept.before


def _state(path: Path) -> str:
    """What is no file any more is changed, too."""
    try:
        return state_of(path)
    except OSError as error:
        return f"not to be read: {error}"


def _all(store: JournalStore, root: Path, run: RunCommand) -> Iterator[StepOutcome]:
    for kept in reversed(store.read().edits):
        yield _restore(kept, store, root)
    yield from settle(store, run)
    for setting in reversed(store.read().settings):
        yield _reset(setting, store, root)
    yield from _commands(store, run)


def _restore(kept: EditRecord, store: JournalStore, root: Path) -> StepOutcome:
    """What is owed for it is written down before it is done."""
    journal, path = store.read(), root / kept.path.lstrip("/")
    try:
        store.write(replace(journal, owed=journal.owing(kept.settle)))
        if state_of(path) != kept.before:
            _put_back(kept, store, path)
        for folder in reversed(kept.folders):
            with contextlib.suppress(OSError):  # it holds another's file by now, or never was there
                (root / folder.lstrip("/")).rmdir()
        store.remove("edits", kept)
    except OSError as error:
        return outcome_of(kept.path, reason_of(error))
    return outcome_of(kept.path, "")


def _put_back(kept: EditRecord, store: JournalStore, path: Path) -> None:
    if not kept.before:
        path.unlink()
        return
    original = store.original(kept.backup)
    data = read_whole(original)
    if data is None:
        raise FileNotFoundError(f"its original, {original}, is gone")
    if describe_file(data, original) != kept.before:
        raise OSError(f"its original, {original}, is not as it was kept")
    write_whole(path, data, original, same_time=True)


def _reset(setting: Sysctl, store: JournalStore, root: Path) -> StepOutcome:
    """One that isn't as we set it stays: a reboot or somebody has set it since."""
    path = root / "proc/sys" / setting.name.replace(".", "/")
    back = replace(setting, before=setting.after, after=setting.before)
    try:
        mine = path.read_text().strip() == setting.after
    except OSError as error:
        return outcome_of(what(back), reason_of(error))
    outcome = outcome_of(f"{setting.name} is left as it is", "")
    if mine:
        outcome = write_value(back, root)
    if outcome.state == "done":
        store.remove("settings", setting)
    return outcome


def _commands(store: JournalStore, run: RunCommand) -> Iterator[StepOutcome]:
    for command in reversed(store.read().commands):
        problem = run(command.undo)
        if not problem:
            store.remove("commands", command)
        yield outcome_of(" ".join(command.undo), problem)
