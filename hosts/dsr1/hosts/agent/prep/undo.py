"""Takes back what the journal says was done to a host: files byte for byte, unless somebody has
changed one since."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dsr1.hosts.agent.prep.apply import ROOT, report, settle, what, write_value
from dsr1.hosts.agent.prep.command import RunCommand, run_command
from dsr1.hosts.agent.prep.files import read_whole, state_of, write_whole
from dsr1.hosts.agent.prep.journal import JournalStore
from dsr1.hosts.protocol.prep import EditRecord, PrepReport, StepOutcome, Sysctl


def undo(root: Path = ROOT, run: RunCommand = run_command) -> PrepReport:
    """All or, when a file isn't as we left it, nothing."""
    store = JournalStore(root)
    if not store.folder.exists():
        return PrepReport(())
    return report(store, lambda: tuple(_changed(store, root)) or _all(store, root, run))


def _changed(store: JournalStore, root: Path) -> Iterator[StepOutcome]:
    """From the newest edit of each file back, as undoing goes."""
    now: dict[str, str] = {}
    for kept in reversed(store.read().edits):
        state = now.get(kept.path) if kept.path in now else _state(root / kept.path.lstrip("/"))
        if state not in (*kept.after, kept.before):
            way = (
                f"put its original there, {store.original(kept.backup)},"
                if kept.backup
                else "remove it, as before,"
            )
            yield StepOutcome(
                kept.path, "refused", f"somebody has changed it since: {way} and undo again"
            )
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
    owed = (
        journal.owed
        if not kept.settle or kept.settle in journal.owed
        else (*journal.owed, kept.settle)
    )
    try:
        store.write(replace(journal, owed=owed))
        if state_of(path) != kept.before:
            _put_back(kept, store, path)
        for folder in reversed(kept.folders):
            with contextlib.suppress(
                OSError
            ):  # somebody else's file may be in it by now, or it was never made
                (root / folder.lstrip("/")).rmdir()
        store.write(
            replace(
                journal, owed=owed, edits=tuple(other for other in journal.edits if other != kept)
            )
        )
    except OSError as error:
        return StepOutcome(kept.path, "failed", error.strerror or str(error))
    return StepOutcome(kept.path, "done")


def _put_back(kept: EditRecord, store: JournalStore, path: Path) -> None:
    if not kept.before:
        path.unlink()
        return
    original = store.original(kept.backup)
    data = read_whole(original)
    if data is None:
        raise FileNotFoundError(f"its original, {original}, is gone")
    write_whole(path, data, original, same_time=True)


def _reset(setting: Sysctl, store: JournalStore, root: Path) -> StepOutcome:
    """One that isn't as we set it stays: a reboot or somebody has set it since."""
    path = root / "proc/sys" / setting.name.replace(".", "/")
    back = replace(setting, before=setting.after, after=setting.before)
    try:
        mine = path.read_text().strip() == setting.after
    except OSError as error:
        return StepOutcome(what(back), "failed", error.strerror or str(error))
    outcome = (
        write_value(back, root) if mine else StepOutcome(f"{setting.name} is left as it is", "done")
    )
    if outcome.state == "done":
        journal = store.read()
        store.write(
            replace(
                journal, settings=tuple(other for other in journal.settings if other != setting)
            )
        )
    return outcome


def _commands(store: JournalStore, run: RunCommand) -> Iterator[StepOutcome]:
    for command in reversed(store.read().commands):
        problem = run(command.undo)
        if not problem:
            journal = store.read()
            store.write(
                replace(
                    journal, commands=tuple(other for other in journal.commands if other != command)
                )
            )
        yield StepOutcome(" ".join(command.undo), "failed" if problem else "done", problem)
