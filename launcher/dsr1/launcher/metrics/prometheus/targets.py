"""What of a run is scraped, as Prometheus discovers it (file_sd and http_sd have one form)."""

from collections.abc import Iterator, Mapping
from urllib.parse import quote, urlsplit

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.facts.devices import DEVICES
from dsr1.hosts.protocol.http import LOOPBACK
from dsr1.launcher.health.members import frontend_gets, watched_ranks
from dsr1.launcher.plan.plan import Plan

RUN_PAGE = "/metrics"
"""Of the bridge: the run itself."""


@dataclass(frozen=True, slots=True)
class ScrapeTarget:
    """`path`: of the bridge, which asks the process through its host's agent. `address`: where the
    process itself can be asked, HOST:PORT; empty: nowhere from outside its host. `group`: its
    engine, since vLLM calls its ranks `engine`. `secured`: by HTTPS there."""

    host: str
    process: str
    role: str
    group: str
    path: str
    address: str = ""
    secured: bool = False


def scrape_targets(plan: Plan) -> tuple[ScrapeTarget, ...]:
    """Workers, frontends, and every host's devices."""
    return (*_workers(plan), *_frontends(plan), *_devices(plan))


def _workers(plan: Plan) -> Iterator[ScrapeTarget]:
    one_host = len(plan.hosts) == 1
    for rank in {rank.worker.process: rank for rank in watched_ranks(plan)}.values():
        worker, at = rank.worker, urlsplit(rank.worker.metrics_url)
        is_reached = at.hostname != LOOPBACK or one_host
        path = _path(rank.server_host, worker.process)
        address = at.netloc if is_reached else ""
        named = (rank.server_host, worker.process, worker.role, rank.planned.engine)
        yield ScrapeTarget(*named, path, address, at.scheme == "https")


def _frontends(plan: Plan) -> Iterator[ScrapeTarget]:
    for host, gets in frontend_gets(plan, 0.0).items():
        for get in gets:
            path, address = _path(host, get.process), f"{get.address}:{get.port}"
            named = (host, get.process, "frontend", get.process)
            yield ScrapeTarget(*named, path, address, get.secured)


def _devices(plan: Plan) -> Iterator[ScrapeTarget]:
    for host in plan.hosts:
        yield ScrapeTarget(host.host, DEVICES, "host", "", _path(host.host, DEVICES))


def _path(host: str, process: str) -> str:
    return f"{RUN_PAGE}/{quote(host, safe='')}/{quote(process, safe='')}"


def direct_groups(plan: Plan) -> list[dict[str, object]]:
    """Those that can be scraped without the bridge."""
    found = [one for one in scrape_targets(plan) if one.address]
    return [_group(one.address, {**_labels(plan, one), **_SCHEMES[one.secured]}) for one in found]


def bridged_groups(plan: Plan, bridge: str, secured: bool = False) -> list[dict[str, object]]:
    """All of them, and the run itself. `bridge`: HOST:PORT, which speaks HTTPS if `secured`."""
    own = {"run": plan.run, "process": "dsr1", "host": "", "role": "run"}
    by = _SCHEMES[secured]
    paths = [
        _group(bridge, {**_labels(plan, one), **by, "__metrics_path__": one.path})
        for one in scrape_targets(plan)
    ]
    return [_group(bridge, {**own, **by, "__metrics_path__": RUN_PAGE}), *paths]


_SCHEMES = {True: {"__scheme__": "https"}, False: {}}


def _labels(plan: Plan, one: ScrapeTarget) -> dict[str, str]:
    instance = f"{one.host}/{one.process}"
    own = {"process": one.process, "host": one.host, "role": one.role, "group": one.group}
    return {"run": plan.run, "instance": instance, **own}


def _group(address: str, labels: Mapping[str, str]) -> dict[str, object]:
    """As Prometheus reads it."""
    return {"targets": (address,), "labels": labels}
