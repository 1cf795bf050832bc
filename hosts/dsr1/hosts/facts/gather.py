"""All facts of a host in one call."""

import importlib.metadata
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from dsr1.hosts.facts.fact import Fact, Reader, Value, observe
from dsr1.hosts.facts.gpus import gpu_readers
from dsr1.hosts.facts.infiniband import infiniband_readers
from dsr1.hosts.facts.model import model_readers
from dsr1.hosts.facts.network import network_readers
from dsr1.hosts.facts.nvidia import nvidia_readers
from dsr1.hosts.facts.system import system_readers

PACKAGES = (
    "vllm",
    "torch",
    "ai-dynamo",
    "ai-dynamo-runtime",
    "nvidia-nccl-cu12",
    "nvidia-nccl-cu13",
    "nvidia-nvshmem-cu12",
    "nvidia-nvshmem-cu13",
    "deep_ep",
    "deep_gemm",
    "flashinfer-python",
    "nixl",
    "triton",
    "transformers",
)
ROOT = Path("/")


def gather_facts(model: str = "", leader: str = "", root: Path = ROOT) -> dict[str, Fact]:
    """Bounded: what may hang runs in a child with a timeout."""
    readers = (
        system_readers(root),
        nvidia_readers(root),
        infiniband_readers(root),
        network_readers(leader),
        gpu_readers(),
        model_readers(model, root),
        other_readers(),
    )
    return observe(chain.from_iterable(readers))


def other_readers() -> Iterator[Reader]:
    yield "software", "the runtime's packages", installed


def installed() -> dict[str, Value]:
    """Version by package, of those that are there."""
    return {name: version for name in PACKAGES if (version := _version(name))}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
