"""What somebody wants changed of a deployment that serves: engine by engine, each asked before the
next. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dsr1.launcher.lifecycle.deployment import EngineUnit
from dsr1.launcher.lifecycle.events import AskedEvent, MoveAsked, RestartAsked, StopAsked

RESTART, MOVE, STOP = "restart", "move", "stop"


@dataclass(frozen=True, slots=True)
class WantedChange:
    """`what` becomes of each of the `engines`: restart, move (away from `host`) or stop. `who`
    wants it, and `why`. `asked_at` identifies it; `done` engines have it behind them, and the next
    has been told at `told_at`, 0: not yet; in seconds since the epoch. `phase`: asked, running,
    done or failed, and then `words` say of what."""

    what: str
    engines: tuple[str, ...]
    who: str
    why: str
    asked_at: float
    host: str = ""
    done: int = 0
    told_at: float = 0.0
    phase: str = "asked"
    words: str = ""

    @property
    def is_over(self) -> bool:
        return self.phase in ("done", "failed")


Order = tuple[str, AskedEvent]


def go_on(
    change: WantedChange, engines: Mapping[str, EngineUnit], now: float
) -> tuple[WantedChange, Order | None]:
    """One look at the engine whose turn it is. A supervisor that was killed may have written down
    that it had told the engine, and not have done so: then it is told again."""
    if change.is_over:
        return change, None
    if change.done == len(change.engines):
        return replace(change, phase="done"), None
    name = change.engines[change.done]
    if name not in engines:
        return replace(change, phase="failed", words=f"{name} is no engine any more"), None
    state = engines[name].state
    if not change.told_at or (state.phase == "serving" and state.since < change.told_at):
        told = replace(change, phase="running", told_at=change.told_at or now)
        return told, (name, _event(change))
    return _judge(change, engines[name]), None


def _event(change: WantedChange) -> AskedEvent:
    why = f"{change.why} ({change.who})"
    if change.what == MOVE:
        return MoveAsked(change.host, why)
    return StopAsked(why) if change.what == STOP else RestartAsked(why)


def _judge(change: WantedChange, engine: EngineUnit) -> WantedChange:
    state, wanted = engine.state, "down" if change.what == STOP else "serving"
    if state.phase in ("waiting", "failed") or (state.phase == "down" and wanted == "serving"):
        return _failed(change, f"{engine.name} is {state.phase}: {state.why}")
    if state.phase != wanted:
        return change
    if change.what == MOVE and change.host in state.hosts:
        return _failed(change, f"{engine.name}: no spare is fit; it is back on {change.host}")
    return replace(change, done=change.done + 1, told_at=0.0)


def _failed(change: WantedChange, words: str) -> WantedChange:
    """The engines after it are left as they are; it goes on by itself."""
    rest = change.engines[change.done + 1 :]
    left = f"; left as they are: {', '.join(rest)}" if rest else ""
    return replace(change, phase="failed", words=words.partition("\n")[0] + left)
