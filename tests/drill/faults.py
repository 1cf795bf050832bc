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
from tests.drill import verbs
from tests.drill.broken import Broken
from tests.drill.round import OTHER_PORTS, Round
from tests.drill.world import MarkedProcess, of_run


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


def _replace_folder(round_: Round, rng: Random) -> str:
    """As by a backup that is put back: a copy stands where the folder was."""
    away, seconds = f"/home/launch/away-{rng.random()}", rng.choice((0.0, rng.uniform(0, 5)))
    round_.cluster.run("login", ("mv", round_.folder, away))
    time.sleep(seconds)  # how long it is away is the fault
    round_.cluster.run("login", ("cp", "-a", away, round_.folder))
    return f"the run's folder moved away, and {seconds:.1f} s later a copy put back"


def _stop_with_hung_agents(round_: Round, rng: Random) -> str:
    """They are suspended before it or meanwhile."""
    agents = [one for one in of_run(round_.cluster, round_.run_id) if not one.marks.process]
    words, after_s = ("stop", round_.name), rng.choice((0.0, rng.uniform(0, 2)))
    begun = round_.login.begin(*words)
    time.sleep(after_s)  # as above
    for one in (hung := rng.sample(agents, rng.randint(1, len(agents)) if agents else 0)):
        send(one.pid, signal.SIGSTOP)
    code, boxes = verbs.finish(begun, words), round_.cluster.boxes
    if code and all(boxes[host].up and host not in round_.cut for host in round_.hosts):
        raise Broken(f"stop says {code}, with {len(hung)} agents hung, and every host is reached")
    return f"stop ({code}), and after {after_s:.1f} s SIGSTOP to {len(hung)} agents"


def _operate(act: verbs.Operation) -> "Fault":
    """Whoever watches the run then, and whichever has its name."""

    def fault(round_: Round, rng: Random) -> str:
        said = act(round_.operated(), rng)
        round_.follow()
        return said

    return fault


def _stop_beside(run: verbs.Operated, rng: Random) -> str:
    """Also of a run that has lost its supervisor, or its folder."""
    folder, hosts = f"/home/launch/.local/state/dsr1/runs/{run.name}", ",".join(run.hosts)
    loss = rng.choice(("nothing", "its supervisor", "its folder"))
    if loss == "its supervisor":
        pid = f"$(grep -o '[0-9]*' {folder}/supervisor.json | head -n 1)"
        run.cluster.run("login", ("sh", "-c", f"kill -KILL {pid}"))
    if loss == "its folder":
        run.cluster.run("login", ("rm", "-rf", folder))
        words = [(verb, run.name, "--hosts", hosts) for verb in ("adopt", "stop")]
        return f"{loss} lost, then {verbs.beside_each_other(run.login, words, rng)}"
    return f"{loss} lost, then {verbs.stop_beside(run, rng, ('adopt', run.name, '--hosts', hosts))}"


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
    _replace_folder,
    _stop_with_hung_agents,
    _operate(_stop_beside),
    _operate(verbs.kill_a_verb),
    _operate(verbs.kill_a_launch),
)
