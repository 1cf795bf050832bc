"""How the servers of a run are asked: what they show, what they want to see, and for how long."""

from collections.abc import Mapping
from dataclasses import field

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.http import FRONTEND_CERT
from dsr1.launcher.commands.secrets import API_KEY


@dataclass(frozen=True, slots=True)
class FrontendAccess:
    """`timeout_s` bounds each silence of an answer. `certificate` is the one, as PEM, that they
    must show; empty: they speak plain HTTP. `api_key` is empty where they want none."""

    timeout_s: float
    certificate: str = ""
    api_key: str = field(default="", repr=False)


NO_ACCESS = FrontendAccess(0)


def make_access(timeout_s: float, secrets: Mapping[str, str]) -> FrontendAccess:
    """`secrets` are the run's, by file name."""
    return FrontendAccess(timeout_s, secrets.get(FRONTEND_CERT, ""), secrets.get(API_KEY, ""))
