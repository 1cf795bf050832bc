"""The marks of the agent in whose process this is."""

import os
from pathlib import Path

from dsr1.hosts.agent.kin.lineage import lineage_of, read_lineage
from dsr1.hosts.protocol.marks import Marks
from dsr1.hosts.protocol.process import HostPlan


def own_marks(plan: HostPlan, folder: Path) -> Marks:
    """With the lineage, if it could be had."""
    lineage = lineage_of(plan.identity)
    taken = lineage if read_lineage(os.getpid()) == lineage else 0
    return Marks(plan.identity, plan.run, str(folder), plan.origin.words, lineage=taken)
