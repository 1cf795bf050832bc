"""Spellings that vLLM and Dynamo no longer know, and today's: what a recipe of yesterday would
silently lose.

vLLM only warns of a variable that it doesn't know, and Dynamo ignores one without a word, so what
it asked for is not what serves. Whether a spelling is really gone is for the installed runtime to
say where it can be asked (vLLM's variables, every flag); this table says what to write instead.
Held against vLLM 0.31 and Dynamo 1.6.1.
"""

from collections.abc import Mapping

from dsr1.hosts.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Retired:
    """`advice` is for people. `key` is the key of a recipe's engine that says it today, `value`
    what it takes.

    A `value` of None: the one that the old spelling had. `lost`: ignoring it changes what is
    served, or how.
    """

    advice: str
    key: str = ""
    value: str | None = None
    lost: bool = False

    @property
    def is_needless(self) -> bool:
        """Nothing took its place, and nothing is missing without it."""
        return self.advice.startswith("Leave it out")


_BACKENDS = "allgather_reducescatter, deepep_low_latency, deepep_high_throughput or deepep_v2"
_V1 = "Leave it out: vLLM has one engine today."
_RAY = "Leave it out: dsr1 runs vLLM without Ray."
_DISCOVERY = "Leave it out: dsr1 sets DYN_DISCOVERY_BACKEND itself."
_SYSTEM = "Leave it out: dsr1 gives every worker a DYN_SYSTEM_PORT, which turns it on."
_CONNECTOR = "kv_transfer: nixl, lmcache or kvbm (--kv-transfer-config)"

VARIABLES: Mapping[str, Retired] = {
    "VLLM_ALL2ALL_BACKEND": Retired(
        "all2all_backend (--all2all-backend)", "all2all_backend", lost=True
    ),
    "VLLM_MOE_DP_CHUNK_SIZE": Retired(
        "max_num_batched_tokens (--max-num-batched-tokens) bounds a rank's MoE batch",
        "max_num_batched_tokens",
        lost=True,
    ),
    "VLLM_FUSED_MOE_CHUNK_SIZE": Retired(
        "max_num_batched_tokens (--max-num-batched-tokens) bounds a rank's MoE batch",
        "max_num_batched_tokens",
    ),
    "VLLM_ATTENTION_BACKEND": Retired(
        "args: {attention-backend: ...}", "args.attention-backend", lost=True
    ),
    "VLLM_ENABLE_MOE_DP_CHUNK": Retired(
        "Leave it out: max_num_batched_tokens bounds a rank's MoE batch."
    ),
    "VLLM_ENABLE_FUSED_MOE_ACTIVATION_CHUNKING": Retired(
        "Leave it out: max_num_batched_tokens bounds the batch."
    ),
    "VLLM_DEEPEP_LOW_LATENCY_ALLOW_NVLINK": Retired(
        "Leave it out: DeepEP uses NVLink where it is."
    ),
    "VLLM_USE_FLASHINFER_MOE_FP4": Retired("moe_backend (--moe-backend)"),
    "VLLM_USE_FLASHINFER_MOE_FP8": Retired("moe_backend (--moe-backend)"),
    "VLLM_FLASHINFER_MOE_BACKEND": Retired("moe_backend (--moe-backend)"),
    "VLLM_USE_TRTLLM_RAGGED_DEEPSEEK_PREFILL": Retired(
        "args: {attention-config: {mla_prefill_backend: TRTLLM_RAGGED}}"
    ),
    "VLLM_USE_V1": Retired(_V1),
    "VLLM_USE_RAY_SPMD_WORKER": Retired(_RAY),
    "VLLM_USE_RAY_COMPILED_DAG": Retired(_RAY),
    "VLLM_TORCH_PROFILER_DIR": Retired("args: {profiler-config: {...}}"),
    "VLLM_FLASH_ATTN_VERSION": Retired("args: {attention-config: {flash_attn_version: ...}}"),
    "DYN_VLLM_KV_EVENT_PORT": Retired(
        "kv_events: true (--kv-events-config)", "kv_events", "true", lost=True
    ),
    "DYN_CONNECTOR": Retired(_CONNECTOR, "kv_transfer", lost=True),
    "DYN_STORE_KV": Retired(_DISCOVERY),
    "DYN_SYSTEM_ENABLED": Retired(_SYSTEM),
    "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS": Retired(_SYSTEM),
}

FLAGS: Mapping[str, Retired] = {
    "connector": Retired(_CONNECTOR, "kv_transfer", lost=True),
    "store-kv": Retired(_DISCOVERY),
    "is-prefill-worker": Retired(
        "role: prefill (--disaggregation-mode prefill)", "role", "prefill", lost=True
    ),
    "is-decode-worker": Retired(
        "role: decode (--disaggregation-mode decode)", "role", "decode", lost=True
    ),
    "num-redundant-experts": Retired(
        "eplb: {num_redundant_experts: ...} (--eplb-config)",
        "eplb.num_redundant_experts",
        lost=True,
    ),
    "eplb-window-size": Retired(
        "eplb: {window_size: ...} (--eplb-config)", "eplb.window_size", lost=True
    ),
    "eplb-step-interval": Retired(
        "eplb: {step_interval: ...} (--eplb-config)", "eplb.step_interval", lost=True
    ),
    "eplb-log-balancedness": Retired(
        "eplb: {log_balancedness: true} (--eplb-config)", "eplb.log_balancedness", "true"
    ),
    "enable-microbatching": Retired("dbo: {} (--enable-dbo)", "dbo", "{}", lost=True),
    "microbatching-token-threshold": Retired(
        "dbo: {decode_token_threshold: ...} (--dbo-decode-token-threshold)",
        "dbo.decode_token_threshold",
        lost=True,
    ),
    "disable-log-requests": Retired(
        "Leave it out: off is the default (--enable-log-requests turns it on)."
    ),
    "enable-reasoning": Retired("Leave it out: args: {reasoning-parser: ...} is enough."),
    "use-v2-block-manager": Retired(_V1),
    "num-scheduler-steps": Retired("Leave it out: asynchronous scheduling took its place."),
    "device": Retired("Leave it out: vLLM finds its device."),
    "swap-space": Retired("Leave it out: vLLM does not swap today."),
    "task": Retired("args: {runner: ...}", "args.runner"),
    "cuda-graph-sizes": Retired(
        "args: {cudagraph-capture-sizes: [...]}", "args.cudagraph-capture-sizes"
    ),
    "max-seq-len-to-capture": Retired("args: {max-cudagraph-capture-size: ...}"),
    "full-cuda-graph": Retired("compilation_config: {cudagraph_mode: FULL}"),
    "guided-decoding-backend": Retired("args: {structured-outputs-config: {backend: ...}}"),
}
"""By name, without dashes in front."""

VALUES: Mapping[tuple[str, str], Retired] = {
    ("all2all-backend", "pplx"): Retired(
        f"gone, vLLM takes its default instead; choose {_BACKENDS}", lost=True
    ),
    ("all2all-backend", "naive"): Retired(
        f"gone, vLLM takes its default instead; choose {_BACKENDS}", lost=True
    ),
    ("all2all-backend", "flashinfer_all2allv"): Retired(
        "flashinfer_nvlink_two_sided", "all2all_backend", "flashinfer_nvlink_two_sided"
    ),
}
"""By flag and value: still accepted, and something else is done."""
