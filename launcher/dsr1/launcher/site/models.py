"""The site file, as a strict model: keys of its own, and those of a recipe that a place decides."""

import datetime
from ipaddress import IPv4Network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from dsr1.hosts.inventory.parse import HCA_NAME
from dsr1.launcher.recipe.parts import (
    Etcd,
    Frontend,
    Health,
    Hooks,
    Logs,
    Ports,
    Restart,
    Runtime,
    Scraping,
    Timeouts,
)
from dsr1.launcher.recipe.slurm import Slurm
from dsr1.launcher.recipe.types import Name, RecipePart, Security, Text

OWN_KEYS = ("hosts", "models", "profiles", "checks", "control_network")


def _network(value: str) -> str:
    try:
        return str(IPv4Network(value))
    except ValueError as error:
        raise ValueError(f"{error}; wanted is an IPv4 network, 10.1.0.0/16") from None


class SkippedCheck(RecipePart):
    """A check, or a kind of checks, that isn't done here: why, and until which day."""

    check: Text
    reason: Annotated[Text, Field(min_length=1)]
    until: datetime.date


class SiteChecks(RecipePart):
    skip: list[SkippedCheck] = []


class Site(RecipePart):
    """All site files together. The keys that aren't a recipe's: `hosts`, sets by name, each written
    as for --hosts or as an inventory; `models`, by a name or hub id the folder on the hosts;
    `control_network`, where hosts reach each other."""

    hosts: dict[Name, Text | dict[str, Any]] = {}
    models: dict[Text, Text] = {}
    profiles: dict[Name, dict[str, Any]] = {}
    checks: SiteChecks = SiteChecks()
    control_network: Annotated[Text, AfterValidator(_network)] | None = None
    runtime: Runtime = Runtime()
    frontend: Frontend = Frontend()
    metrics: Scraping = Scraping()
    timeouts: Timeouts = Timeouts()
    restart: Restart = Restart()
    health: Health = Health()
    hooks: Hooks = Hooks()
    logs: Logs = Logs()
    orphans: Literal["keep", "end"] = "keep"
    spares: list[Text] = []
    hca: list[Annotated[str, Field(pattern=HCA_NAME)]] = []
    ports: Ports = Ports()
    etcd: Etcd = Etcd()
    security: Security = "tls"
    slurm: Slurm = Slurm()
