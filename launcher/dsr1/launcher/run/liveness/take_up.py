"""Agents that run without a supervisor are listened to again, unless another one has them by
now."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from functools import partial

from dsr1.hosts.errors import HostError
from dsr1.hosts.protocol.http import HttpGot
from dsr1.hosts.transport.parallel import raise_all, run_on_all
from dsr1.hosts.transport.results import HostState
from dsr1.launcher.run.agents import RETRY_S, Agents, AgentTaken
from dsr1.launcher.run.liveness.watching import own_lease, rival_of
from dsr1.launcher.run.supervision.verdict import superseded

SILENT_S = 20.0  # twice, for the first host and the rest: well below spawn.TAKE_OVER_S
StateByHost = Mapping[str, HostState | HostError]


def listen_again(agents: Agents, hosts: tuple[str, ...], first_event: bool) -> StateByHost:
    """What was seen of each host. With `first_event` all that was ever told is heard again, and
    every host must answer (HostError); else who can't be heard keeps its error. Superseded, before
    anything else is wrong.

    The first host that has an agent decides: of two that come at once one finds it taken, and has
    touched no other.
    """
    known = dict(agents.look(hosts))
    alive = tuple(host for host in hosts if _is_alive(known[host]))
    for some in (alive[:1], alive[1:]):
        if first_event:
            agents.attach(some)
        else:
            known |= agents.attach_seen({host: known[host] for host in some})
        _refuse_rivals(agents, [host for host in some if _is_alive(known[host])])
    if first_event:
        raise_all(known)
        agents.attach(tuple(host for host in hosts if host not in alive))
    return known


def spawned(found: StateByHost) -> frozenset[str]:
    """Names of the processes that were ever started."""
    states = [state for state in found.values() if isinstance(state, HostState)]
    return frozenset(one.name for state in states for one in state.processes if one.pid)


def _is_alive(state: object) -> bool:
    return isinstance(state, HostState) and state.agent == "alive"


def _refuse_rivals(agents: Agents, hosts: Sequence[str]) -> None:
    for host, got in run_on_all(partial(_take_lease, agents), hosts).items():
        if isinstance(got, HttpGot) and (by := rival_of(got)):
            raise superseded(AgentTaken(host, by))


def _take_lease(agents: Agents, host: str) -> HttpGot | None:
    """What its agent says, however often it must be asked: an answer that is late is no consent.
    None: it is lost, or hangs, and is judged as that from here on."""
    until = time.monotonic() + SILENT_S
    while agents.hears(host) and time.monotonic() < until:
        with contextlib.suppress(HostError):
            return agents.get(host, (own_lease(),))[0]
        time.sleep(RETRY_S)
    return None
