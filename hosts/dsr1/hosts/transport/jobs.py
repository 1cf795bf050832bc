"""A job on many hosts at once, each in a thread; its refusals become dsr1's errors, and Ctrl-C ends
all of them."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from dsr1.hosts.errors import CheckFailed, Dsr1Error, InputError, LaunchFailed
from dsr1.hosts.protocol.jobs.messages import JobProgress, JobRefused
from dsr1.hosts.protocol.jobs.orders import Job, OrderT, PushMessage, ResultT
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.parallel import run_on_all

JOBS_AT_ONCE = 64
INTERRUPTED = "interrupted; the same command goes on where it stopped"
MOST_TOGETHER = 256  # a thread and a connection each, for jobs that wait for each other
KINDS: Mapping[str, type[Dsr1Error]] = {
    "input": InputError,
    "check": CheckFailed,
    "work": LaunchFailed,
}
OnJobProgress = Callable[[str, JobProgress], None]
JobResults = dict[str, ResultT | Dsr1Error]


def run_job_on_all(
    transport: Transport,
    job: Job[OrderT, ResultT],
    orders: Mapping[str, OrderT],
    show: OnJobProgress,
    together: bool = False,
    interrupted: str = INTERRUPTED,
) -> JobResults[ResultT]:
    """By host: its result, or why there is none. One that fails doesn't stop the others.

    Several at a time, or `together`, all of them, for jobs that wait for each other. InputError:
    those are too many. LaunchFailed: Ctrl-C, in the words `interrupted`.
    """

    def begin(host: str) -> ResultT:
        return transport.run_job(host, job, orders[host], partial(_show_progress, show, host))

    jobs = {host: partial(begin, host) for host in orders}
    return run_all_jobs(transport, jobs, together, interrupted)


def run_all_jobs(
    transport: Transport,
    jobs: Mapping[str, Callable[[], ResultT]],
    together: bool = False,
    interrupted: str = INTERRUPTED,
) -> JobResults[ResultT]:
    """By name, as an error of a job calls it; in a bounded number of threads, see
    `run_job_on_all`. Closed connections end those that have begun."""
    if together and len(jobs) > MOST_TOGETHER:
        raise InputError(
            f"--hosts: {len(jobs)} hosts; at most {MOST_TOGETHER} can do this together"
        )

    def one(name: str) -> ResultT | Dsr1Error:
        return _result_or_error(name, jobs[name])

    at_once = len(jobs) if together else JOBS_AT_ONCE
    try:
        return {**run_on_all(one, jobs, at_once)}
    except KeyboardInterrupt:
        transport.close()
        raise LaunchFailed(interrupted) from None


def _result_or_error(name: str, job: Callable[[], ResultT]) -> ResultT | Dsr1Error:
    try:
        return job()
    except JobRefused as refused:
        return KINDS.get(refused.kind, LaunchFailed)(f"{name}: {refused}")
    except Dsr1Error as error:
        return error


def _show_progress(show: OnJobProgress, host: str, message: JobProgress | PushMessage) -> None:
    """For jobs that go through by themselves."""
    if isinstance(message, JobProgress):
        show(host, message)


def raise_worst(results: JobResults[ResultT]) -> None:
    """One error that names all, of the kind that most needs another command: input, then check,
    then the rest."""
    errors = [result for result in results.values() if isinstance(result, Dsr1Error)]
    if not errors:
        return
    worst = next(kind for kind in KINDS.values() if _has_kind(errors, kind))
    raise worst("\n".join(map(str, errors)))


def _has_kind(errors: Iterable[Dsr1Error], kind: type[Dsr1Error]) -> bool:
    return any(isinstance(error, kind) for error in errors)
