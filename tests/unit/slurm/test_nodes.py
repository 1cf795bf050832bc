"""Nodes that are out of service, and what a partition allows, as sinfo of 22.05 tells them."""

import pytest

from dsr1.hosts.inventory.names import name_few
from dsr1.slurm.nodes import MOST_NAMED, is_silent, parse_partition_limit, parse_unfit_nodes

TOLD = """\
node1|allocated|none
node2|drained|bad disk, ticket|4
node2|drained|bad disk, ticket|4
node3|down*|Not responding
node4|idle~|none
node5|draining|none
node6|mixed*|none
node7|powering_down|none
node8|fail|fan
"""


def test_what_keeps_a_node_from_a_job_is_said() -> None:
    assert list(parse_unfit_nodes(TOLD)) == [
        "node2 is drained (bad disk, ticket|4)",
        "node3 is down (it does not answer)",
        "node5 is draining",
        "node6 is mixed (it does not answer)",
        "node7 is powering down",
        "node8 is marked as failing (fan)",
    ]


@pytest.mark.parametrize("told", ["", "\n", "sinfo: error: down", "|||"])
def test_no_answer_names_no_nodes(told: str) -> None:
    assert list(parse_unfit_nodes(told)) == []


def test_a_partition_of_two_kinds_of_nodes() -> None:
    assert parse_partition_limit("gpu", "2|1-00:00:00\n14|1-00:00:00\n") == (
        "gpu has 16 nodes, and allows a job 1-00:00:00"
    )
    assert (
        parse_partition_limit("gpu", "1|infinite\n") == "gpu has 1 node, and allows a job any time"
    )
    assert parse_partition_limit("gpu", "sinfo: error: x") == ""


def test_many_nodes_are_not_all_named() -> None:
    assert name_few(tuple(f"n{number} is down" for number in range(20)), MOST_NAMED).endswith(
        " and 12 more"
    )


def test_a_node_that_does_not_answer() -> None:
    silent = [line.split("|")[0] for line in TOLD.splitlines() if is_silent(line.split("|")[1])]
    assert silent == ["node3", "node6"]
