"""Runs the agent's commands for a launching side that reaches this host by one stream alone, as a
step of srun has it.

One JSON object a line, both ways; bytes travel as Latin-1 text. Asked: `{"call": 1, "argv": [...]}`
starts a command, `{"call": 1, "in": "..."}` is for its stdin, `{"call": 1, "end": true}` closes
that, `{}` is a sign of life. Told: `out`, `err` and at last `code` of a call, and `{}` to every
sign of life.

Agents are its children, so a step holds all of a host's processes. When the stream ends or falls
silent nobody owns them any more: it ends them, however the other side, the network or Slurm's own
daemon was lost.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import threading
import time
from typing import IO, Any

from dsr1.hosts.agent.kin.belonging import marks_of
from dsr1.hosts.agent.kin.procfs import descendants, read_process_table
from dsr1.hosts.agent.server.daemon import PR_SET_CHILD_SUBREAPER
from dsr1.hosts.agent.server.offline import order_end

BLOCK, END_S, LOOK_S = 1 << 16, 60.0, 0.05
# Slurm tells the agents and their processes as well; the keeper goes when they are gone.
KEPT = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class StepCommand:
    """The commands that run now, by their call's number."""

    def __init__(self, sink: int = 1) -> None:
        self._sink, self._writing = sink, threading.Lock()
        self._calls: dict[int, subprocess.Popen[bytes]] = {}

    def obey(self, asked: "dict[str, Any]") -> None:
        call = asked.get("call")
        if call is None:
            self.tell({})
        elif "argv" in asked:
            self._start(call, asked["argv"])
        elif call in self._calls:
            self._feed(self._calls[call], asked)

    def tell(self, what: "dict[str, Any]") -> None:
        data = json.dumps(what, separators=(",", ":")).encode() + b"\n"
        with (
            self._writing,
            contextlib.suppress(OSError),
        ):  # nobody listens: the reader finds that, and ends all
            while data:
                data = data[os.write(self._sink, data) :]

    def _start(self, call: int, argv: "list[str]") -> None:
        pipe = subprocess.PIPE
        try:
            child = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)
        except OSError as error:
            self.tell({"call": call, "err": f"{argv[0]}: {error}"})
            self.tell({"call": call, "code": 127})
            return
        self._calls[call] = child
        threading.Thread(target=self._serve, args=(call, child), daemon=True).start()

    def _serve(self, call: int, child: "subprocess.Popen[bytes]") -> None:
        errors = threading.Thread(
            target=self._pass_on, args=(call, "err", child.stderr), daemon=True
        )
        errors.start()
        self._pass_on(call, "out", child.stdout)
        code = child.wait()
        errors.join(LOOK_S)  # an agent that stays may have kept its starter's stderr
        self._calls.pop(call, None)
        self.tell({"call": call, "code": code})

    def _pass_on(self, call: int, name: str, source: "IO[bytes] | None") -> None:
        assert source is not None
        while data := source.read(BLOCK):
            self.tell({"call": call, name: data.decode("latin-1")})

    def _feed(self, child: "subprocess.Popen[bytes]", asked: "dict[str, Any]") -> None:
        """A command that no longer reads says why by itself."""
        assert child.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            child.stdin.write(asked.get("in", "").encode("latin-1"))
            if asked.get("end"):
                child.stdin.close()


def run_step_commands(silence_s: float, source: int = 0) -> int:
    """Until the stream ends, or nothing has come for so long; then until nothing that was started
    here is left."""
    for number in KEPT:
        signal.signal(number, lambda *_: None)  # not SIG_IGN, which every command would inherit
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    keeper, rest = StepCommand(), b""
    while select.select([source], [], [], silence_s)[0]:
        data = os.read(source, BLOCK)
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            keeper.obey(json.loads(line))
    return 0 if end_children() else 1


def end_children(patience_s: float = END_S) -> bool:
    """The agents are told to end what is theirs, and everything else gets SIGTERM; after that
    SIGKILL to whatever is left. Whether all is gone."""
    deadline = time.monotonic() + patience_s
    children = {pid for pid, stat in read_process_table().items() if stat.ppid == os.getpid()}
    _signal_all({pid for pid in children if not _tell_agent(pid)}, signal.SIGTERM)
    while living() and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    deadline = time.monotonic() + 5
    while (left := living()) and time.monotonic() < deadline:
        _signal_all(left, signal.SIGKILL)
        time.sleep(LOOK_S)
    return not living()


def _tell_agent(pid: int) -> bool:
    """Whether it is an agent that listens."""
    marks = marks_of(pid)
    if marks is None or marks.process:
        return False
    with contextlib.suppress(OSError):
        return order_end(marks.identity)
    return False


def living() -> "set[int]":
    """What is alive of all that was started here, the children of the dead included: they came back
    to us."""
    return descendants(read_process_table(), {os.getpid()})


def _signal_all(pids: "set[int]", number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
