"""What a host is asked beside what it is like: names to resolve, ports to check, a model,
folders."""

from dataclasses import fields

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.bounded import parse_bounded
from dsr1.hosts.protocol.plain import from_plain, to_json


@dataclass(frozen=True, slots=True)
class FactsRequest:
    """`drafts` are models that draft tokens beside the `model`: folders, or a hub's ids. `peers`
    are names to resolve, `leader` the address to find the route to, `ports` those of the plan on
    this host.

    `etcd` are URLs of the user's own. `folders` will be written to. `pins` are distributions whose
    own requirements are wanted, see the fact `software.wishes`. `sample_s`: seconds between two
    readings of the adapters' counters; 0: one reading.
    """

    model: str = ""
    drafts: tuple[str, ...] = ()
    leader: str = ""
    peers: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    etcd: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    sample_s: float = 0.0


def render_facts_request(request: FactsRequest) -> str:
    return to_json(request).decode()


def parse_facts_request(text: str) -> FactsRequest:
    """ValueError: this isn't what `render_facts_request` makes."""
    request, names = parse_bounded(text), {field.name for field in fields(FactsRequest)}
    if isinstance(request, dict) and (missing := names - request.keys()):
        raise ValueError(f"a facts request without {', '.join(sorted(missing))}")
    return from_plain(FactsRequest, request)
