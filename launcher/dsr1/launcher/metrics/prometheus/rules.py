"""When somebody is to be called: one row a rule, with what to do, and an example that fires it.

Expressions are over the labels of targets.py (run, process, host, role, group) and vLLM's `engine`,
which is the rank.
"""

import yaml

from dsr1.hosts.dataclass import dataclass

# Both projects move the pages of their sites about; a file of one commit stays where it is.
VLLM = "https://github.com/vllm-project/vllm/blob"
DYNAMO = "https://github.com/ai-dynamo/dynamo/blob"
NVIDIA = "https://docs.nvidia.com/deploy"
TROUBLESHOOTING = f"{VLLM}/7c61253f9941174c234dee5f50bd595a2ddc17e5/docs/usage/troubleshooting.md"
OPTIMIZATION = f"{VLLM}/10056c17168807fb2f1081374ad79a3520b09bcf/docs/configuration/optimization.md"
EXPERTS = (
    f"{VLLM}/13642f1eed8507b4e80dac4540c92ab7cd0a1c07/docs/serving/expert_parallel_deployment.md"
)
NIXL = f"{VLLM}/029e67cd28a384cbe019ce4427b26d93028ae7d3/docs/features/nixl_connector_usage.md"
ROUTER = f"{DYNAMO}/29bfc456652ec0346b2c230871dd6e159b246b6c/docs/components/router/README.md"
PLANNER = f"{DYNAMO}/7a183aeddf19b09af491ba64314b472ee78be88e/docs/components/planner/README.md"
OBSERVABILITY = f"{DYNAMO}/9f58ad0e3fc8e916a1323e59ac0b413cb81e7fc9/docs/observability/README.md"
PLACE = ("group", "host", "process", "of", "gpu", "device")
"""Labels that say where, as far as an alert has them."""
BY_PROCESS = "sum by (run, host, process)"


@dataclass(frozen=True, slots=True)
class AlertRule:
    """`lasting`: how long `expression` has to hold, as Prometheus writes times. `example`: series
    with their values, a minute apart, that fire it once; see `promtool test rules`."""

    name: str
    expression: str
    lasting: str
    severity: str
    summary: str
    remedy: str
    link: str
    example: tuple[tuple[str, str], ...]


def _at(name: str, **labels: str) -> str:
    own = {"run": "r", "host": "n1", "process": "p", "group": "g", "role": "decode", **labels}
    shown = ", ".join(f'{key}="{value}"' for key, value in own.items())
    return f"{name}{{{shown}}}"


def _bit(bit: int) -> str:
    return f"floor(dsr1_gpu_throttle / {bit}) % 2 == 1"


RULES: tuple[AlertRule, ...] = (
    AlertRule(
        "Dsr1Hung",
        f"{BY_PROCESS}(vllm:num_requests_running) > 0 and"
        f" {BY_PROCESS}(rate(vllm:generation_tokens_total[2m])"
        " + rate(vllm:prompt_tokens_total[2m])) == 0",
        "2m",
        "critical",
        "has requests and gets on with none of them",
        "dsr1 status and dsr1 why name the rank; dsr1 restart RUN ENGINE starts its engine again",
        TROUBLESHOOTING,
        (
            (_at("vllm:num_requests_running"), "3x20"),
            (_at("vllm:generation_tokens_total"), "7x20"),
            (_at("vllm:prompt_tokens_total"), "9x20"),
        ),
    ),
    AlertRule(
        "Dsr1KvCacheFull",
        "max by (run, host, process, engine)(vllm:kv_cache_usage_perc) > 0.95",
        "5m",
        "warning",
        "has hardly any KV cache left",
        "fewer requests at once (max_num_seqs), a smaller max_model_len, or another replica",
        OPTIMIZATION,
        ((_at("vllm:kv_cache_usage_perc", engine="0"), "0.99x20"),),
    ),
    AlertRule(
        "Dsr1Preemptions",
        f"{BY_PROCESS}(rate(vllm:num_preemptions_total[5m])) > 0.1",
        "5m",
        "warning",
        "throws requests out of its KV cache and computes them again",
        "fewer requests at once (max_num_seqs), or a higher gpu_memory_utilization",
        OPTIMIZATION,
        ((_at("vllm:num_preemptions_total"), "0+60x20"),),
    ),
    AlertRule(
        "Dsr1RankImbalance",
        "max by (run, group)(vllm:num_requests_running)"
        " > 2 * avg by (run, group)(vllm:num_requests_running) + 8",
        "5m",
        "warning",
        "has a rank with more than twice the mean's requests",
        "the router's mode (frontend.router) and its prefix weights; one client's long prefix",
        ROUTER,
        (
            *((_at("vllm:num_requests_running", engine=str(rank)), "1x20") for rank in range(7)),
            (_at("vllm:num_requests_running", engine="7"), "90x20"),
        ),
    ),
    AlertRule(
        "Dsr1EplbUnbalanced",
        "dsr1_eplb_balancedness < 0.5",
        "10m",
        "warning",
        "has a rank whose experts carry more than twice the mean's tokens",
        "more redundant experts or a shorter step_interval (engines.NAME.eplb)",
        EXPERTS,
        ((_at("dsr1_eplb_balancedness", process="devices", of="main-0"), "0.3x20"),),
    ),
    AlertRule(
        "Dsr1PrefillQueue",
        'sum by (run)(vllm:num_requests_waiting{role="prefill"}) > 20',
        "2m",
        "warning",
        "has more than 20 requests waiting for a prefill engine",
        "another prefill replica (dsr1 scale), or fewer prompts at once",
        PLANNER,
        ((_at("vllm:num_requests_waiting", role="prefill"), "30x20"),),
    ),
    AlertRule(
        "Dsr1NixlFailures",
        f"{BY_PROCESS}(increase(vllm:nixl_num_failed_transfers_total[5m])"
        " + increase(vllm:nixl_num_kv_expired_reqs_total[5m])) > 0",
        "0m",
        "warning",
        "lost transfers of KV caches, or they came too late",
        "dsr1 check shows adapters and links; UCX's lines in its log; a decode engine that is full",
        NIXL,
        (
            (_at("vllm:nixl_num_failed_transfers_total"), "0+1x20"),
            (_at("vllm:nixl_num_kv_expired_reqs_total"), "0x20"),
        ),
    ),
    AlertRule(
        "Dsr1DroppedKvEvents",
        f"{BY_PROCESS}(increase(dynamo_component_kv_publisher_engines_dropped_events_total[5m]))"
        " > 0",
        "0m",
        "warning",
        "lost KV events: the router's picture of its cache is wrong",
        "dsr1 restart RUN ENGINE gives the router a fresh one; is the host short of CPU?",
        ROUTER,
        (
            (
                _at("dynamo_component_kv_publisher_engines_dropped_events_total"),
                "0+5x20",
            ),
        ),
    ),
    AlertRule(
        "Dsr1GpuThrottled",
        " or ".join(_bit(bit) for bit in (0x08, 0x20, 0x40, 0x80)),
        "2m",
        "warning",
        "has a GPU that is slowed down by heat, power or hardware",
        "dsr1 top says by what; airflow, power supply, nvidia-smi -q -d PERFORMANCE",
        f"{NVIDIA}/nvml-api/group__nvmlClocksEventReasons.html",
        ((_at("dsr1_gpu_throttle", gpu="3"), "64x20"),),
    ),
    AlertRule(
        "Dsr1LinkErrors",
        "increase(dsr1_gpu_nvlink_errors[10m]) > 0 or increase(dsr1_rdma_errors[10m]) > 0",
        "0m",
        "warning",
        "counts errors of NVLink or of an RDMA port",
        "dsr1 check names the link; reseat the cable, or drain the host (dsr1 drain RUN HOST)",
        f"{NVIDIA}/gpu-debug-guidelines/index.html",
        ((_at("dsr1_rdma_errors", device="mlx5_0", port="1"), "0+2x20"),),
    ),
    AlertRule(
        "Dsr1EccUncorrected",
        "increase(dsr1_gpu_ecc_uncorrected[10m]) > 0",
        "0m",
        "critical",
        "has a GPU with memory errors that can't be corrected",
        "drain the host (dsr1 drain RUN HOST), reset the GPU, and see dmesg for Xid lines",
        f"{NVIDIA}/gpu-debug-guidelines/index.html",
        ((_at("dsr1_gpu_ecc_uncorrected", gpu="0"), "0+1x20"),),
    ),
    AlertRule(
        "Dsr1DiskFull",
        "dsr1_disk_free_bytes < 1e9",
        "1m",
        "warning",
        "has less than 1 GB left where its agent writes logs and records",
        "logs.max and logs.keep of the recipe bound logs; what else fills that disk?",
        TROUBLESHOOTING,
        ((_at("dsr1_disk_free_bytes", process="devices"), "5e6x20"),),
    ),
    AlertRule(
        "Dsr1Degraded",
        'dsr1_run_phase{phase=~"degraded|unavailable|failed"} == 1',
        "1m",
        "critical",
        "does not serve as it should",
        "dsr1 status names the ranks, dsr1 why the first cause",
        TROUBLESHOOTING,
        ((_at("dsr1_run_phase", phase="degraded"), "1x20"),),
    ),
    AlertRule(
        "Dsr1TargetDown",
        "up == 0",
        "1m",
        "critical",
        "can't be asked for its metrics",
        "dsr1 status says whether the process lives and the agent is reached",
        OBSERVABILITY,
        ((_at("up"), "0x20"),),
    ),
)


def render_alert_rules() -> str:
    """A file of rules of Prometheus's."""
    return _dump({"groups": [{"name": "dsr1", "rules": [_plain(rule) for rule in RULES]}]})


def _plain(rule: AlertRule) -> dict[str, object]:
    parts = (f"{{{{ with $labels.{name} }}}} {{{{ . }}}}{{{{ end }}}}" for name in PLACE)
    who = "{{ $labels.run }}" + "".join(parts)
    return {
        "alert": rule.name,
        "expr": rule.expression,
        "for": rule.lasting,
        "labels": {"severity": rule.severity},
        "annotations": {
            "summary": f"{who} {rule.summary}",
            "remedy": rule.remedy,
            "runbook_url": rule.link,
        },
    }


def _dump(plain: object) -> str:
    return yaml.safe_dump(plain, sort_keys=False, width=100)
