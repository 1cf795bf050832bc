"""Who the run's own questions trust, and what they show."""

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from tests.fakes.pki import make_key_file, make_pair

from dsr1.launcher.recipe.parts import Frontend, ServerTls
from dsr1.launcher.run.settings import RunSettings
from dsr1.launcher.run.store import Run
from dsr1.launcher.smoke.access import FrontendAccess, make_access
from dsr1.launcher.smoke.frontend_files import read_frontend_files
from dsr1.launcher.smoke.http import make_client


class Front(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.headers.get("Authorization")).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, str]:
    pair, key = make_pair(tmp_path), make_key_file(tmp_path)
    tls = ServerTls(cert=str(pair.cert), key=str(pair.key))
    return read_frontend_files(Frontend(tls=tls, api_key_file=str(key)))


@pytest.fixture
def port(secrets: dict[str, str], tmp_path: Path) -> Iterator[int]:
    both = tmp_path / "both.pem"
    both.write_text(secrets["frontend.key"] + secrets["frontend.pem"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    with ThreadingHTTPServer(("127.0.0.1", 0), Front) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield server.server_port
        server.shutdown()
        serving.join()


def test_one_certificate_is_trusted_by_any_address(port: int, secrets: dict[str, str]) -> None:
    with make_client(make_access(20, secrets)) as client:
        for name in ("127.0.0.1", "localhost"):
            told = client.get(f"https://{name}:{port}/")
            assert told.json() == "Bearer sesame-0123456789abcdef"


def test_no_other_certificate_is_trusted(port: int, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = FrontendAccess(20, make_pair(tmp_path / "other").cert.read_text())
    with make_client(other) as client, pytest.raises(httpx.ConnectError, match="CERTIFICATE"):
        client.get(f"https://127.0.0.1:{port}/")


def test_neither_is_written_with_the_settings(tmp_path: Path, secrets: dict[str, str]) -> None:
    run = Run(tmp_path / "r")
    (run.folder / "secrets").mkdir(parents=True)
    for name, text in secrets.items():
        run.write_kept(f"secrets/{name}", text)
    run.save_settings(RunSettings("python3", *(1.0,) * 7, restarts=0, backoff_s=1.0))
    found = run.settings()
    assert found.access == make_access(1.0, secrets)
    run.save_settings(found)
    written = (run.folder / "settings.json").read_text()
    assert "sesame" not in written + repr(found)
    assert "CERTIFICATE" not in written
