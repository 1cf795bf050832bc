"""The stacks that a recipe may name, and what is true of each before anything is laid out."""

from collections.abc import Mapping

from dsr1.hosts.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class StackTraits:
    """`simulated` engines need neither GPUs nor weights, and their answers mean nothing.

    `has_discovery`: workers register with Dynamo, by files on one machine and in etcd over several.
    `secures`: its processes can speak mutual TLS with each other. `own_servers`: every engine
    serves clients by itself, so there are no frontends beside it, and no roles apart.
    """

    simulated: bool = False
    has_discovery: bool = True
    secures: bool = True
    own_servers: bool = False


STACK_TRAITS: Mapping[str, StackTraits] = {
    "dynamo": StackTraits(),
    "vllm": StackTraits(has_discovery=False, secures=False, own_servers=True),
    "mocker": StackTraits(simulated=True),
}
"""By the recipe's `stack`. The commands of each are a module of `commands`, see its `stacks`."""
