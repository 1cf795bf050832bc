"""What Slurm says of nodes and partitions: which nodes are out of service, and what a partition
allows."""

from collections.abc import Iterator, Sequence

from dsr1.hosts.errors import Dsr1Error
from dsr1.hosts.inventory.names import counted
from dsr1.slurm.client import LOOK_S, call

OUT_OF_SERVICE = ("drain", "down", "fail", "maint", "not_resp", "power", "unknown")
MOST_NAMED = 8
AS_WORDS = {"fail": "marked as failing", "maint": "in maintenance", "not_resp": "silent"}


def partition_allows(partition: str) -> str:
    """`gpu has 3 nodes, and allows a job 1-00:00:00`. Empty: Slurm doesn't say."""
    told = _sinfo(f"--partition={partition}", "--format=%D|%l") if partition else ""
    return parse_partition_limit(partition, told)


def parse_partition_limit(partition: str, told: str) -> str:
    """Of lines NODES|LIMIT, of which a partition has one for each kind of node."""
    rows = [line.strip().split("|") for line in told.splitlines()]
    whole = [row for row in rows if len(row) == 2 and row[0].isdecimal()]
    if not whole:
        return ""
    nodes, limit = sum(int(row[0]) for row in whole), whole[0][1]
    allows = "any time" if limit == "infinite" else limit
    return f"{partition} has {counted(nodes, 'node')}, and allows a job {allows}"


def unfit_nodes(option: str) -> tuple[str, ...]:
    """Of those that an option of sinfo's chooses, as `--nodes=node[1-2]`, those that are out of
    service, in words. Empty, too, where Slurm doesn't say."""
    return tuple(parse_unfit_nodes(_sinfo(option, "--Node", "--format=%N|%T|%E")))


def silent_nodes(nodes: Sequence[str]) -> frozenset[str] | None:
    """Of these, those that don't answer Slurm, or are down to it. None: it doesn't say."""
    told = _sinfo(f"--nodes={','.join(nodes)}", "--Node", "--format=%N|%T|%E")
    rows = [line.strip().split("|", 2) for line in told.splitlines()]
    states = {row[0]: row[1] for row in rows if len(row) == 3}
    if not set(nodes) <= states.keys():
        return None
    return frozenset(node for node, state in states.items() if is_silent(state))


def is_silent(state: str) -> bool:
    return state.startswith(("down", "unknown", "not_resp")) or state.endswith("*")


def parse_unfit_nodes(told: str) -> Iterator[str]:
    """`node2 is drained (bad disk)`, of lines NODE|STATE|REASON; a node has one for each of its
    partitions."""
    for line in dict.fromkeys(told.splitlines()):
        node, _, rest = line.strip().partition("|")
        state, _, why = rest.partition("|")
        if is_out_of_service(state):
            word = state.rstrip("*~#!%$@^-+")
            yield f"{node} is {AS_WORDS.get(word, word.replace('_', ' '))}{_because(state, why)}"


def is_out_of_service(state: str) -> bool:
    """`down*` doesn't answer; `idle~` is switched off, and is started for a job that needs it."""
    return state.startswith(OUT_OF_SERVICE) or state.endswith("*")


SAYS_NOTHING = ("none", "None", "Not responding")


def _because(state: str, why: str) -> str:
    silent = "it does not answer" if state.endswith("*") else ""
    told = "; ".join(filter(None, ("" if why in SAYS_NOTHING else why, silent)))
    return f" ({told})" if told else ""


def _sinfo(*options: str) -> str:
    try:
        done = call(("sinfo", "--noheader", *options), LOOK_S)
    except Dsr1Error:
        return ""
    return done.stdout if done.returncode == 0 else ""
