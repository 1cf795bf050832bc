"""Measures what the search asks for until it is done: whatever was measured is kept at once, so
that it goes on after any interruption."""

import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import Dsr1Error, HostError
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.tuning.candidate import Candidate
from dsr1.launcher.tuning.measure import Measurer, describe_error
from dsr1.launcher.tuning.question import TuneQuestion
from dsr1.launcher.tuning.search import Done, Outcome, Sweep, Task, decide_next
from dsr1.launcher.tuning.store import SavedPoint, TuneFolder, point_key

FIRST_LAUNCH_S, FIRST_POINT_S = 600.0, 120.0
"""What a launch and a point are taken to need before one was seen: R1 from a warm page cache."""
REHEARSED_LAUNCH_S, REHEARSED_POINT_S = 20.0, 15.0


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate's recipe as it is launched, and as it is written down."""

    candidate: Candidate
    recipe: Recipe
    text: str


TellLine = Callable[[str], None]


def never() -> bool:
    """For a loop that nobody interrupts."""
    return False


class TuneLoop:
    """`trial_of` makes a candidate's recipe; `tell` is told a line of each step; `interrupted`:
    whether a signal came that ends this."""

    def __init__(
        self,
        folder: TuneFolder,
        question: TuneQuestion,
        sweeps: Sequence[Sweep],
        candidates: Mapping[str, Candidate],
        trial_of: Callable[[Candidate], Trial],
        measurer: Measurer,
        tell: TellLine,
        interrupted: Callable[[], bool] = never,
    ) -> None:
        self._folder, self._question, self._sweeps = folder, question, sweeps
        self._candidates, self._trial_of = candidates, trial_of
        self._measurer, self._tell, self._interrupted = measurer, tell, interrupted
        self._points = folder.points()
        self._running, self._launch_s = "", 0.0

    def run(self) -> str:
        """Why it is done. HostError: a host was lost; nothing is left running whatever ends it."""
        try:
            while True:
                task = self._next()
                if isinstance(task, Done):
                    return task.why
                self._do(task)
        finally:
            self._stop()

    def outcomes(self) -> list[Outcome]:
        return [point.outcome for point in self._points]

    def _next(self) -> Task | Done:
        asked = self._question
        task = decide_next(self._sweeps, self.outcomes(), asked.goal, asked.points)
        if isinstance(task, Done):
            return task
        launches = task.candidate != self._running
        needed = needed_s(self._points, launches, asked.rehearsed)
        left = asked.budget_s - spent_s(self._points) if asked.budget_s else math.inf
        if needed > left:
            why = f"the budget is used: {left:.0f} s are left, and the next takes {needed:.0f}"
            return Done(why)
        there = self._measurer.left_s() if self._points else math.inf  # times of here are known
        if needed > there:
            return Done(f"its job ends: {there:.0f} s are left, and the next takes {needed:.0f}")
        return task

    def _do(self, task: Task) -> None:
        trial = self._trial_of(self._candidates[task.candidate])
        if task.candidate != self._running and not self._start(task, trial):
            return
        self._tell(f"{task.candidate}: {task.concurrency} at once{_again(task)}")
        began = time.monotonic()
        try:
            measured = self._measurer.measure(task.concurrency, trial.candidate.gpus)
        except Dsr1Error as error:
            took_s = time.monotonic() - began
            self._refuse_ends(error)
            self._stop()
            failed = Outcome(task, None, describe_error(error))
            self._save(trial, failed, took_s, "")
            self._tell(f"  failed: {failed.failure}")
            return
        outcome = Outcome(task, measured.figures)
        self._save(trial, outcome, time.monotonic() - began, measured.bench)
        self._tell(f"  {describe_figures(outcome)}")

    def _start(self, task: Task, trial: Trial) -> bool:
        """False: it doesn't start, which is kept as a point."""
        self._stop()
        number, once = len(self._points) + 1, secrets.token_hex(6)  # nobody else's name
        name = f"{self._folder.path.name[:20]}-{number}-{once}"
        self._tell(f"{task.candidate}: launched as {name}")
        self._folder.save_running(name)
        began = time.monotonic()
        try:
            self._measurer.start(name, trial.recipe)
        except Dsr1Error as error:
            self._launch_s = time.monotonic() - began
            self._refuse_ends(error)
            self._stop()
            lost = Outcome(task, None, f"{name}: {describe_error(error)}", lost=True)
            self._save(trial, lost, 0.0, "")
            self._tell(f"  didn't start: {lost.failure}")
            return False
        self._running, self._launch_s = task.candidate, time.monotonic() - began
        return True

    def _refuse_ends(self, error: Dsr1Error) -> None:
        """A lost host, the end of a job, and an interruption, which those who tidy up tell as an
        error, are no word on a candidate."""
        if self._interrupted():
            raise KeyboardInterrupt from error
        if isinstance(error, HostError):
            raise error
        if not self._measurer.left_s():
            raise HostError(f"its job has ended: --resume goes on in another ({error})") from error

    def _stop(self) -> None:
        """LaunchFailed where a host is gone: before a failure is kept, which may be that host's."""
        self._running = ""
        self._measurer.stop()
        self._folder.save_running("")

    def _save(self, trial: Trial, outcome: Outcome, took_s: float, bench: str) -> None:
        point = SavedPoint(outcome, took_s, self._launch_s, bench, len(self._points) + 1)
        self._launch_s = 0.0
        key = point_key(self._question, trial.text, outcome.task)
        self._folder.save_point(key, point, trial.text)
        self._points.append(point)


def _again(task: Task) -> str:
    return f", again ({task.repeat})" if task.repeat else ""


def describe_figures(outcome: Outcome) -> str:
    one = outcome.figures
    assert one is not None, "of what was measured"
    return (
        f"{one.tokens_s_gpu:.1f} tokens/s/GPU, {one.tokens_s_user:.1f} tokens/s/user, TTFT"
        f" {one.ttft_ms:.0f} ms, ITL {one.itl_ms:.1f} ms, limited by {one.limit}"
    )


def spent_s(points: Sequence[SavedPoint]) -> float:
    return sum(point.took_s + point.launch_s for point in points)


def needed_s(points: Sequence[SavedPoint], launches: bool, rehearsed: bool) -> float:
    """For the next point: as long as the longest so far."""
    launch = REHEARSED_LAUNCH_S if rehearsed else FIRST_LAUNCH_S
    point = REHEARSED_POINT_S if rehearsed else FIRST_POINT_S
    if points:
        launch = max(one.launch_s for one in points) or launch
        point = max(one.took_s for one in points) or point
    return point + (launch if launches else 0.0)
