"""A dashboard of Grafana's, from typed panels. Grafana's own SDK models every plugin in 60 MB; a
dashboard needs these few fields of its schema (version 39)."""

import json

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.metrics.series import ITL, TTFT

COLUMNS, WIDTH, HEIGHT = 3, 8, 8  # Grafana's grid is 24 wide
SOURCE = {"type": "prometheus", "uid": "${source}"}
OF_RUN = '{run="$run"}'
PREFILL = '{run="$run", role="prefill"}'
DECODE = '{run="$run", role="decode"}'


@dataclass(frozen=True, slots=True)
class Query:
    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """`unit`: in Grafana's words."""

    title: str
    unit: str
    queries: tuple[Query, ...]


def _rate(series: str, legend: str, labels: str = OF_RUN) -> Query:
    by = f" by ({legend})" if legend else ""
    return Query(f"sum{by}(rate({series}{labels}[1m]))", f"{{{{{legend}}}}}" if legend else series)


def _quantile(part: float, *series: str) -> Query:
    buckets = " or ".join(f"sum by (le)(rate({one}_bucket{OF_RUN}[5m]))" for one in series)
    return Query(f"histogram_quantile({part}, {buckets})", f"p{round(100 * part)}")


PANELS: tuple[Panel, ...] = (
    Panel(
        "Tokens a second",
        "short",
        (
            Query(f"sum(rate(vllm:generation_tokens_total{OF_RUN}[1m]))", "out"),
            Query(f"sum(rate(vllm:prompt_tokens_total{OF_RUN}[1m]))", "in"),
        ),
    ),
    Panel("Tokens a second, by host", "short", (_rate("vllm:generation_tokens_total", "host"),)),
    Panel(
        "Requests",
        "short",
        (
            Query(f"sum(vllm:num_requests_running{OF_RUN})", "running"),
            Query(
                f"sum by (reason)(vllm:num_requests_waiting_by_reason{OF_RUN})",
                "waiting: {{reason}}",
            ),
        ),
    ),
    Panel("Time to the first token", "s", (_quantile(0.5, *TTFT), _quantile(0.95, *TTFT))),
    Panel("Time between tokens", "s", (_quantile(0.5, *ITL), _quantile(0.95, *ITL))),
    Panel(
        "KV cache",
        "percentunit",
        (
            Query(f"max by (group)(vllm:kv_cache_usage_perc{OF_RUN})", "{{group}}, the fullest"),
            Query(f"avg by (group)(vllm:kv_cache_usage_perc{OF_RUN})", "{{group}}, mean"),
        ),
    ),
    Panel("Preemptions a second", "short", (_rate("vllm:num_preemptions_total", "process"),)),
    Panel(
        "Busiest rank by the mean",
        "short",
        (
            Query(
                f"max by (group)(vllm:num_requests_running{OF_RUN})"
                f" / (avg by (group)(vllm:num_requests_running{OF_RUN}) > 0)",
                "{{group}}",
            ),
        ),
    ),
    Panel(
        "Balance of experts, the mean by the most",
        "percentunit",
        (Query(f"min by (of)(dsr1_eplb_balancedness{OF_RUN})", "{{of}}"),),
    ),
    Panel(
        "Requests a rank, prefill and decode",
        "short",
        (
            Query(f"avg(vllm:num_requests_running{PREFILL})", "prefill"),
            Query(f"avg(vllm:num_requests_running{DECODE})", "decode"),
        ),
    ),
    Panel("NIXL", "Bps", (_rate("vllm:nixl_bytes_transferred_sum", "process"),)),
    Panel(
        "NIXL failures",
        "short",
        (
            _rate("vllm:nixl_num_failed_transfers_total", "process"),
            _rate("vllm:nixl_num_kv_expired_reqs_total", "process"),
        ),
    ),
    Panel(
        "Prefix hits",
        "percentunit",
        (
            Query(
                f"sum(rate(vllm:prefix_cache_hits_total{OF_RUN}[5m]))"
                f" / (sum(rate(vllm:prefix_cache_queries_total{OF_RUN}[5m])) > 0)",
                "engines",
            ),
            Query(
                f"sum(rate(dynamo_component_router_kv_hit_rate_sum{OF_RUN}[5m]))"
                f" / (sum(rate(dynamo_component_router_kv_hit_rate_count{OF_RUN}[5m])) > 0)",
                "router",
            ),
        ),
    ),
    Panel(
        "GPU memory",
        "percentunit",
        (
            Query(
                f"max by (host)(dsr1_gpu_memory_used_bytes{OF_RUN}"
                f" / dsr1_gpu_memory_total_bytes{OF_RUN})",
                "{{host}}",
            ),
        ),
    ),
    Panel("GPU power", "watt", (Query(f"sum by (host)(dsr1_gpu_power_w{OF_RUN})", "{{host}}"),)),
    Panel(
        "GPU temperature",
        "celsius",
        (Query(f"max by (host)(dsr1_gpu_temperature_c{OF_RUN})", "{{host}}"),),
    ),
    Panel("NVLink", "KiBs", (_rate("dsr1_gpu_nvlink_sent_kib", "host"),)),
    Panel("RDMA", "Bps", (_rate("dsr1_rdma_sent_bytes", "host"),)),
    Panel(
        "Link and memory errors",
        "short",
        (
            _rate("dsr1_gpu_nvlink_errors", "host"),
            _rate("dsr1_rdma_errors", "host"),
            _rate("dsr1_gpu_ecc_uncorrected", "host"),
        ),
    ),
    Panel(
        "Ranks that are unwell",
        "short",
        (Query(f"sum by (group)(dsr1_rank_unwell{OF_RUN})", "{{group}}"),),
    ),
)


def render_dashboard() -> str:
    return json.dumps(
        {
            "title": "dsr1",
            "uid": "dsr1",
            "schemaVersion": 39,
            "tags": ["dsr1"],
            "editable": True,
            "refresh": "10s",
            "time": {"from": "now-30m", "to": "now"},
            "templating": {"list": [_source_variable(), _run_variable()]},
            "panels": [_panel(number, panel) for number, panel in enumerate(PANELS)],
        },
        indent=1,
    )


def _source_variable() -> dict[str, object]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _run_variable() -> dict[str, object]:
    return {
        "name": "run",
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": "label_values(up, run)", "refId": "run"},
        "refresh": 2,
    }


def _panel(number: int, panel: Panel) -> dict[str, object]:
    row, column = divmod(number, COLUMNS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
            }
            for index, query in enumerate(panel.queries)
        ],
    }
