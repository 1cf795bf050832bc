"""All facts of a host in one call."""

from itertools import chain
from pathlib import Path

from dsr1.hosts.agent.facts.communication import communication_readers
from dsr1.hosts.agent.facts.disks import disk_readers
from dsr1.hosts.agent.facts.fabric.acs import acs_readers
from dsr1.hosts.agent.facts.fabric.adapters import growth_readers, infiniband_readers
from dsr1.hosts.agent.facts.fabric.interfaces import netdev_readers
from dsr1.hosts.agent.facts.fabric.network import network_readers, resolver_readers
from dsr1.hosts.agent.facts.fabric.pci import pci_readers
from dsr1.hosts.agent.facts.fabric.switches import switch_readers
from dsr1.hosts.agent.facts.gpu.devices import gpu_readers
from dsr1.hosts.agent.facts.gpu.driver import nvidia_readers
from dsr1.hosts.agent.facts.gpu.xids import log_readers
from dsr1.hosts.agent.facts.jit_cache import cache_readers
from dsr1.hosts.agent.facts.limits import limit_readers
from dsr1.hosts.agent.facts.model.folder import draft_readers, model_readers
from dsr1.hosts.agent.facts.reading.children import aside
from dsr1.hosts.agent.facts.software import library_readers, software_readers
from dsr1.hosts.agent.facts.system import command_readers, system_readers
from dsr1.hosts.protocol.facts.fact import Fact, observe
from dsr1.hosts.protocol.facts.request import FactsRequest

ROOT = Path("/")
NOTHING = FactsRequest()
MODEL_S, SWITCHES_S = 30.0, 10.0


def gather_facts(request: FactsRequest = NOTHING, root: Path = ROOT) -> dict[str, Fact]:
    """What may hang begins first, in children with a time limit, and is waited for last."""
    slow = [
        *growth_readers(root, request.sample_s),
        *gpu_readers(root),
        *log_readers(root),
        *command_readers(),
        *disk_readers(root, request.folders),
        *resolver_readers(request),
        *library_readers(),
        *communication_readers(),
        *aside(switch_readers(root), SWITCHES_S),
        *aside(model_readers(request.model, root), MODEL_S),
        *aside(draft_readers(request.drafts), MODEL_S),
    ]
    quick = (
        system_readers(root),
        limit_readers(root),
        network_readers(root, request),
        netdev_readers(root),
        pci_readers(root),
        acs_readers(root),
        nvidia_readers(root),
        infiniband_readers(root),
        software_readers(request.pins),
        cache_readers(),
    )
    return observe(chain(*quick)) | observe(slow)
