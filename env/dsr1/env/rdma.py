"""The variables that follow from a host's adapters: for NCCL, for NVSHMEM (DeepEP) and for UCX
(NIXL). Pure."""

from collections.abc import Sequence

from dsr1.env.gids import forced_index
from dsr1.env.hca import Hca
from dsr1.env.hcas import HcaChoice, NearestHca
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.process import Variable

NVSHMEM_PREFIX = "mlx5"
NVSHMEM_LIST, UCX_LIST = "NVSHMEM_HCA_LIST", "UCX_NET_DEVICES"
OTHER_WAYS = {NVSHMEM_LIST: ("NVSHMEM_HCA_PE_MAPPING", "DEEP_EP_DEVICE_TO_HCA_MAPPING")}
MOST_NCCL = 32  # NCCL's MAX_IB_DEVS


@dataclass(frozen=True, slots=True)
class RdmaUses:
    """What a process sends over adapters besides NCCL's traffic, from these GPUs of its host.

    `one_worker`: vLLM starts no further process that would take an adapter of its own. `maps`: its
    vLLM deals adapters to workers by a mapping. `given` are variables that the user sets.
    """

    deepep: bool
    nixl: bool
    devices: tuple[int, ...]
    one_worker: bool = False
    maps: bool = True
    given: frozenset[str] = frozenset()


def rdma_variables(choice: HcaChoice, uses: RdmaUses) -> tuple[Variable, ...]:
    """None where no adapter was chosen: each library then looks for itself."""
    if not choice.hcas:
        return ()
    source = f"{choice.why} (facts)"
    found = [Variable("NCCL_IB_HCA", f"={names(choice.hcas[:MOST_NCCL])}", source)]
    found += _prefix(choice) if uses.deepep else ()
    found += _lists(choice, uses, source)
    return (*found, *_gid(choice, uses))


def names(hcas: Sequence[Hca]) -> str:
    return ",".join(hca.name for hca in hcas)


def _prefix(choice: HcaChoice) -> tuple[Variable, ...]:
    """NVSHMEM sees devices whose name has it within."""
    prefix = _seen_prefix(choice)
    if prefix == NVSHMEM_PREFIX:
        return ()
    source = f"names of the chosen adapters; default {NVSHMEM_PREFIX}"
    return (Variable("NVSHMEM_HCA_PREFIX", prefix, source),)


def _seen_prefix(choice: HcaChoice) -> str:
    devices = [hca.adapter.name for hca in choice.hcas]
    if all(NVSHMEM_PREFIX in name for name in devices):
        return NVSHMEM_PREFIX
    return shared_prefix(devices)


def shared_prefix(devices: Sequence[str]) -> str:
    """Without digits at its end, which count: ibp of ibp24s0 and ibp220s0."""
    first, last = min(devices), max(devices)
    length = next(
        (index for index, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first)
    )
    return first[:length].rstrip("0123456789")


def _lists(choice: HcaChoice, uses: RdmaUses, source: str) -> tuple[Variable, ...]:
    """Each worker its own adapter: by itself UCX may put all onto one (vLLM's PR 42083: 0.8 instead
    of 20 GB/s), and NVSHMEM gives all GPUs behind a switch the first adapter there.

    NVSHMEM's documentation ties its list to ENABLE_NIC_PE_MAPPING, which deals adapters out in turn
    instead; its source (ibgda.cpp and ibrc.cpp of 3.4.5) heeds the list in any case. vLLM
    puts the mapped adapter before what such a variable holds, so either is set, never both.
    """
    wanted = {NVSHMEM_LIST: uses.deepep, UCX_LIST: uses.nixl}
    lists = [name for name, needed in wanted.items() if needed]
    near = [choice.near[index] for index in uses.devices if index < len(choice.near)]
    if not lists or len(near) < max(1, len(uses.devices)):
        return _shared_lists(choice, lists, source)
    if uses.one_worker:
        own = tuple(dict.fromkeys(one.hca for one in near))
        why = f"nearest to this process's GPUs, of {source}"
        return tuple(Variable(name, names(own), why) for name in lists)
    mapped = [name for name in lists if uses.given.isdisjoint((name, *OTHER_WAYS.get(name, ())))]
    if uses.maps and mapped and can_map(choice, near):
        return _mapping(near, mapped, source)
    return _shared_lists(choice, lists, source)


def _mapping(near: Sequence[NearestHca], lists: Sequence[str], source: str) -> tuple[Variable, ...]:
    pairs = ",".join(f"{one.gpu.pci}={one.hca.adapter.place.pci}" for one in near)
    selected = ",".join(f"{name}:{near[0].hca.port.number}" for name in lists)
    why = "vLLM sets it for each worker by the mapping"
    return (
        Variable("VLLM_GPU_NIC_PCIE_MAPPING", pairs, f"each GPU its nearest, of {source}"),
        Variable("VLLM_NIC_SELECTION_VARS", selected, why),
    )


def _shared_lists(choice: HcaChoice, lists: Sequence[str], source: str) -> tuple[Variable, ...]:
    """All that are chosen, where they can't be dealt; NVSHMEM needs to be told only of what it
    would see besides."""
    prefix, found = _seen_prefix(choice), []
    others = [
        hca
        for hca, _ in choice.passed_over
        if prefix in hca.adapter.name and hca.port.state == "ACTIVE"
    ]
    if NVSHMEM_LIST in lists and others:
        why = f"{source}; it would see {names(others)}, too"
        found.append(Variable(NVSHMEM_LIST, names(choice.hcas), why))
    if UCX_LIST in lists:
        found.append(Variable(UCX_LIST, names(choice.hcas), source))
    return tuple(found)


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
