"""A run, as `ps`, `status` and `launch` answer it."""

from typing import Any

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.cli.answers.envelope import AnswerError, iso_time, plain
from dsr1.launcher.operate.summary import RunSummary, summarize
from dsr1.launcher.run.backend import RunStatus
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run


@dataclass(frozen=True, slots=True)
class RunAnswer:
    """A row of `ps`. `url` has no /v1; times are ISO's, in UTC; what isn't known yet is empty."""

    name: str
    phase: str
    recipe: str
    model: str
    url: str
    hosts: tuple[str, ...]
    job: str
    launched_at: str | None


def run_answer(run: Run, phase: str, job: str, summary: RunSummary) -> RunAnswer:
    launched = iso_time(summary.launched_at)
    named = (summary.recipe, summary.model, summary.url, summary.hosts)
    return RunAnswer(run.name, phase, *named, job, launched)


def status_values(run: Run, current: RunStatus, lacks: str) -> dict[str, Any]:
    """All that `status` knows. `alive` are names of processes; hosts that can't be asked are
    errors, see `status_errors`."""
    job = run.job()
    row = run_answer(run, current.state.phase, str(job or ""), summarize(run))
    return {
        **_renamed(plain(row), name="run"),
        **state_values(current.state),
        "serves": current.state.serves,
        "supervised": current.supervised,
        "alive": list(current.alive),
        "alive_by_host": {host: list(names) for host, names in current.alive_by_host.items()},
        "lacks": lacks,
        "note": current.note,
    }


def status_errors(current: RunStatus) -> list[AnswerError]:
    return [AnswerError(why, host) for host, why in current.unreached.items()]


def state_values(state: RunState) -> dict[str, Any]:
    """The state as it is saved, with times as ISO's and units in names."""
    values: Any = plain(state)
    values = _renamed(values, ready_after="ready_after_s")
    values["ranks"] = [_without(_timed(row), "moved_at", "spoken") for row in values["ranks"]]
    values["ailing"] = [_timed(row) for row in values["ailing"]]
    values["engines"] = [_engine(one) for one in values["engines"]]
    return _timed(values)


def _engine(one: dict[str, Any]) -> dict[str, Any]:
    state = _timed(one["state"])
    taken = [iso_time(moment) for moment in state["taken_at"]]
    return {**one, "state": {**state, "taken_at": taken}}


def _timed(values: dict[str, Any]) -> dict[str, Any]:
    return {**_without(values, "since"), "since": iso_time(values["since"])}


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _renamed(values: Any, **names: str) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in values.items()}
