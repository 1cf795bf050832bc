"""What may befall a run in a drill. Each fault is a function of the drill's round; it says in words
what it did."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from random import Random

from tests.cluster.hosts import LOGIN
from tests.cluster.login import MOCKER, Login
from tests.drill.round import Broken, Round
from tests.drill.world import MarkedProcess, of_run

OTHER_PORTS = ("--set", "ports.base=26000", "--set", "frontend.port=9100")


def send(pid: int, number: signal.Signals) -> None:
    """It may have ended meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _some_process(round_: Round, rng: Random, agents: bool) -> MarkedProcess | None:
    found = of_run(round_.cluster, round_.run_id)
    fitting = [one for one in found if (not one.marks.process) == agents]
    return rng.choice(fitting) if fitting else None


def _signal(number: signal.Signals, agents: bool) -> "Fault":
    def fault(round_: Round, rng: Random) -> str:
        process = _some_process(round_, rng, agents)
        if process is None:
            return "nothing to signal"
        send(process.pid, number)
        return f"{number.name} to {process.marks.process or 'the agent'} on {process.box}"

    return fault


def _host(round_: Round, rng: Random) -> str:
    """One that is up and on the network; empty when there is none."""
    boxes = round_.cluster.boxes
    fitting = [box for box in round_.hosts if boxes[box].up and box not in round_.cut]
    return rng.choice(fitting) if fitting else ""


def _on_a_host(act: Callable[[Round, Random, str], str]) -> "Fault":
    def fault(round_: Round, rng: Random) -> str:
        box = _host(round_, rng)
        return act(round_, rng, box) if box else "no host is left to harm"

    return fault


def _cleaner(round_: Round, rng: Random, box: str) -> str:
    round_.cluster.run(box, ("sh", "-c", "rm -rf /tmp/dsr1-*/*"))
    return f"/tmp/dsr1-* of {box} emptied"


def _short_cut(round_: Round, rng: Random, box: str) -> str:
    round_.cluster.cut(box)
    time.sleep(rng.uniform(0.2, 2))  # how long it lasts is the fault
    round_.cluster.heal(box)
    return f"{box} cut for a moment"


def _long_cut(round_: Round, rng: Random, box: str) -> str:
    round_.cluster.cut(box)
    round_.cut.add(box)
    return f"{box} cut"


def _crash(round_: Round, rng: Random, box: str) -> str:
    round_.cluster.crash(box)
    return f"{box} lost its power"


def _reboot(round_: Round, rng: Random, box: str) -> str:
    for one in of_run(round_.cluster, round_.run_id):
        if one.box == box:
            send(one.pid, signal.SIGTERM)
    round_.cluster.crash(box)
    round_.cluster.boot(box)
    return f"{box} rebooted"


def _sshd(round_: Round, rng: Random, box: str) -> str:
    round_.cluster.stop_sshd(box)
    time.sleep(rng.uniform(0, 2))  # how long it lasts is the fault
    round_.cluster.start_sshd(box)
    return f"sshd of {box} restarted"


def _second_launcher(round_: Round, rng: Random) -> str:
    other = Login(round_.cluster, {"DSR1_STATE_DIR": f"/home/launch/other-{rng.random()}"})
    hosts = ",".join(rng.sample(round_.hosts, len(round_.hosts)))
    refused = other.launch(round_.name, hosts, *MOCKER, *OTHER_PORTS)
    if refused.returncode not in (0, 3, 4):
        raise Broken(f"a second launcher: {refused.returncode}: {refused.stderr}")
    if refused.returncode == 0 and (stopped := other.dsr1("stop", round_.name)).returncode:
        raise Broken(f"the second launcher's stop: {stopped.returncode}: {stopped.stderr}")
    return f"a second launcher of the same name: {refused.returncode}"


def _supervisor(number: signal.Signals) -> "Fault":
    def fault(round_: Round, rng: Random) -> str:
        round_.cluster.run("login", ("kill", f"-{number.value}", str(round_.supervisor)))
        return f"{number.name} to the supervisor"

    return fault


def _clock(round_: Round, rng: Random) -> str:
    box, hours = rng.choice((LOGIN, *round_.hosts)), rng.choice((-12, -1, 1, 12))
    if round_.cluster.boxes[box].up:
        round_.cluster.set_clock(box, hours * 3600)
    return f"the clock of {box} set {hours:+d} h"


def _remove_folder(round_: Round, rng: Random) -> str:
    round_.cluster.run("login", ("rm", "-rf", round_.folder))
    return "the run's folder removed"


Fault = Callable[[Round, Random], str]
FAULTS: tuple[Fault, ...] = (
    _signal(signal.SIGKILL, agents=False),
    _signal(signal.SIGTERM, agents=False),
    _signal(signal.SIGSTOP, agents=False),
    _signal(signal.SIGKILL, agents=True),
    _signal(signal.SIGTERM, agents=True),
    _signal(signal.SIGSTOP, agents=True),
    _on_a_host(_cleaner),
    _on_a_host(_short_cut),
    _on_a_host(_long_cut),
    _on_a_host(_crash),
    _on_a_host(_reboot),
    _on_a_host(_sshd),
    _second_launcher,
    _supervisor(signal.SIGKILL),
    _supervisor(signal.SIGSTOP),
    _clock,
    _remove_folder,
)
