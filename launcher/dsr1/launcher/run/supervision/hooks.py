"""The recipe's commands for a phase that begins: run beside the supervisor, bounded in time; what
went wrong stands in supervisor.log."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from functools import partial

from dsr1.launcher.run.settings import HookSettings
from dsr1.launcher.run.state import RunState


def run_hook(hooks: HookSettings, run: str, state: RunState) -> None:
    """Returns at once. The supervisor's own end waits for it, for its time at most."""
    command = hooks.commands.get(state.phase, ())
    if command:
        work = partial(_run, tuple(command), variables(run, state), hooks.timeout_s)
        threading.Thread(target=work).start()


def variables(run: str, state: RunState) -> dict[str, str]:
    """What a hook is told, in its environment."""
    ailing = "; ".join(row.words for row in state.ailing)
    return {
        "DSR1_RUN": run,
        "DSR1_PHASE": state.phase,
        "DSR1_REASON": ailing if state.serves else state.reason,
    }


def _run(command: tuple[str, ...], told: Mapping[str, str], timeout_s: float) -> None:
    """In a process group of its own, so that what it starts ends with it."""
    env = {**os.environ, **told}
    try:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sys.stderr, env=env, start_new_session=True
        )
    except OSError as error:
        _say(told, command, f"can't be run: {error.strerror}")
        return
    try:
        code = child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        _say(told, command, f"was ended: it ran for {timeout_s:g} s (recipe hooks.timeout)")
    else:
        if code:
            _say(told, command, f"ended with exit code {code}")


def _say(told: Mapping[str, str], command: tuple[str, ...], what: str) -> None:
    print(f"hooks.{told['DSR1_PHASE']}: {command[0]} {what}", file=sys.stderr, flush=True)
