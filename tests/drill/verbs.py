"""Verbs of dsr1 beside each other, and killed at any moment, of a run that is anywhere: over SSH or
in a job. They tell in words what they did; Broken: a verb that ends in a traceback, or a killed launch
that leaves something which its run's `stop` doesn't find."""

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from tests.cluster.hosts import Cluster
from tests.cluster.login import Login
from tests.drill.broken import Broken
from tests.drill.world import describe, marked_processes

MOST_S, LAUNCH_S = 400.0, 12.0
Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Operated:
    """A run, for whoever operates it. `launching` are the words that launch one of its kind, on its
    hosts, by a name that is put behind them; `another` those of one that may live beside it."""

    cluster: Cluster
    login: Login
    name: str
    launching: Words
    another: Words
    hosts: tuple[str, ...] = ()


def finish(verb: "subprocess.Popen[str]", words: Sequence[str]) -> int:
    """Its exit code."""
    _, said = verb.communicate(timeout=MOST_S)
    if "Traceback" in said or verb.returncode not in range(8):
        raise Broken(f"dsr1 {' '.join(words)}: {verb.returncode}: {said}")
    return verb.returncode


def beside_each_other(login: Login, words: Sequence[Words], rng: Random) -> str:
    """Two verbs, in either order, the second a moment after the first."""
    first, second = rng.sample(list(words), 2)
    begun = login.begin(*first)
    delay_s = rng.choice((0.0, rng.uniform(0, 1), rng.uniform(0, 6)))
    time.sleep(delay_s)  # how long after is the fault
    other = login.begin(*second)
    codes = finish(begun, first), finish(other, second)
    return f"{first[0]} ({codes[0]}) and {delay_s:.1f} s later {second[0]} ({codes[1]})"


def stop_beside(run: Operated, rng: Random, *more: Words) -> str:
    """`more` are further verbs that may be beside it."""
    replace = (*run.launching, run.name, "--replace")
    others = (("stop", run.name), ("rm", run.name), ("supervise", run.name), replace, *more)
    return beside_each_other(run.login, (("stop", run.name), rng.choice(others)), rng)


def kill_a_verb(run: Operated, rng: Random) -> str:
    verb = rng.choice(("status", "ps", "stop", "rm", "supervise", "smoke", "why", "restart"))
    words = (verb,) if verb == "ps" else (verb, run.name)
    return _begin_and_kill(run.login, words, rng.uniform(0, 4))


def kill_a_launch(run: Operated, rng: Random) -> str:
    """Of another run, which is stopped then: nothing of it may be left."""
    name = f"{run.name}-killed"
    said = _begin_and_kill(run.login, (*run.another, name), rng.uniform(0, LAUNCH_S))
    phase = run.login.dsr1("ps").stdout
    words = ("stop", name)
    code = finish(run.login.begin(*words), words)
    left = [one for one in marked_processes(run.cluster) if one.marks.run == name]
    if left or code not in (0, 5):
        raise Broken(f"{said}: stop says {code}, and there lives {describe(left)}; ps: {phase}")
    run.login.dsr1("rm", name)
    return said


def _begin_and_kill(login: Login, words: Words, after_s: float) -> str:
    begun = login.begin(*words)
    time.sleep(after_s)  # when it is killed is the fault
    begun.kill()
    begun.communicate()
    return f"dsr1 {words[0]} killed after {after_s:.1f} s"


Operation = Callable[[Operated, Random], str]
