"""vLLM's configurations in JSON: keys of yesterday in today's spelling, numbers without quotes.
Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

COMPILATION: Mapping[str, str] = {
    "level": "mode",
    "cudagraph_sizes": "cudagraph_capture_sizes",
    "max_capture_size": "max_cudagraph_capture_size",
}
PASSES: Mapping[str, str] = {
    "enable_fusion": "fuse_norm_quant",
    "enable_noop": "eliminate_noops",
    "enable_attn_fusion": "fuse_attn_quant",
    "enable_fi_allreduce_fusion": "fuse_allreduce_rms",
    "enable_async_tp": "fuse_gemm_comms",
    "enable_sequence_parallelism": "enable_sp",
}
"""Of pass_config, until vLLM 0.11."""
GONE: Mapping[str, str] = {
    "use_inductor": "vLLM compiles with Inductor unless mode is 0",
    "use_cudagraph": "cudagraph_mode replaces it",
    "full_cuda_graph": "cudagraph_mode: FULL replaces it",
}
_GRAPH_MODES = {("use_cudagraph", False): "NONE", ("full_cuda_graph", True): "FULL"}


_ATTENTION = {"use_trtllm_ragged_deepseek_prefill": "TRTLLM_RAGGED"}


def modern_attention(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """An attention config as today's vLLM knows it: the backends of MLA's prefill have one key."""
    result = dict(config)
    changes = []
    for key, backend in _ATTENTION.items():
        if key in result:
            if result.pop(key) is True:
                result.setdefault("mla_prefill_backend", backend)
            changes.append(f"{key} is gone; mla_prefill_backend names the backend of MLA's prefill")
    return result, changes


def modernised(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A compilation config as today's vLLM knows it, and what was changed. A key that stands in
    both spellings keeps today's value.
    """
    changes: list[str] = []
    result = _renamed(config, COMPILATION, changes)
    for key in GONE:
        if key in result:
            mode = _GRAPH_MODES.get((key, result.pop(key)))
            changes.append(f"{key} is gone: {GONE[key]}")
            if mode:
                result.setdefault("cudagraph_mode", mode)
    passes = result.get("pass_config")
    if isinstance(passes, dict):
        result["pass_config"] = _renamed(passes, PASSES, changes)
    return result, changes


def _renamed(
    config: Mapping[str, Any], names: Mapping[str, str], changes: list[str]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in config.items():
        today = names.get(key, key)
        if today != key:
            changes.append(f"{key} is called {today}")
        if today == key or today not in config:
            result[today] = value
    return result


def unquoted(config: Mapping[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    """Key, value, and whether it is another: "32" is 32 and "False" is false, where a number or a
    switch is meant."""
    for key, value in config.items():
        plain = _plain(value) if isinstance(value, str) else value
        yield key, plain, plain is not value


def _plain(text: str) -> Any:
    lower = text.strip().lower()
    if lower in ("true", "false"):
        return lower == "true"
    return (
        int(text)
        if text.strip().isascii() and text.strip().isdecimal() and len(text) < 16
        else text
    )
