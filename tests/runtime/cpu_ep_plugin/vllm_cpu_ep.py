"""TEST-ONLY vLLM plugin: what the CPU backend of vLLM 0.31 lacks for data plus expert parallel MoE.

That backend chooses AgRsAll2AllManager, but its communicator has neither of the two collectives of
uneven shapes that the manager calls, and its experts take global expert ids for local ones. On CPUs
with AMX its MoE kernel executes tile instructions that nobody asked the Linux kernel for. GPU
backends need none of this.
"""

import contextlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def register() -> None:
    """vLLM calls this in each of its processes."""
    remember_models()
    if os.environ.get("CPU_START_METHOD") != "spawn":
        fork_children()
    spin_briefly()

    import torch

    if torch.cpu._is_amx_tile_supported():
        ask_for_amx(torch.cpu._init_amx)

    from vllm.distributed.device_communicators.base_device_communicator import (
        DeviceCommunicatorBase,
    )
    from vllm.distributed.device_communicators.cpu_communicator import CpuCommunicator
    from vllm.model_executor.layers.fused_moe.experts.cpu_moe import CPUUnquantizedExperts

    if CpuCommunicator.all_gatherv is DeviceCommunicatorBase.all_gatherv:
        CpuCommunicator.all_gatherv = all_gatherv
        CpuCommunicator.reduce_scatterv = reduce_scatterv
    if not getattr(CPUUnquantizedExperts.apply, "maps_experts", False):
        CPUUnquantizedExperts.apply = with_local_experts(CPUUnquantizedExperts.apply)


def remember_models() -> None:
    """vLLM imports itself once more to look at a model's class, 10 CPU seconds, and keeps what it
    saw in its cache: hosts and runs of tests have caches of their own, and would look each time."""
    known = Path(sys.prefix, "vllm-cache")
    root = Path(os.environ.setdefault("VLLM_CACHE_ROOT", str(known)))
    if not (root / "modelinfos").exists():
        with contextlib.suppress(OSError):  # then it looks
            shutil.copytree(known / "modelinfos", root / "modelinfos", dirs_exist_ok=True)


def fork_children() -> None:
    """EngineCore and Worker, as vLLM does by default. Its CPU platform has them spawned, and then
    each imports everything again: two ranks that serve cost 95 CPU seconds, and 56 forked."""
    from vllm.platforms.cpu import CpuPlatform

    configure = CpuPlatform.check_and_update_config

    def forking(config: Any) -> None:
        configure(config)
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "fork"

    CpuPlatform.check_and_update_config = staticmethod(forking)


def spin_briefly() -> None:
    """For a second after each message between EngineCore and Worker both spin for the next, which
    keeps the cores from whoever has something to do; here for 10 ms."""
    from vllm.distributed.device_communicators.shm_broadcast import SpinCondition

    record = SpinCondition.record_read

    def record_read(self: Any) -> None:
        record(self)
        self.busy_loop_s = 0.01

    SpinCondition.record_read = record_read


def ask_for_amx(ask: Callable[[], bool]) -> None:
    """Linux gives a process the AMX state only if it asks, by arch_prctl(ARCH_REQ_XCOMP_PERM);
    unasked, vLLM's csrc/cpu/micro_gemm/cpu_micro_gemm_amx.hpp dies of SIGILL at its first
    `tilezero`. Threads and forks inherit it.
    """
    if not ask():
        raise RuntimeError(
            "this CPU has AMX, but the kernel refuses its state (arch_prctl ARCH_REQ_XCOMP_PERM),"
            " so vLLM's CPU kernels would end by SIGILL: wanted is Linux 5.16 or later, in a"
            " sandbox that lets this call through"
        )


def all_gatherv(self: Any, input_: Any, dim: int = 0, sizes: list[int] | None = None) -> Any:
    """Gathers tensors of `sizes` rows along dimension 0; gloo wants equal shapes, so they are
    padded."""
    import torch

    if isinstance(input_, (list, tuple)):
        return [all_gatherv(self, tensor, dim, sizes) for tensor in input_]
    if self.world_size == 1:
        return input_
    if dim != 0:
        raise ValueError(f"dim must be 0, not {dim}")
    sizes = sizes or [input_.shape[0]] * self.world_size
    padded = input_.new_zeros((max(sizes), *input_.shape[1:]))
    padded[: input_.shape[0]] = input_
    parts = [torch.empty_like(padded) for _ in sizes]
    torch.distributed.all_gather(parts, padded, group=self.device_group)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)], dim=0)


def reduce_scatterv(self: Any, input_: Any, dim: int = -1, sizes: list[int] | None = None) -> Any:
    """Sums over all ranks and keeps this rank's `sizes` part of `dim`; an all-reduce, since gloo
    has no such call."""
    import torch

    if self.world_size == 1:
        return input_
    whole = input_.movedim(dim, 0).contiguous().clone()
    sizes = sizes or [whole.shape[0] // self.world_size] * self.world_size
    torch.distributed.all_reduce(whole, group=self.device_group)
    begin = sum(sizes[: self.rank_in_group])
    return whole[begin : begin + sizes[self.rank_in_group]].movedim(0, dim).contiguous()


def with_local_experts(original: Any) -> Any:
    """Without it global ids index past the local experts' weights: NaN, and token 0 for ever."""

    def apply(
        self: Any, output: Any, hidden_states: Any, w1: Any, w2: Any, topk_weights: Any, topk_ids: Any,
        activation: Any, global_num_experts: Any, expert_map: Any, *args: Any, **kwargs: Any,
    ) -> Any:  # fmt: skip
        if expert_map is not None:
            local = expert_map.to(topk_ids.device)[topk_ids.long()]
            topk_weights = topk_weights.masked_fill(local < 0, 0)
            topk_ids = local.clamp(min=0).to(topk_ids.dtype)
        return original(
            self, output, hidden_states, w1, w2, topk_weights, topk_ids,
            activation, global_num_experts, expert_map, *args, **kwargs,
        )  # fmt: skip

    apply.maps_experts = True  # type: ignore[attr-defined]
    return apply
