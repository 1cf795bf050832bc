"""The forms of answers in JSON, from the types that they are made of."""

from typing import Any

from pydantic import TypeAdapter

from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.transport.exec import ExecResult
from dsr1.launcher.benchmark.comparing import ComparisonAnswer
from dsr1.launcher.benchmark.store import BenchResult
from dsr1.launcher.cli.answers.envelope import SCHEMA, AnswerError
from dsr1.launcher.cli.answers.run_answers import RunAnswer
from dsr1.launcher.plan.plan import Plan

KINDS: dict[str, Any] = {
    "runs": list[RunAnswer],
    "findings": list[Finding],
    "exec": dict[str, ExecResult],
    "plan": Plan,
    "bench": list[BenchResult],
    "bench-comparison": ComparisonAnswer,
}
"""Those whose data is of one type; docs/json.md has all."""


def answer_schema(kind: str) -> dict[str, Any]:
    """Of the whole envelope. Keys may be added to data and errors within one schema."""
    data = TypeAdapter(KINDS[kind]).json_schema()
    errors = TypeAdapter(list[AnswerError]).json_schema()
    known = {**data.pop("$defs", {}), **errors.pop("$defs", {})}
    parts = {"schema": {"const": SCHEMA}, "kind": {"const": kind}, "data": data, "errors": errors}
    whole = {"type": "object", "properties": parts, "required": list(parts)}
    return {**whole, "$defs": known}
