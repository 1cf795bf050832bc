"""Rows as aligned columns, and many hosts as one word."""

from collections.abc import Sequence


def render_columns(rows: Sequence[Sequence[str]]) -> str:
    """The last ones of a row may be empty."""
    sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, sizes)).rstrip() for row in rows)
    return "\n".join(lines)


def fold_names(hosts: Sequence[str]) -> str:
    """`node[01-16]`."""
    if len(hosts) < 2:
        return "".join(hosts)
    from ClusterShell.NodeSet import NodeSet, NodeSetException

    try:
        return str(NodeSet.fromlist(hosts))
    except NodeSetException:  # of a file that somebody else wrote
        return ",".join(hosts)
