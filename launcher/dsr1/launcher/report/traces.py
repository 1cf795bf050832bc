"""A start as a trace of OpenTelemetry's: a span a rank, a span a phase. Only where an endpoint is
given, and the extra `otel` is installed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.launcher.report.timeline import PhaseSpan, RankStart, Timeline

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

NS = 1_000_000_000


def send_trace(run: str, timeline: Timeline, endpoint: str) -> int:
    """How many spans were sent. `endpoint`: OTLP over HTTP, with its path. InputError: the extra
    isn't installed; LaunchFailed: nobody took them."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise InputError("--otlp: needs OpenTelemetry: pip install 'dsr1[otel]'") from None
    return export_trace(run, timeline, OTLPSpanExporter(endpoint=endpoint, timeout=10), endpoint)


def export_trace(
    run: str, timeline: Timeline, exporter: "SpanExporter", endpoint: str = "the exporter"
) -> int:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "dsr1", "dsr1.run": run}))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    _trace(provider.get_tracer("dsr1"), run, timeline)
    spans: Sequence[ReadableSpan] = kept.get_finished_spans()
    if exporter.export(spans) is not SpanExportResult.SUCCESS:
        raise LaunchFailed(f"--otlp: {endpoint} did not take the trace of {run}")
    exporter.shutdown()
    return len(spans)


def _trace(tracer: "Tracer", run: str, timeline: Timeline) -> None:
    from opentelemetry.trace import set_span_in_context

    whole = tracer.start_span(f"start of {run}", start_time=_ns(timeline, 0.0))
    within = set_span_in_context(whole)
    for rank in timeline.ranks:
        own = tracer.start_span(rank.name, within, start_time=_ns(timeline, _begin(rank)))
        own.set_attributes(_attributes(rank))
        for span in rank.spans:
            _trace_phase(tracer, set_span_in_context(own), timeline, span)
        own.end(_ns(timeline, rank.spans[-1].end if rank.spans else 0.0))
    whole.end(_ns(timeline, timeline.seconds))


def _trace_phase(tracer: "Tracer", within: object, timeline: Timeline, span: PhaseSpan) -> None:
    begun = tracer.start_span(span.phase, within, start_time=_ns(timeline, span.begin))  # type: ignore[arg-type]
    begun.end(_ns(timeline, span.end))


def _attributes(rank: RankStart) -> dict[str, str | int]:
    return {
        "dsr1.engine": rank.engine,
        "dsr1.rank": rank.rank,
        "host.name": rank.host,
        "dsr1.process": rank.process,
    }


def _begin(rank: RankStart) -> float:
    return rank.spans[0].begin if rank.spans else 0.0


def _ns(timeline: Timeline, seconds: float) -> int:
    return int((timeline.began + seconds) * NS)
