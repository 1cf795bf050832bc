"""A small hub on loopback, with the addresses of the real one that a download needs, and faults on
demand."""

import contextlib
import hashlib
import json
import re
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.waiting import HANGS_S

COMMIT = "a" * 40
LFS = ".safetensors"


@dataclass(slots=True)
class Hub:
    """Serves the folder REPO/ below `root` for each repository. Faults are used up as they happen.

    `cuts`: by file, after how many bytes the connection breaks, request by request. `refusals`:
    codes, 200 for none. `claims`: sizes that the listing tells. `lies`: what comes in place of the
    file's own bytes, how often. `gate`: downloads wait for it.
    """

    root: Path
    token: str = ""
    cuts: dict[str, list[int]] = field(default_factory=dict)
    refusals: dict[str, list[int]] = field(default_factory=dict)
    claims: dict[str, int] = field(default_factory=dict)
    lies: dict[str, list[bytes]] = field(default_factory=dict)
    gate: threading.Event | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def ranges(self, name: str) -> list[str]:
        """The Range of every request for a file, in order; empty for a whole one."""
        return [wanted for path, wanted in self.asked if path.endswith(f"/{name}")]


def listing(folder: Path, claims: dict[str, int]) -> list[dict[str, object]]:
    return [
        _entry(folder, path, claims.get(path.name))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]


def _entry(folder: Path, path: Path, claim: int | None) -> dict[str, object]:
    data = path.read_bytes()
    entry = {"rfilename": path.relative_to(folder).as_posix(), "size": claim or len(data)}
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    lfs = {
        "size": claim or len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "pointerSize": 135,
    }
    return {**entry, "blobId": blob, **({"lfs": lfs} if path.suffix == LFS else {})}


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.hub.asked.append((path, self.headers.get("Range", "")))
        if self.hub.token and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self._say(401, {"error": "no"}, {"X-Error-Code": "RepoNotFound"})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", path):
            self._tell(found[1], found[2] or "main")
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            self._send(found[1], urllib.parse.unquote(found[2]))
        else:
            self._say(404, {"error": "no"}, {})

    def _tell(self, repo: str, revision: str) -> None:
        folder = self.hub.root / repo
        if not folder.is_dir():
            self._say(404, {"error": "no"}, {"X-Error-Code": "RepoNotFound"})
        elif revision not in ("main", COMMIT):
            self._say(404, {"error": "no"}, {"X-Error-Code": "RevisionNotFound"})
        else:
            self._say(
                200, {"id": repo, "sha": COMMIT, "siblings": listing(folder, self.hub.claims)}, {}
            )

    def _say(self, code: int, plain: object, headers: dict[str, str]) -> None:
        data = json.dumps(plain).encode()
        self.send_response(code)
        for name, value in (headers | {"Content-Length": str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _send(self, repo: str, name: str) -> None:
        if self.hub.gate is not None:
            self.hub.gate.wait(HANGS_S)
        codes = self.hub.refusals.get(name)
        if codes and (code := codes.pop(0)) != 200:
            self._say(code, {"error": "later"}, {})
            return
        data = (self.hub.root / repo / name).read_bytes()
        if lies := self.hub.lies.get(name):
            data = lies.pop(0)
        start = int(self.headers.get("Range", "bytes=0-")[6:].partition("-")[0])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        cuts = self.hub.cuts.get(name)
        self.wfile.write(data[start : start + cuts.pop(0)] if cuts else data[start:])


@contextlib.contextmanager
def serving(root: Path, address: str = "127.0.0.1", port: int = 0) -> Iterator[Hub]:
    hub = Hub(root)
    server = ThreadingHTTPServer((address, port), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    with serving(Path(sys.argv[1]), "0.0.0.0", int(sys.argv[2])) as served:
        served.token = sys.argv[3]
        print("ready", flush=True)
        threading.Event().wait()
