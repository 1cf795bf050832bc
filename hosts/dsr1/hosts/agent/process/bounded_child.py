"""A child for a while: it dies with us whatever it is, ends in time, and what it says is kept in
files.

Its session is its own. It is reaped only once its whole group was killed: until then the group's
number can be nobody else's.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any

from dsr1.hosts.dataclass import dataclass

POLL_S = 0.02
PR_SET_PDEATHSIG = 1
# A Python between us and the command, since what a dying parent sends reaches its direct child
# alone: it leads the session, ends all of its group with us, and else ends as the command did.
TIE = f"""import ctypes, os, resource, signal, sys
tie = ctypes.CDLL(None).prctl
signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
tie({PR_SET_PDEATHSIG}, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit("who began it is gone")
command = os.fork()
if not command:
    tie({PR_SET_PDEATHSIG}, signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        os.execvp(sys.argv[2], sys.argv[2:])
    except OSError as error:
        sys.exit(f"{{sys.argv[2]}} can't be run: {{error}}")
code = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
if code < 0:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


@dataclass(frozen=True, slots=True)
class BoundedChild:
    """`ended` tells whether it ended by itself; `code` is then its exit status."""

    process: "subprocess.Popen[bytes]"
    out: IO[bytes]
    err: IO[bytes]

    def lines(self) -> list[dict[str, Any]]:
        """The JSON objects among what it said, a line each."""
        found: list[dict[str, Any]] = []
        for line in _all_of(self.out).splitlines():
            with contextlib.suppress(ValueError):
                plain = json.loads(line)
                found += [plain] if isinstance(plain, dict) else []
        return found

    def last_line(self) -> str:
        """Of its errors, or its exit status."""
        lines = _all_of(self.err).decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"it ended with {self.process.returncode}"

    def count_lines(self) -> int:
        """While it runs: read apart from the file's own place, which is the child's."""
        return os.pread(self.out.fileno(), 1 << 20, 0).count(b"\n")


def _all_of(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


@contextlib.contextmanager
def start_bounded(
    argv: Sequence[str], env: Mapping[str, str], given: bytes = b""
) -> Iterator[BoundedChild]:
    """At the end of the block nothing of it is alive, and nothing is left of what it put into its
    TMPDIR."""
    with (
        tempfile.TemporaryDirectory(prefix="dsr1-", ignore_cleanup_errors=True) as scratch,
        tempfile.TemporaryFile() as stdin,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        stdin.write(given)
        stdin.seek(0)
        command = (sys.executable, "-c", TIE, str(os.getpid()), *argv)
        process = subprocess.Popen(
            command,
            cwd=scratch,  # a Python's `-c` imports from where it stands before anything else
            env={**os.environ, "TMPDIR": scratch, **env},
            stdin=stdin,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            yield BoundedChild(process, out, err)
        finally:
            if process.returncode is None:
                end_bounded(process)


def end_bounded(process: "subprocess.Popen[bytes]") -> None:
    """All of its group, and then it is reaped."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_bounded(
    children: Sequence[BoundedChild], timeout_s: float, leave: Callable[[], bool]
) -> list[bool]:
    """Whether each had ended by itself, before the time was up or there was a reason to leave; then
    all are ended."""
    until = time.monotonic() + timeout_s
    while (
        not all(over := [has_ended(child.process.pid) for child in children])
        and time.monotonic() < until
    ):
        if leave():
            break
        time.sleep(POLL_S)
    for child in children:
        end_bounded(child.process)
    return over


def has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def is_abandoned(stdout: int = 1) -> bool:
    """Whether nobody reads what we would tell: who asked is gone, and so may we."""
    poll = select.poll()
    poll.register(stdout, 0)
    return bool(poll.poll(0))
