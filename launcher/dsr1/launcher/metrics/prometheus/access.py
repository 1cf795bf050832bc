"""How a run's bridge, Prometheus and Grafana let in who asks."""

from dataclasses import field

from dsr1.hosts.dataclass import dataclass

USER = "dsr1"


@dataclass(frozen=True, slots=True)
class ScrapingAccess:
    """Paths of files. `cert` and `key` are empty: in clear. `server_name` is whom the certificate
    is for. `password_file`, with the `password`, is empty: nobody is asked who he is."""

    cert: str = ""
    key: str = ""
    server_name: str = ""
    password_file: str = ""
    password: str = field(default="", repr=False)

    @property
    def scheme(self) -> str:
        return "https" if self.cert else "http"


IN_CLEAR = ScrapingAccess()
