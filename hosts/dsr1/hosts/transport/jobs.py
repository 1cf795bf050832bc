"""A job on many hosts at once, each in a thread; its refusals become dsr1's errors, and Ctrl-C ends
all of them."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from dsr1.hosts.errors import CheckFailed, Dsr1Error, InputError, LaunchFailed
from dsr1.hosts.protocol.jobs.messages import JobProgress, JobRefused
from dsr1.hosts.protocol.jobs.orders import Job, OrderT, PushMessage, ResultT
from dsr1.hosts.transport.base import Transport

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
) -> JobResults[ResultT]:
    """By host: its result, or why there is none. One that fails doesn't stop the others."""

    def begin(host: str) -> ResultT:
        return transport.run_job(host, job, orders[host], partial(_show_progress, show, host))

    return run_all_jobs(transport, {host: partial(begin, host) for host in orders})


def run_all_jobs(
    transport: Transport, jobs: Mapping[str, Callable[[], ResultT]]
) -> JobResults[ResultT]:
    """By name, as an error of a job calls it. The pool waits for its threads whatever happens: only
    closed connections let them go."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        running = {name: pool.submit(_result_or_error, name, job) for name, job in jobs.items()}
        try:
            return {name: future.result() for name, future in running.items()}
        except KeyboardInterrupt:
            transport.close()
            raise LaunchFailed("interrupted; the same command goes on where it stopped") from None


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
