"""How an engine lies on hosts of eight GPUs, from its parallel sizes, its nodes and the GPUs of
each. Pure."""

from dataclasses import dataclass

from dsr1.hosts.errors import InputError
from dsr1.launcher.layout.topology import GPUS_PER_NODE


@dataclass(frozen=True, slots=True)
class Asked:
    """What a manifest asks for. `local` is --data-parallel-size-local; `where` begins every
    message."""

    where: str
    nodes: int
    gpus: int | None
    tensor: int = 1
    data: int = 1
    local: int | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """Hosts and DP ranks on each; `note` says what is another than the manifest's, or left idle."""

    nodes: int
    ranks: int
    note: str = ""


def lay_out(asked: Asked) -> Layout:
    """Raises InputError for sizes that contradict each other, or that dsr1 can't lay out."""
    if asked.tensor > GPUS_PER_NODE:
        _refuse(
            asked,
            f"tensor parallel size {asked.tensor} exceeds a host's {GPUS_PER_NODE} GPUs; dsr1 keeps"
            " it in one",
        )
    if asked.gpus is not None and asked.tensor > asked.gpus and asked.nodes > 1:
        return _gathered(asked)
    if asked.data % asked.nodes:
        _refuse(
            asked, f"data parallel size {asked.data} can't be dealt evenly to {asked.nodes} nodes"
        )
    ranks = asked.data // asked.nodes
    if asked.local not in (None, ranks):
        _refuse(
            asked,
            f"data parallel size {asked.data} on {asked.nodes} nodes is {ranks} each, not"
            f" {asked.local}",
        )
    return Layout(asked.nodes, ranks, _idle(asked, ranks))


def _gathered(asked: Asked) -> Layout:
    """One rank over several small nodes: on a host of eight GPUs it has room."""
    ranks, gpus = asked.data, asked.nodes * (asked.gpus or 0)
    if ranks * asked.tensor > min(gpus, GPUS_PER_NODE):
        _refuse(
            asked,
            f"{ranks} ranks of {asked.tensor} GPUs do not fit {asked.nodes} nodes of {asked.gpus},"
            " nor one host",
        )
    return Layout(
        1,
        ranks,
        f"one host in place of {asked.nodes} nodes of {asked.gpus} GPUs each: dsr1 keeps a rank"
        " in one",
    )


def _idle(asked: Asked, ranks: int) -> str:
    used = ranks * asked.tensor
    if used > GPUS_PER_NODE:
        _refuse(
            asked,
            f"{ranks} ranks of {asked.tensor} GPUs need {used} on each node; dsr1's hosts have"
            f" {GPUS_PER_NODE}",
        )
    if asked.gpus is None or used == asked.gpus:
        return ""
    if used > asked.gpus:
        _refuse(
            asked,
            f"{ranks} ranks of {asked.tensor} GPUs need {used} on each node, which has"
            f" {asked.gpus}",
        )
    return f"{asked.gpus} GPUs on each node, and the engine takes {used} of them"


def _refuse(asked: Asked, why: str) -> None:
    raise InputError(f"{asked.where}: {why}")
