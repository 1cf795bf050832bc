"""What a host is asked beside what it is like: names to resolve, ports to look at, a model,
folders."""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class FactsRequest:
    """`peers` are names to resolve, `leader` the address to find the route to, `ports` those of the
    plan on this host.

    `etcd` are URLs of the user's own. `folders` will be written to. `pins` are distributions whose
    own wishes are told, see the fact `software.wishes`. `sample_s`: seconds between two looks at
    the adapters' counters; 0: one look.
    """

    model: str = ""
    leader: str = ""
    peers: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    etcd: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    sample_s: float = 0.0


def render_facts_request(ask: FactsRequest) -> str:
    return json.dumps(asdict(ask))


def parse_facts_request(text: str) -> FactsRequest:
    """ValueError: this isn't what `render_ask` makes."""
    plain = json.loads(text)
    if not isinstance(plain, dict) or plain.keys() != {
        field.name for field in fields(FactsRequest)
    }:
        raise ValueError(f"an ask is an object of this dsr1's, not {text[:200]!r}")
    told: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()
    }
    return FactsRequest(**told)
