"""How a run's bridge, Prometheus and Grafana let in who asks."""

from dataclasses import dataclass

USER = "dsr1"


@dataclass(frozen=True, slots=True)
class ScrapingAccess:
    """Paths of files. `cert` and `key` are empty: in clear. `server_name` is whom the certificate
    is for. `password_file` is empty: nobody is asked who he is; `hashed` is the password by bcrypt,
    as Prometheus wants it."""

    cert: str = ""
    key: str = ""
    server_name: str = ""
    password_file: str = ""
    hashed: str = ""

    @property
    def scheme(self) -> str:
        return "https" if self.cert else "http"


IN_CLEAR = ScrapingAccess()
