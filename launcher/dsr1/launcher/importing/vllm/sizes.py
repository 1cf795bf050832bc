"""How an engine lies on hosts of eight GPUs, from its parallel sizes, its nodes and the GPUs of
each. Pure."""

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.importing.manifest.tree import Place, refuse
from dsr1.launcher.layout.topology import GPUS_PER_NODE


@dataclass(frozen=True, slots=True)
class RequestedSizes:
    """What the service at `place` asks for. `local` is --data-parallel-size-local."""

    place: Place
    nodes: int
    gpus: int | None
    tensor: int = 1
    data: int = 1
    local: int | None = None


@dataclass(frozen=True, slots=True)
class EngineLayout:
    """Hosts and DP ranks on each; `note` says where it differs from the manifest, or leaves GPUs
    idle."""

    nodes: int
    ranks: int
    note: str = ""


def lay_out(sizes: RequestedSizes) -> EngineLayout:
    """Raises InputError for sizes that contradict each other, or that dsr1 can't lay out."""
    tensor, data, nodes = sizes.tensor, sizes.data, sizes.nodes
    if tensor > GPUS_PER_NODE:
        why = f"exceeds a host's {GPUS_PER_NODE} GPUs; dsr1 keeps a rank within one host"
        refuse(sizes.place, f"tensor parallel size {tensor} {why}")
    if sizes.gpus is not None and tensor > sizes.gpus and nodes > 1:
        return _gathered(sizes, sizes.gpus)
    if data % nodes:
        refuse(sizes.place, f"data parallel size {data} can't be divided evenly by {nodes} nodes")
    ranks = data // nodes
    if sizes.local not in (None, ranks):
        why = f"is {ranks} each, not {sizes.local}"
        refuse(sizes.place, f"data parallel size {data} on {nodes} nodes {why}")
    return EngineLayout(nodes, ranks, _idle(sizes, ranks))


def _gathered(sizes: RequestedSizes, gpus: int) -> EngineLayout:
    """One rank over several small nodes: on a host of eight GPUs it has room."""
    ranks, nodes = sizes.data, sizes.nodes
    if ranks * sizes.tensor > min(nodes * gpus, GPUS_PER_NODE):
        text = f"{ranks} ranks of {sizes.tensor} GPUs do not fit {nodes} nodes of {gpus}"
        refuse(sizes.place, f"{text}, nor one host")
    note = f"one host in place of {nodes} nodes of {gpus} GPUs each"
    return EngineLayout(1, ranks, f"{note}: dsr1 keeps a rank within one host")


def _idle(sizes: RequestedSizes, ranks: int) -> str:
    used, gpus = ranks * sizes.tensor, sizes.gpus
    text = f"{ranks} ranks of {sizes.tensor} GPUs need {used} on each node"
    if used > GPUS_PER_NODE:
        refuse(sizes.place, f"{text}; dsr1's hosts have {GPUS_PER_NODE}")
    if gpus is None or used == gpus:
        return ""
    if used > gpus:
        refuse(sizes.place, f"{text}, which has {gpus}")
    return f"{gpus} GPUs on each node, and the engine takes {used} of them"
