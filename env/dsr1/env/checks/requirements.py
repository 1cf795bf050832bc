"""What a plan asks of its hosts, as the checks see it."""

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

from dsr1.env.hcas import Selection
from dsr1.env.ibgda import WITH_NVSHMEM
from dsr1.env.versions import version_numbers
from dsr1.hosts.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class EngineShape:
    """How an engine divides the model among its GPUs. `expert_ranks` counts all ranks that share
    the experts.

    Without `expert_parallel` each of them has a slice of every expert, which takes as much memory.
    `overrides` replace keys of the model's config.json. None is what the recipe leaves to vLLM: its
    default depends on the version, see model/memory.py. `predicts` tokens with the model's own
    MTP layers; `quantization`, `cache_dtype` and `graphs` (cudagraph_mode) are vLLM's, empty: not
    given.
    """

    name: str
    expert_ranks: int
    tensor_ranks: int = 1
    redundant_experts: int = 0
    utilization: float | None = None
    context: int | None = None
    backend: str = ""
    tokens: int | None = None
    sequences: int | None = None
    eager: bool = False
    graphs: str = ""
    hosts: int = 1
    role: str = "aggregated"
    queue_depth: int | None = None
    expert_balancing: bool = False
    expert_parallel: bool = True
    predicts: bool = False
    quantization: str = ""
    cache_dtype: str = ""
    overrides: tuple[tuple[str, object], ...] = ()

    def share_of_gpu(self, vllm: str) -> float:
        """gpu_memory_utilization. `vllm` is the installed version; empty: not known."""
        return self.utilization or (0.92 if version_numbers(vllm) >= (0, 31) else 0.9)

    def config_of(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """The model's config.json as the engine takes it."""
        return {**model, **dict(self.overrides)}


@dataclass(frozen=True, slots=True)
class HostRequirements:
    """What the plan takes of one host: GPUs, every port that its processes bind there, and the
    user's own adapters.

    `engines` are the names of those that have ranks there.
    """

    gpus: int = 0
    ports: tuple[int, ...] = ()
    hca: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Requirements:
    """What the plan asks of its hosts. `gpus` is per host, 0 without any; `weights`: whether it
    reads the model's. `drafts` are models that draft tokens beside it. `ports_base`: the
    recipe's; 0: not known.

    `pins` are (distribution, dependency): the installed dependency must be one that the
    distribution's metadata asks for. `folders`: bytes wanted in each. `hca` are the user's own
    adapters; empty: dsr1 chooses. `selection` is what `select` makes of them and of a host's facts:
    the adapters that the host will use, or why they are not known. `here` are the engines that have
    ranks on the host, once it is one host's; empty: not known.
    """

    gpus: int
    hosts: int
    engines: tuple[EngineShape, ...] = ()
    drafts: tuple[str, ...] = ()
    weights: bool = True
    ports: tuple[int, ...] = ()
    ports_base: int = 0
    etcd: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    pins: tuple[tuple[str, str], ...] = ()
    folders: Mapping[str, int] = field(default_factory=dict)
    by_host: Mapping[str, HostRequirements] = field(default_factory=dict)
    hca: tuple[str, ...] = ()
    selection: Selection | str | None = None
    here: tuple[str, ...] = ()

    def for_host(self, name: str) -> "Requirements":
        """With the GPUs, ports and adapters of that host alone."""
        host = self.by_host.get(name)
        if host is None:
            return self
        return replace(self, gpus=host.gpus, ports=host.ports, hca=host.hca, here=host.engines)

    @property
    def engines_here(self) -> tuple[EngineShape, ...]:
        """Those that have ranks on this host; all where that isn't known."""
        return tuple(engine for engine in self.engines if not self.here or engine.name in self.here)

    @property
    def transfers_kv(self) -> bool:
        """Prefill apart from decode: NIXL carries the KV cache from one to the other."""
        return any(engine.role != "aggregated" for engine in self.engines)

    @property
    def rdma(self) -> bool:
        """Whether GPUs send to other hosts; several engines may each keep to one host."""
        if self.hosts < 2 or not self.gpus:
            return False
        return self.transfers_kv or any(engine.hosts > 1 for engine in self.engines)

    @property
    def backends(self) -> tuple[str, ...]:
        """The all-to-all backends that the recipe names, sorted."""
        return tuple(sorted({engine.backend for engine in self.engines if engine.backend}))

    @property
    def ibgda(self) -> bool:
        """DeepEP uses it between the hosts of an engine; its second version uses NCCL."""
        return any(engine.hosts > 1 and engine.backend in WITH_NVSHMEM for engine in self.engines)
