"""Files of the run that its first host keeps, for whoever lost the run's folder."""

from typing import TYPE_CHECKING

from dsr1.hosts.protocol.events import Gone
from dsr1.hosts.protocol.process import HostPlan
from dsr1.hosts.transport.results import HostRun

if TYPE_CHECKING:
    from tests.agent.conftest import Lab


def test_what_changes_later_is_kept_too(lab: "Lab") -> None:
    transport, folder = lab.transport, lab.folder / "h"
    plan = HostPlan("test-run", "h", "127.0.0.1", (), run_id=lab.run_id)
    try:
        transport.start(plan, {}, {"plan.json": "old", "recipe.json": "same"})
        transport.keep_files("h", {"plan.json": "new", "../outside": "x", ".hidden": "x"})
        found = HostRun("test-run", lab.run_id, "h", str(folder), "", (), True)
        assert transport.kept_files("h", found) == {"plan.json": "new", "recipe.json": "same"}
        assert not (folder / "outside").exists()
    finally:
        assert lab.end() == Gone(())
