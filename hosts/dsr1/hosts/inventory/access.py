"""How a host is reached by SSH; what is not given here, ~/.ssh/config or SSH's own default
decides."""

from dsr1.hosts.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Access:
    """`name` is what dsr1 calls the host, `target` what SSH is asked for: an alias, a name, an
    address.

    `labels` are `key=value`. `hca` names the adapters that it is to use, or patterns of such names.
    `network`: the one that holds its control address, where that isn't given.
    """

    name: str
    target: str
    user: str | None = None
    port: int | None = None
    key: str | None = None
    jump: str | None = None
    gpus: int | None = None
    control_address: str | None = None
    hca: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    accept_new_key: bool = False
    network: str | None = None
