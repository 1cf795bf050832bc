"""Which InfiniBand switch each port is cabled to: asked of the switch itself, as whoever may open
umad can (root, or a group)."""

import re
from collections.abc import Iterator
from pathlib import Path

from dsr1.hosts.agent.facts.fabric.adapters import read_adapters
from dsr1.hosts.agent.facts.reading.children import begin_command
from dsr1.hosts.agent.facts.reading.files import openable
from dsr1.hosts.protocol.facts.fact import FactValue, Reader

_NAME = re.compile(r"[A-Za-z0-9_]+", re.ASCII)
_SWITCH = re.compile(r"^NodeType:\.*Switch\s*$", re.MULTILINE)
_GUID = re.compile(r"^SystemGuid:\.*(0x[0-9a-f]{1,16})\s*$", re.MULTILINE)


def switch_readers(root: Path) -> Iterator[Reader]:
    yield "ib.switches", "smpquery -D nodeinfo 0,PORT", lambda: _switches(root)


def _switches(root: Path) -> FactValue:
    """GUIDs by `mlx5_0:1`. OSError: none can be asked."""
    ports = [
        (adapter.name, port.number)
        for adapter in read_adapters(root)
        for port in adapter.ports
        if port.link_layer == "InfiniBand" and _NAME.fullmatch(adapter.name)
    ]
    if not ports:
        return {}
    if not any(map(openable, (root / "dev/infiniband").glob("umad*"))):
        raise PermissionError("no /dev/infiniband/umad* that this user may open")
    asked = [(name, number, begin_command(_query(name, number))) for name, number in ports]
    found: dict[str, FactValue] = {}
    for name, number, wait in asked:
        try:
            found[f"{name}:{number}"] = parse_switch_guid(wait())
        except FileNotFoundError:
            raise
        except (OSError, ValueError):  # that port is down, or cabled to another host
            continue
    return found


def _query(name: str, port: int) -> tuple[str, ...]:
    """The first hop out of that port."""
    return ("smpquery", "-C", name, "-P", str(port), "-D", "nodeinfo", f"0,{port}")


def parse_switch_guid(text: str) -> str:
    """The GUID of the whole switch, of which a large one has several chips. ValueError: it is
    none."""
    guid = _GUID.search(text)
    if guid is None or not _SWITCH.search(text):
        raise ValueError(f"no switch in {text[:100]!r}")
    return guid[1]
