"""The recipe's commands for a phase that begins: run beside the supervisor, bounded in time; what
went wrong stands in the run's history."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from functools import partial

from dsr1.launcher.run.folder import RunFolder
from dsr1.launcher.run.record.history import SUPERVISOR, Change, record, why_so
from dsr1.launcher.run.settings import HookSettings
from dsr1.launcher.run.state import RunState

MOST_REASON = 4096  # characters: a host's words may be long


def run_hook(hooks: HookSettings, run: RunFolder, state: RunState, url: str) -> None:
    """`url` is where clients connect. Returns at once. The supervisor's own end waits for it, for
    its time at most."""
    command = hooks.commands.get(state.phase, ())
    if command:
        told = {**variables(run, state), "DSR1_URL": url}
        work = partial(_run, run, tuple(command), told, hooks.timeout_s)
        threading.Thread(target=work).start()


def variables(run: RunFolder, state: RunState) -> dict[str, str]:
    """What a hook is told, in its environment."""
    return {
        "DSR1_RUN": run.name,
        "DSR1_RUN_FOLDER": str(run.folder),
        "DSR1_PHASE": state.phase,
        "DSR1_REASON": why_so(state).replace("\0", " ")[:MOST_REASON],
    }


def _run(
    run: RunFolder, command: tuple[str, ...], told: Mapping[str, str], timeout_s: float
) -> None:
    """A fault of it is told, and harms nothing. It has a process group of its own, so that what it
    started ends with it when its time is over."""
    env = {**os.environ, **told}
    try:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sys.stderr, env=env, start_new_session=True
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        _say(run, told, command, f"can't be run: {why}")
        return
    try:
        code = child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        _say(run, told, command, f"was ended: it ran for {timeout_s:g} s (recipe hooks.timeout)")
    else:
        if code:
            _say(run, told, command, f"ended with exit code {code}")


def _say(run: RunFolder, told: Mapping[str, str], command: tuple[str, ...], what: str) -> None:
    words = f"hooks.{told['DSR1_PHASE']}: {command[0]} {what}"
    print(words, file=sys.stderr, flush=True)
    record(run, Change(time.time(), SUPERVISOR, "hook failed", words))
