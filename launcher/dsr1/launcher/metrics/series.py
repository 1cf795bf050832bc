"""Which series of vLLM's and Dynamo's are read, and what of a sample each is. From real pages of
vLLM 0.31 and Dynamo 1.6."""

from collections.abc import Mapping

RANK_SERIES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "running": ("vllm:num_requests_running", {}),
    "waiting": ("vllm:num_requests_waiting_by_reason", {"reason": "capacity"}),
    "deferred": ("vllm:num_requests_waiting_by_reason", {"reason": "deferred"}),
    "kv_usage": ("vllm:kv_cache_usage_perc", {}),
    "preemptions": ("vllm:num_preemptions_total", {}),
    "prompt_tokens": ("vllm:prompt_tokens_total", {}),
    "generated_tokens": ("vllm:generation_tokens_total", {}),
    "queue_s": ("vllm:request_queue_time_seconds_sum", {}),
    "queued": ("vllm:request_queue_time_seconds_count", {}),
    "looked_up": ("vllm:prefix_cache_queries_total", {}),
    "hit": ("vllm:prefix_cache_hits_total", {}),
    "nixl_s": ("vllm:nixl_xfer_time_seconds_sum", {}),
    "nixl_transfers": ("vllm:nixl_xfer_time_seconds_count", {}),
    "nixl_bytes": ("vllm:nixl_bytes_transferred_sum", {}),
    "nixl_failed": ("vllm:nixl_num_failed_transfers_total", {}),
    "nixl_expired": ("vllm:nixl_num_kv_expired_reqs_total", {}),
}
"""By field of RankSample; each has a line for every rank, by the label `engine`."""

WAITING = "vllm:num_requests_waiting"  # a simulator doesn't say why they wait
DROPPED = "dynamo_component_kv_publisher_engines_dropped_events_total"  # of the whole process

FRONTEND_SERIES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "requests": ("dynamo_frontend_requests_total", {}),
    "inflight": ("dynamo_frontend_inflight_requests", {}),
    "queued": ("dynamo_frontend_queued_requests", {}),
    "input_tokens": ("dynamo_frontend_input_sequence_tokens_sum", {}),
    "output_tokens": ("dynamo_frontend_output_tokens_total", {}),
    "router_queue": ("dynamo_frontend_router_queue_pending_requests", {}),
    "hit_sum": ("dynamo_component_router_kv_hit_rate_sum", {}),
    "hit_count": ("dynamo_component_router_kv_hit_rate_count", {}),
}
"""By field of FrontendSample, each the sum of its lines."""

SERVER_SERIES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "requests": ("vllm:request_success_total", {}),
    "inflight": ("vllm:num_requests_running", {}),
    "queued": ("vllm:num_requests_waiting", {}),
    "input_tokens": ("vllm:prompt_tokens_total", {}),
    "output_tokens": ("vllm:generation_tokens_total", {}),
    "hit_sum": ("vllm:prefix_cache_hits_total", {}),
    "hit_count": ("vllm:prefix_cache_queries_total", {}),
}
"""The same where vLLM serves its clients itself."""

SUCCESS = {"status": "success"}
TTFT = ("dynamo_frontend_time_to_first_token_seconds", "vllm:time_to_first_token_seconds")
ITL = ("dynamo_frontend_inter_token_latency_seconds", "vllm:inter_token_latency_seconds")


def _kept(*tables: Mapping[str, tuple[str, Mapping[str, str]]]) -> tuple[str, ...]:
    """With or without labels, and nothing that only begins so."""
    names = dict.fromkeys(name for table in tables for name, _ in table.values())
    return tuple(name + end for name in names for end in ("{", " "))


BUCKETS = tuple(f"{name}_bucket" for name in (*TTFT, *ITL))
WORKER_LINES = (*_kept(RANK_SERIES), f"{WAITING}{{", DROPPED)
SERVER_LINES = (*_kept(RANK_SERIES, SERVER_SERIES), *BUCKETS)
FRONTEND_LINES = (*_kept(FRONTEND_SERIES), *BUCKETS)
