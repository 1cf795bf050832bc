"""Where compilers keep what they made for an engine, so that the next start finds it: one folder a
key, on the host.

vLLM, DeepGEMM, FlashInfer, Triton and Inductor look their entries up by model, shapes and source.
What they don't look at is the key: the GPU, their own versions, and the folder, whose path Triton
and ninja write down. A change of model or arguments stays in the folder and compiles what is new;
`fill` tells for which engines a folder has been filled.
"""

import hashlib
import json
import re
from collections.abc import Mapping

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.facts.fact import Facts, value_of
from dsr1.hosts.protocol.process import Variable

VLLM_ROOT = "VLLM_CACHE_ROOT"
FOLDERS = {
    VLLM_ROOT: "vllm",
    "DG_JIT_CACHE_DIR": "deep_gemm",
    "FLASHINFER_WORKSPACE_BASE": "flashinfer",
    "TRITON_CACHE_DIR": "triton",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRTLLM_DG_CACHE_DIR": "trtllm_deep_gemm",
    "TILELANG_CACHE_DIR": "tilelang",
    "CUDA_CACHE_PATH": "cuda",
    "EP_JIT_CACHE_DIR": "deep_ep",
}
"""Variable to folder. Without the last six, kernels land in TMPDIR and in the home folder."""
COMPILERS = ("vllm", "torch", "triton", "flashinfer-python", "deep_gemm", "deep_ep")


@dataclass(frozen=True, slots=True)
class JitCache:
    """A key below the root that holds all caches of a host, what the key was made of, and the
    engine's own part."""

    root: str
    key: str
    made_of: tuple[tuple[str, str], ...]
    fill: str

    @property
    def folder(self) -> str:
        return f"{self.root}/{self.key}"


@dataclass(frozen=True, slots=True)
class HostCache:
    """The cache that an engine's processes use on a host. `engine` is its key in the recipe."""

    host: str
    engine: str
    ranks: int
    cache: JitCache


@dataclass(frozen=True, slots=True)
class Shapes:
    """What of an engine decides the shapes of its kernels: ranks that share the experts, and vLLM's
    arguments."""

    ranks: int
    arguments: tuple[str, ...]


def make_cache(shapes: Shapes, facts: Facts, root: str = "") -> JitCache | None:
    """The cache of an engine on a host. None: what decides it isn't known there. `root` is the
    recipe's own."""
    folder, packages = root or value_of(facts, "cache.root"), value_of(facts, "software")
    config = value_of(facts, "model.config")
    if (
        not isinstance(folder, str)
        or not isinstance(packages, Mapping)
        or not isinstance(config, Mapping)
    ):
        return None
    made_of = {
        "gpu": gpu_of(facts),
        **{name: str(packages[name]) for name in COMPILERS if name in packages},
        "root": folder,
    }
    key = f"{_slug(made_of['gpu'])}-vllm{_slug(made_of.get('vllm', '0'))}-{_digest(made_of)}"
    return JitCache(
        folder, key, tuple(made_of.items()), _digest([config, shapes.ranks, shapes.arguments])
    )


def gpu_of(facts: Facts) -> str:
    """The first GPU's name, without its maker's; `cpu` where there is none."""
    gpus = value_of(facts, "gpu.devices")
    first = gpus[0] if isinstance(gpus, list) and gpus else None
    name = first.get("name") if isinstance(first, Mapping) else None
    return str(name).removeprefix("NVIDIA ") if name else "cpu"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[:40]


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def cache_variables(cache: JitCache, gpus: int) -> tuple[Variable, ...]:
    """Of a process that drives so many GPUs. What torch compiles ahead of time for a rank runs on
    one device number alone, and vLLM keeps it by rank: rank 1 is on device 1 of two, and on device
    0 where each rank has a process of its own."""
    source = f"JIT cache of {dict(cache.made_of)['gpu']} with these versions"
    folders = FOLDERS | {VLLM_ROOT: f"{FOLDERS[VLLM_ROOT]}/{gpus}-gpu"}
    return tuple(
        Variable(name, f"{cache.folder}/{folder}", source) for name, folder in folders.items()
    )
