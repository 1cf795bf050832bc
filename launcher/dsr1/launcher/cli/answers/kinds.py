"""The forms of answers in JSON, from the types that they are made of."""

from typing import Any, NamedTuple, get_type_hints

from pydantic import TypeAdapter, create_model

from dsr1.hosts.protocol.caches import HostPack
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.transport.exec import ExecResult
from dsr1.hosts.transport.results import Listener
from dsr1.launcher.benchmark.comparing import ComparisonAnswer
from dsr1.launcher.benchmark.store import BenchResult
from dsr1.launcher.caches.store import Pack
from dsr1.launcher.cli.answers.envelope import SCHEMA, AnswerError
from dsr1.launcher.cli.answers.run_answers import RunAnswer
from dsr1.launcher.cli.prewarm import PrewarmedEngine
from dsr1.launcher.cli.views.changes import INNER
from dsr1.launcher.health.verdicts import RankHealth
from dsr1.launcher.lifecycle.changes import WantedChange
from dsr1.launcher.lifecycle.deployment import EngineUnit
from dsr1.launcher.lifecycle.state import EngineState
from dsr1.launcher.metrics.loads import DeploymentView
from dsr1.launcher.operate.updating import KeyDifference
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.report.events import RunEvent
from dsr1.launcher.report.timeline import Timeline
from dsr1.launcher.run.adoption import FoundRun
from dsr1.launcher.run.ranks import RankRow
from dsr1.launcher.run.state import RunState
from dsr1.launcher.triage.earlier import EarlierFailure
from dsr1.launcher.triage.judge import Cause
from dsr1.launcher.tuning.mapping.convert import KeyChange
from dsr1.launcher.tuning.result.answer import TuneAnswer

Time = str | None
"""ISO 8601, in UTC."""


class Given(NamedTuple):
    """Keys of these types, less those that are `left_out`: they go by other names, or nowhere."""

    types: tuple[type, ...]
    left_out: tuple[str, ...] = ()


NOTHING = Given(())


def _list(of: Any) -> Any:
    return list[of]


def _by_host(of: Any) -> Any:
    return dict[str, of]


def _form(name: str, given: Given = NOTHING, /, **more: Any) -> Any:
    """A model of the keys that are given, and more."""
    keys: dict[str, Any] = {}
    for kind in given.types:
        keys |= get_type_hints(kind)
    kept = {key: value for key, value in keys.items() if key not in given.left_out} | more
    fields: dict[str, Any] = {key: (value, ...) for key, value in kept.items()}
    return create_model(name, **fields)


_RANK = _form("RankAnswer", Given((RankRow,), ("moved_at", "spoken")), since=Time)
_AILING = _form("AilingAnswer", Given((RankHealth,)), since=Time)
_ENGINE_STATE = _form("EngineStateAnswer", Given((EngineState,)), since=Time, taken_at=list[Time])
_ENGINE = _form("EngineAnswer", Given((EngineUnit,)), state=_ENGINE_STATE)
_PACK_TIME = {"changed_at": Time}
_REPLY = _form(
    "ReplyAnswer", question=str, text=str, thought=str, tokens=int, first_token_s=float,
    tokens_per_s=float | None,
)  # fmt: skip
_SMOKED = _form(
    "SmokedRankAnswer", name=str, worker_id=str | None, rank=int, prefill_worker_id=str | None,
    prefill_rank=int | None, text=str | None, tokens=int, error=str, tokens_per_s=float | None,
    replies=_list(_REPLY),
)  # fmt: skip
_PLACE = _form("PlaceAnswer", document=int, line=int, keys=list[str | int])
_NOTE = _form("NoteAnswer", kind=str, text=str, key=str, places=_list(_PLACE))
_STATUS = _form(
    "StatusAnswer",
    Given((RunAnswer, RunState), ("name", "ready_after")),
    run=str, ready_after_s=float | None, since=Time, ranks=_list(_RANK), ailing=_list(_AILING),
    engines=_list(_ENGINE), serves=bool, supervised=bool, alive=list[str],
    alive_by_host=dict[str, list[str]], lacks=str, note=str,
)  # fmt: skip
_LAUNCH = _form(
    "LaunchAnswer", run=str, url=str, model=str, hosts=tuple[str, ...], job=str,
    ready_after_s=float | None,
)  # fmt: skip
_LINE = _form("LogLineAnswer", host=str, process=str, time=Time, text=str)
_SMOKE = _form("SmokeAnswer", passed=bool, answers=_list(_SMOKED), problems=list[str])
_EARLIER = _form("EarlierFailureAnswer", Given((EarlierFailure,)), began=Time, over=Time)
_WHY = _form(
    "WhyAnswer", Given((Cause,)), source=str, evidence=dict[str, dict[str, Any]],
    earlier=_list(_EARLIER),
)  # fmt: skip
_TOP = _form("TopAnswer", Given((DeploymentView,)), run=str, phase=str)
_TIMELINE = _form("TimelineAnswer", Given((Timeline,)), run=str, said=list[str])
_LISTENER = _form("ListenerAnswer", Given((Listener,)), everywhere=bool)
_KEPT = _form("KeptCache", Given((Pack,), ("changed",)), **_PACK_TIME)
_HELD = _form("HostCacheAnswer", Given((HostPack,), ("changed",)), **_PACK_TIME)
_CHANGE = _form(
    "ChangeAnswer", Given((WantedChange,), INNER), run=str, differences=list[KeyDifference],
)  # fmt: skip
_CONVERTED = _form(
    "ConvertAnswer", recipe=dict[str, Any], extends=str, remarks=list[str],
    changes=list[KeyChange],
)  # fmt: skip

KINDS: dict[str, Any] = {
    "runs": list[RunAnswer],
    "found-runs": list[FoundRun],
    "status": _STATUS,
    "listeners": _by_host(_list(_LISTENER)),
    "launch": _LAUNCH,
    "stop": _list(_form("StopAnswer", run=str, stopped=bool, left=list[str], spared=list[str])),
    "log-line": _LINE,
    "smoke": _SMOKE,
    "findings": list[Finding],
    "script": _form("ScriptAnswer", text=str),
    "plan": Plan,
    "recipes": _list(_form("RecipeRow", name=str, description=str)),
    "recipe": _form("RecipeAnswer", recipe=dict[str, Any], sources=dict[str, str]),
    "top": _TOP,
    "timeline": _TIMELINE,
    "why": _WHY | None,
    "exec": dict[str, ExecResult],
    "prep": _form("PrepAnswer", hosts=dict[str, dict[str, Any]]),
    "prewarm": list[PrewarmedEngine],
    "fetched-models": _list(_form("FetchedModel", folder=str, commit=str)),
    "pushed-model": _by_host(_form("PushedModel", received_bytes=int)),
    "kept-caches": _list(_KEPT),
    "host-caches": _by_host(_list(_HELD)),
    "import": _form("ImportAnswer", recipe=dict[str, Any], notes=_list(_NOTE)),
    "convert": _CONVERTED,
    "bench": list[BenchResult],
    "bench-comparison": ComparisonAnswer,
    "tune": _form("TunedAnswer", Given((TuneAnswer,)), folder=str),
    "wait": _form("WaitAnswer", run=str, phase=str, serves=bool, url=str, model=str),
    "removed-runs": _list(_form("RemovedRun", run=str)),
    "change": _CHANGE,
    "supervised-run": _form("SupervisedRun", run=str, phase=str),
    "event": _form("EventAnswer", Given((RunEvent,)), time=Time),
    "sent-trace": _form("SentTrace", spans=int, url=str),
    "report": _form("ReportAnswer", file=str),
    "bundle": _form("BundleAnswer", file=str, files=int),
    "metrics-files": _form("MetricsFiles", files=list[str], targets=str),
    "metrics-servers": _form("MetricsServers", prometheus=str, bridge=str, grafana=str),
    "removed-caches": _list(_form("RemovedCache", host=str, key=str)),
    "pushed-caches": _list(_form("PushedCache", host=str, key=str, copied=bool)),
    "init": _form("SiteFile", file=str, text=str),
    "explained-checks": dict[str, str],
    "schema": dict[str, Any],
}
"""All of them, which a test holds to what verbs answer."""


def answer_schema(kind: str) -> dict[str, Any]:
    """Of the whole envelope. Keys may be added to data and errors within one schema."""
    data = TypeAdapter(KINDS[kind]).json_schema()
    errors = TypeAdapter(list[AnswerError]).json_schema()
    known = {**data.pop("$defs", {}), **errors.pop("$defs", {})}
    parts = {"schema": {"const": SCHEMA}, "kind": {"const": kind}, "data": data, "errors": errors}
    whole = {"type": "object", "properties": parts, "required": list(parts)}
    return {**whole, "$defs": known}
