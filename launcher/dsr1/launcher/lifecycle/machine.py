"""The state machine of one engine: (state, event) -> (state, orders). Pure."""

from collections.abc import Set
from dataclasses import replace

from dsr1.launcher.lifecycle.events import (
    Answered,
    Ask,
    Asleep,
    Awake,
    Begin,
    Due,
    End,
    Ended,
    EngineEvent,
    EngineOrder,
    Failed,
    FindHosts,
    HostEvent,
    HostLost,
    MoveAsked,
    NotAsleep,
    NotEnded,
    NotPlaced,
    Placed,
    RestartAsked,
    SleepAsked,
    Started,
    StartProcesses,
    StopAsked,
    Wait,
    WakeAsked,
)
from dsr1.launcher.lifecycle.sleep import resume_drowsy, step_in_sleep
from dsr1.launcher.lifecycle.state import DROWSY, RESTING, EngineState, RestartPolicy, Step


def step(state: EngineState, event: EngineEvent, policy: RestartPolicy, now: float) -> Step:
    """What doesn't fit the phase changes nothing: an event may be late. `now` is in seconds since
    the epoch."""
    after, orders = _step(state, event, policy, now)
    return (after if after.phase == state.phase else replace(after, since=now)), orders


def _step(state: EngineState, event: EngineEvent, policy: RestartPolicy, now: float) -> Step:
    match event:
        case Begin():
            return _begin(replace(state, taken_at=())) if state.phase in RESTING else (state, ())
        case Started():
            return _move(state, "starting", "asking", Ask())
        case Answered():
            return _move(state, "asking", "serving")
        case Failed(why):
            return _end(state, why, "again") if state.is_running else (state, ())
        case Due():
            return _go_on(state)
        case RestartAsked() | MoveAsked() | StopAsked():
            return _step_as_asked(state, event)
        case SleepAsked() | WakeAsked() | Asleep() | NotAsleep() | Awake():
            return step_in_sleep(state, event)
    return _step_on_host(state, event, policy, now)


def _step_as_asked(state: EngineState, event: RestartAsked | MoveAsked | StopAsked) -> Step:
    state = replace(state, asked_at=event.at)
    match event:
        case RestartAsked(why):
            return _restart(state, why)
        case MoveAsked(host, why):
            leaves = host in state.hosts
            return _restart(replace(state, leaving=(host,)), why) if leaves else (state, ())
        case StopAsked(why):
            return _stop(state, why)


def _step_on_host(state: EngineState, event: HostEvent, policy: RestartPolicy, now: float) -> Step:
    match event:
        case HostLost(host, why):
            return _lose(state, host, why, policy, now)
        case Ended(host, number):
            return _prove(state, host, number, policy, now)
        case NotEnded(_, number, why):
            return _refuse(state, number, why, policy)
        case Placed(lost, host):
            return _place(state, lost, host)
        case NotPlaced(why):
            placing = state.phase == "placing"
            return _again(replace(state, why=why), policy, now) if placing else (state, ())


def _move(state: EngineState, before: str, after: str, *orders: EngineOrder) -> Step:
    return (replace(state, phase=after), orders) if state.phase == before else (state, ())


def _begin(state: EngineState) -> Step:
    """Nothing of it lives on the hosts that aren't lost: whoever comes here has proven that. A host
    that is to be left counts as lost from now on."""
    lost = tuple(dict.fromkeys((*state.lost, *state.leaving)))
    state = replace(state, lost=lost, leaving=())
    if lost := tuple(host for host in state.hosts if host in state.lost):
        return replace(state, phase="placing"), (FindHosts(lost),)
    return replace(state, phase="starting", then="again", unproven=state.hosts), (StartProcesses(),)


def _end(state: EngineState, why: str, then: str, *, gently: bool = False) -> Step:
    """Of one that runs. Where all its hosts are lost there is nobody to be asked."""
    state = replace(state, why=why, then=then)
    return _order_end(state, state.awaited, gently=gently)


def _order_end(state: EngineState, hosts: tuple[str, ...], *, gently: bool) -> Step:
    state = replace(state, phase="ending", number=state.number + 1, gently=gently)
    return state, (End(hosts, state.number, gently),)


def resume(state: EngineState, alive: Set[str], whole: bool, policy: RestartPolicy) -> Step:
    """Taken up by another supervisor, which has looked at the hosts: `alive` are those where
    something of it lives, and `whole` tells whether all of it does. What it had ordered may be done
    or not. Hosts that can't be asked have to be told as lost, before or after."""
    state = replace(state, unproven=tuple(dict.fromkeys((*state.unproven, *sorted(alive)))))
    if state.is_running and whole:
        return _resume_whole(state)
    if state.is_running and state.phase == "starting":
        return _end(state, "its start was interrupted", "start")
    if state.is_running:
        return _end(state, "it died while nobody watched", "again")
    if state.phase == "ending":
        return _order_end(state, state.awaited, gently=state.gently)
    return _resume_resting(state, policy)


def _resume_whole(state: EngineState) -> Step:
    """What served, or slept, does so still, as far as is known."""
    if state.phase in DROWSY:
        return resume_drowsy(state)
    return (state, ()) if state.phase == "serving" else (replace(state, phase="asking"), (Ask(),))


def _resume_resting(state: EngineState, policy: RestartPolicy) -> Step:
    if state.awaited:
        then = "down" if state.phase == "down" else "again"
        return _end(state, "something of it lived that shouldn't", then)
    if state.phase == "waiting":
        return state, (Wait(policy.backoff_s),)
    lost = tuple(host for host in state.hosts if host in state.lost)
    return state, ((FindHosts(lost),) if state.phase == "placing" else ())


def _lose(state: EngineState, host: str, why: str, policy: RestartPolicy, now: float) -> Step:
    if host not in (*state.hosts, *state.unproven) or host in state.lost:
        return state, ()
    state = replace(state, lost=(*state.lost, host))
    if state.is_running:
        ending, orders = _end(state, why, "again")
        return (ending, orders) if ending.awaited else _proven(ending, policy, now)
    if state.phase == "ending" and not state.awaited:
        return _proven(state, policy, now)
    return state, ((FindHosts((host,)),) if state.phase == "placing" else ())


def _prove(state: EngineState, host: str, number: int, policy: RestartPolicy, now: float) -> Step:
    if state.phase != "ending" or number != state.number:
        return state, ()
    left = tuple(one for one in state.unproven if one != host)
    state = replace(state, unproven=left)
    return (state, ()) if state.awaited else _proven(state, policy, now)


def _proven(state: EngineState, policy: RestartPolicy, now: float) -> Step:
    """Nothing of it lives on any host that can be asked."""
    if state.then == "down":
        return replace(state, phase="down"), ()
    return _begin(state) if state.then == "start" else _again(state, policy, now)


def _again(state: EngineState, policy: RestartPolicy, now: float) -> Step:
    """One restart less is left, if any."""
    taken = _counted(state, policy, now)
    if len(taken) >= policy.most:
        return replace(state, phase="failed", taken_at=taken), ()
    return replace(state, phase="waiting", taken_at=(*taken, now)), (Wait(policy.backoff_s),)


def _counted(state: EngineState, policy: RestartPolicy, now: float) -> tuple[float, ...]:
    within = policy.within_s
    return tuple(at for at in state.taken_at if within is None or now - at < within)


def restarts_left(state: EngineState, policy: RestartPolicy, now: float) -> int:
    """How often it may be restarted yet."""
    return max(0, policy.most - len(_counted(state, policy, now)))


def _refuse(state: EngineState, number: int, why: str, policy: RestartPolicy) -> Step:
    """What can't be ended isn't started again; it is tried again."""
    if state.phase != "ending" or number != state.number:
        return state, ()
    return replace(state, why=why), (Wait(policy.backoff_s),)


def _go_on(state: EngineState) -> Step:
    if state.phase == "waiting":
        return _begin(state)
    if state.phase == "ending" and state.awaited:
        return _order_end(state, state.awaited, gently=False)
    return state, ()


def _place(state: EngineState, lost: str, host: str) -> Step:
    """In any phase: another engine of the same host may have asked."""
    if lost not in state.lost:
        return state, ()
    hosts = tuple(dict.fromkeys(host if one == lost else one for one in state.hosts))
    left = tuple(one for one in state.unproven if one != lost)
    state = replace(
        state, hosts=hosts, unproven=left, lost=tuple(one for one in state.lost if one != lost)
    )
    still = any(one in state.lost for one in state.hosts)
    return (state, ()) if state.phase != "placing" or still else _begin(state)


def _restart(state: EngineState, why: str) -> Step:
    """Who asks for it has seen to what was wrong: its restarts are given back."""
    state = replace(state, taken_at=())
    if state.is_running:
        return _end(state, why, "start", gently=True)
    if state.phase == "ending":
        return replace(state, then="start"), ()
    return (state, ()) if state.phase == "placing" else _begin(replace(state, why=why))


def _stop(state: EngineState, why: str) -> Step:
    if state.is_running:
        return _end(state, why, "down", gently=True)
    if state.phase == "ending":
        return replace(state, then="down"), ()
    return replace(state, phase="down", why=why, then="down"), ()
