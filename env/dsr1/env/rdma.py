"""The variables that follow from a host's adapters: for NCCL, for NVSHMEM (DeepEP) and for UCX
(NIXL). Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from dsr1.env.gids import forced_index
from dsr1.env.hca import Hca
from dsr1.env.hcas import HcaChoice, NearestHca
from dsr1.hosts.protocol.process import Variable

NVSHMEM_PREFIX = "mlx5"
MOST_NCCL = 32  # NCCL's MAX_IB_DEVS


@dataclass(frozen=True, slots=True)
class RdmaUses:
    """What a process sends over adapters besides NCCL's traffic, from these GPUs of its host.

    `one_worker`: vLLM starts no further process that would take an adapter of its own.
    """

    deepep: bool
    nixl: bool
    devices: tuple[int, ...]
    one_worker: bool = False


def rdma_variables(choice: HcaChoice, uses: RdmaUses) -> tuple[Variable, ...]:
    """None where no adapter was chosen: each library then looks for itself."""
    if not choice.hcas:
        return ()
    source = f"{choice.why} (facts)"
    found = [Variable("NCCL_IB_HCA", f"={names(choice.hcas[:MOST_NCCL])}", source)]
    found += _nvshmem(choice, source) if uses.deepep else ()
    found += _ucx(choice, uses, source) if uses.nixl else ()
    return (*found, *_gid(choice, uses))


def names(hcas: Sequence[Hca]) -> str:
    return ",".join(hca.name for hca in hcas)


def _nvshmem(choice: HcaChoice, source: str) -> tuple[Variable, ...]:
    """NVSHMEM sees devices whose name has the prefix in it, and gives each GPU the nearest of
    those.

    Its documentation ties the list to ENABLE_NIC_PE_MAPPING, which deals adapters out in turn
    instead; its source (ibgda.cpp and ibrc.cpp of 3.4.5) heeds the list in any case.
    """
    devices = [hca.adapter.name for hca in choice.hcas]
    prefix = (
        NVSHMEM_PREFIX
        if all(NVSHMEM_PREFIX in name for name in devices)
        else shared_prefix(devices)
    )
    others = [
        hca
        for hca, _ in choice.passed_over
        if prefix in hca.adapter.name and hca.port.state == "ACTIVE"
    ]
    found = []
    if prefix != NVSHMEM_PREFIX:
        found.append(
            Variable(
                "NVSHMEM_HCA_PREFIX",
                prefix,
                f"names of the chosen adapters; default {NVSHMEM_PREFIX}",
            )
        )
    if others:
        found.append(
            Variable(
                "NVSHMEM_HCA_LIST",
                names(choice.hcas),
                f"{source}; it would see {names(others)}, too",
            )
        )
    return tuple(found)


def shared_prefix(devices: Sequence[str]) -> str:
    """Without digits at its end, which count: ibp of ibp24s0 and ibp220s0."""
    first, last = min(devices), max(devices)
    length = next(
        (index for index, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first)
    )
    return first[:length].rstrip("0123456789")


def _ucx(choice: HcaChoice, uses: RdmaUses, source: str) -> tuple[Variable, ...]:
    """Each worker its own adapter: by itself UCX may put all onto one (vLLM's PR 42083: 0.8 instead
    of 20 GB/s)."""
    near = [choice.near[index] for index in uses.devices if index < len(choice.near)]
    if len(near) < max(1, len(uses.devices)):
        return (Variable("UCX_NET_DEVICES", names(choice.hcas), source),)
    if uses.one_worker or not can_map(choice, near):
        own = tuple(dict.fromkeys(one.hca for one in near))
        return (
            Variable("UCX_NET_DEVICES", names(own), f"nearest to this process's GPUs, of {source}"),
        )
    pairs = ",".join(f"{one.gpu.pci}={one.hca.adapter.place.pci}" for one in near)
    selected = f"UCX_NET_DEVICES:{near[0].hca.port.number}"
    return (
        Variable("VLLM_GPU_NIC_PCIE_MAPPING", pairs, f"each GPU its nearest, of {source}"),
        Variable(
            "VLLM_NIC_SELECTION_VARS", selected, "vLLM sets it for each worker by the mapping"
        ),
    )


def can_map(choice: HcaChoice, near: Sequence[NearestHca]) -> bool:
    """vLLM finds an adapter by its PCI address alone, and gives all the same port number."""
    addresses = {
        hca.adapter.name: hca.adapter.place.pci
        for hca in (*choice.hcas, *(h for h, _ in choice.passed_over))
    }
    mapped, known = [one.hca.adapter.place.pci for one in near], [one.gpu.pci for one in near]
    alone = all(list(addresses.values()).count(pci) == 1 for pci in mapped)
    return alone and all(mapped) and all(known) and len({one.hca.port.number for one in near}) == 1


def _gid(choice: HcaChoice, uses: RdmaUses) -> tuple[Variable, ...]:
    index = forced_index(choice.hcas)
    if index is None:
        return ()
    wanting = {
        "NCCL_IB_GID_INDEX": True,
        "NVSHMEM_IB_GID_INDEX": uses.deepep,
        "UCX_IB_GID_INDEX": uses.nixl,
    }
    source = "RoCE v2 with a routable address; the automatic choice is none (facts)"
    return tuple(Variable(name, str(index), source) for name, wanted in wanting.items() if wanted)
