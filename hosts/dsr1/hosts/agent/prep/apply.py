"""Does the steps that a host's preparation was decided to be, each written down before it is
done."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from dsr1.hosts.agent.prep.command import RunCommand, run_command
from dsr1.hosts.agent.prep.files import (
    describe_file,
    make_folders,
    read_whole,
    state_of,
    to_bytes,
    to_text,
    write_whole,
)
from dsr1.hosts.agent.prep.journal import JournalStore, PrepBusy, PrepShared, refuse_shared
from dsr1.hosts.protocol.facts.fact import reason_of
from dsr1.hosts.protocol.prep import (
    CommandStep,
    EditRecord,
    FileEdit,
    PrepReport,
    PrepSteps,
    StepOutcome,
    Sysctl,
    outcome_of,
)

ROOT = Path("/")


def apply(steps: PrepSteps, root: Path = ROOT, run: RunCommand = run_command) -> PrepReport:
    """A step that fails stops those of the same check, and no other."""
    store = JournalStore(root)
    return report_of_steps(store, lambda: _all(steps, store, root, run))


def report_of_steps(store: JournalStore, work: Callable[[], Iterable[StepOutcome]]) -> PrepReport:
    """What came of the work, also when the journal can't be written any more."""
    outcomes: list[StepOutcome] = []
    try:
        with store.locked():
            for outcome in work():
                outcomes.append(outcome)
    except PrepShared as error:
        outcomes.append(StepOutcome(str(store.folder), "refused", f"nothing was done: {error}"))
    except (PrepBusy, OSError, ValueError) as error:
        outcomes.append(StepOutcome(str(store.folder), "failed", f"nothing more was done: {error}"))
    return PrepReport(tuple(outcomes))


def _all(
    steps: PrepSteps, store: JournalStore, root: Path, run: RunCommand
) -> Iterator[StepOutcome]:
    failed: set[str] = set()
    for edit in steps.edits:
        outcome = _edit(edit, store, root)
        yield outcome
        failed |= set(edit.checks) if outcome.state != "done" else set()
    yield from settle(store, run)
    later: tuple[Sysctl | CommandStep, ...] = (*steps.settings, *steps.commands)
    for step in later:
        if failed.intersection(step.checks):
            yield StepOutcome(what(step), "skipped", "a step that it needs failed")
            continue
        if isinstance(step, Sysctl):
            outcome = set_value(step, store, root)
        else:
            outcome = _command(step, store, run)
        yield outcome
        failed |= set(step.checks) if outcome.state != "done" else set()


def what(step: Sysctl | CommandStep) -> str:
    return f"{step.name} = {step.after}" if isinstance(step, Sysctl) else " ".join(step.do)


def _edit(edit: FileEdit, store: JournalStore, root: Path) -> StepOutcome:
    path = root / edit.path.lstrip("/")
    try:
        refuse_shared(next(step for step in path.parents if step.exists()), root)
        data = read_whole(path)
        if (None if data is None else to_text(data)) != edit.before:
            return StepOutcome(edit.path, "refused", "it has changed meanwhile: run prep again")
        _write(edit, path, store)
    except PrepShared as error:
        return StepOutcome(edit.path, "refused", str(error))
    except OSError as error:
        return outcome_of(edit.path, reason_of(error))
    return outcome_of(edit.path, "")


def _write(edit: FileEdit, path: Path, store: JournalStore) -> None:
    """The journal first, with both states that a cut can leave; then the file; then the journal,
    with the one that there is."""
    journal, data = store.read(), to_bytes(edit.after)
    before, like = state_of(path), path if edit.before is not None else None
    after = describe_file(data, like)
    kept, rest = _begun(journal.edits, edit.path, before)
    if kept is None:
        missing = [step for step in path.parents if not step.exists()][::-1]
        folders = tuple(f"/{step.relative_to(store.root)}" for step in missing)
        kept = EditRecord(edit.path, before, (), store.keep(path), folders, edit.settle)
    owed = journal.owing(edit.settle)
    begun = replace(kept, after=tuple(dict.fromkeys((*kept.after, after))))
    store.write(replace(journal, edits=(*rest, begun), owed=owed))
    make_folders(path.parent)
    write_whole(path, data, like)
    store.write(replace(journal, edits=(*rest, replace(kept, after=(after,))), owed=owed))


def _begun(
    edits: tuple[EditRecord, ...], path: str, now: str
) -> tuple[EditRecord | None, tuple[EditRecord, ...]]:
    """An edit of ours that this one goes on from, and all others. Not ours any more: both are
    kept."""
    last = next((kept for kept in reversed(edits) if kept.path == path), None)
    if last is None or now not in (*last.after, last.before):
        return None, edits
    return last, tuple(kept for kept in edits if kept is not last)


def settle(store: JournalStore, run: RunCommand) -> Iterator[StepOutcome]:
    """What is owed since an edit, now or in an earlier call that was cut."""
    for command in store.read().owed:
        problem = run(command)
        if not problem:
            store.remove("owed", command)
        yield outcome_of(" ".join(command), problem)


def set_value(setting: Sysctl, store: JournalStore, root: Path) -> StepOutcome:
    journal = store.read()
    same = [old for old in journal.settings if old.name == setting.name]
    noted = replace(setting, before=same[0].before) if same else setting
    others = tuple(old for old in journal.settings if old.name != setting.name)
    store.write(replace(journal, settings=(*others, noted)))
    return write_value(setting, root)


def write_value(setting: Sysctl, root: Path) -> StepOutcome:
    path = root / "proc/sys" / setting.name.replace(".", "/")
    try:
        path.write_text(f"{setting.after}\n")
    except OSError as error:
        return outcome_of(what(setting), reason_of(error))
    return outcome_of(what(setting), "")


def _command(command: CommandStep, store: JournalStore, run: RunCommand) -> StepOutcome:
    """Written down once, however often it is tried; what can't be undone is not."""
    journal = store.read()
    if command.undo and command.undo not in [old.undo for old in journal.commands]:
        store.write(replace(journal, commands=(*journal.commands, command)))
    return outcome_of(what(command), run(command.do))
