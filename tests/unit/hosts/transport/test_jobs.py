"""Jobs on many hosts at once: so many threads, whatever the number of hosts."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.waiting import HANGS_S

from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.hosts.transport.jobs import JOBS_AT_ONCE, MOST_TOGETHER, run_all_jobs
from dsr1.hosts.transport.local import LocalTransport


@pytest.fixture
def here(tmp_path: Path) -> LocalTransport:
    return LocalTransport(tmp_path, (sys.executable,))


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def counted(number: int, work: Callable[[], None]) -> tuple[dict[str, Callable[[], str]], set[str]]:
    """Jobs, and the names of the threads that they ran in."""
    threads: set[str] = set()

    def job() -> str:
        threads.add(threading.current_thread().name)
        work()
        return "done"

    return {f"node{n}": job for n in range(number)}, threads


def test_thousands_of_hosts_share_a_few_threads(here: LocalTransport) -> None:
    jobs, threads = counted(4096, lambda: None)
    assert list(run_all_jobs(here, jobs).values()) == ["done"] * 4096
    assert len(threads) <= JOBS_AT_ONCE


def _meet(meeting: threading.Barrier) -> None:
    meeting.wait()


def test_jobs_that_wait_for_each_other_all_begin(here: LocalTransport) -> None:
    meeting = threading.Barrier(MOST_TOGETHER, timeout=300)
    jobs, _ = counted(MOST_TOGETHER, lambda: _meet(meeting))
    assert len(run_all_jobs(here, jobs, together=True)) == MOST_TOGETHER


def test_more_than_can_meet_are_refused_before_any_begins(here: LocalTransport) -> None:
    jobs, threads = counted(MOST_TOGETHER + 1, lambda: None)
    with pytest.raises(InputError, match="257 hosts; at most 256 can do this together"):
        run_all_jobs(here, jobs, together=True)
    assert threads == set()


def test_an_interrupt_begins_no_job_that_still_waits_for_its_turn(here: LocalTransport) -> None:
    begun, closed = threading.Semaphore(0), threading.Event()
    number = 2 * JOBS_AT_ONCE
    started: list[int] = []

    class Closing(LocalTransport):
        def close(self) -> None:
            closed.set()

    def work() -> None:
        started.append(1)
        begun.release()
        closed.wait(HANGS_S)

    def interrupt() -> None:
        for _ in range(JOBS_AT_ONCE):
            begun.acquire()
        signal.pthread_kill(main, signal.SIGINT)

    main = threading.get_ident()
    threading.Thread(target=interrupt, daemon=True).start()
    jobs, _ = counted(number, work)
    with pytest.raises(LaunchFailed, match="interrupted"):
        run_all_jobs(Closing(Path("/"), (sys.executable,)), jobs)
    assert len(started) == JOBS_AT_ONCE
