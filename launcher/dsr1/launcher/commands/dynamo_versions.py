"""What Dynamo's versions want differently. Supported are 1.3 to 1.6; 1.6.1 is what the tests run,
1.3.1 was run on four GPUs. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.facts.fact import Facts

RUNTIME = "runtime"
"""The name of the fact; hosts whose runtime is the same as an asked one's don't have it."""
# 1.3.1, 1.4.2 and 1.5.0 take the response stream's host for the name of an interface, and say
# `Interface not found: 127.0.0.1` of an address; 1.3.1 and 1.5.0 don't know DYN_EVENT_PLANE_HOST.
TAKES_ADDRESSES = (1, 6)
# With 1.3.1 file discovery lost a worker's registration ten seconds after its start, and the
# frontend answered 503 for ever.
DISCOVERS_BY_FILE = (1, 6)
# 1.3.1 and 1.4.2 know none of DYN_TCP_TLS_*: their request plane and response stream are in clear.
SECURES_ITS_PLANES = (1, 5)
LOOPBACK = "lo"
SYSTEM_HOST = "DYN_SYSTEM_HOST"


def installed_dynamo(facts: Mapping[str, Facts]) -> tuple[int, int] | None:
    """The oldest of the hosts that were asked; None: it isn't known."""
    answers = [told[RUNTIME].value for told in facts.values() if RUNTIME in told]
    versions = [version for answer in answers if (version := _version(answer))]
    return min(versions, default=None)


def _version(answer: Any) -> tuple[int, int] | None:
    text = answer.get("dynamo") if isinstance(answer, dict) else None
    found = re.match(r"(\d+)\.(\d+)", text or "")
    return (int(found[1]), int(found[2])) if found else None


def loses_file_registrations(facts: Mapping[str, Facts]) -> bool:
    """Whether one machine needs etcd, too."""
    version = installed_dynamo(facts)
    return version is not None and version < DISCOVERS_BY_FILE


def secures_its_planes(facts: Mapping[str, Facts]) -> bool:
    """Whether Dynamo takes certificates for what its parts send each other."""
    version = installed_dynamo(facts)
    return version is None or version >= SECURES_ITS_PLANES


def advertised_addresses(facts: Mapping[str, Facts], host: Host) -> dict[str, str]:
    """Where Dynamo's parts are reached, by variable."""
    names = ("DYN_TCP_RPC_HOST", "DYN_TCP_RESPONSE_STREAM_HOST", "DYN_EVENT_PLANE_HOST")
    found = dict.fromkeys(names, host.address)
    version = installed_dynamo(facts)
    if version is None or version >= TAKES_ADDRESSES:
        return found
    interface = host.interface or (LOOPBACK if host.address.startswith("127.") else "")
    del found["DYN_EVENT_PLANE_HOST"], found["DYN_TCP_RESPONSE_STREAM_HOST"]
    return found | ({"DYN_TCP_RESPONSE_STREAM_HOST": interface} if interface else {})
