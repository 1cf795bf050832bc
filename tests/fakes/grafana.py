"""`bin/grafana` of a Grafana that reads what its documentation says of configuration and
provisioning, and answers a few paths of its HTTP API: health, the dashboards that it found, and
queries through the source that it was provisioned with."""

import base64
import configparser
import json
import re
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

import yaml

PROXY = "/api/datasources/proxy/uid/"


def main() -> None:
    assert sys.argv[1] == "server"
    options = dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))
    assert (Path(options["--homepath"]) / "conf/defaults.ini").is_file()
    ini = configparser.ConfigParser(interpolation=None)
    ini.read(options["--config"])
    found = {name: {key: filled(value) for key, value in ini[name].items()} for name in ini}
    Path(found["paths"]["data"]).mkdir(parents=True, exist_ok=True)
    listen = found["server"]
    server = ThreadingHTTPServer((listen["http_addr"], int(listen["http_port"])), Answers)
    server.found = found  # type: ignore[attr-defined]
    server.sources = provisioned(found, "datasources", "datasources")  # type: ignore[attr-defined]
    server.boards = boards(provisioned(found, "dashboards", "providers"))  # type: ignore[attr-defined]
    if listen["protocol"] == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(listen["cert_file"], listen["cert_key"])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


def expanded(value: object) -> object:
    if isinstance(value, dict):
        return {key: expanded(part) for key, part in value.items()}
    return filled(value) if isinstance(value, str) else value


def filled(value: str) -> str:
    text = re.sub(r"\$__file\{([^}]+)\}", lambda m: Path(m[1]).read_text().strip(), value)
    return text.strip("`").replace("$$", "$")


def provisioned(found: dict, kind: str, key: str) -> list:  # type: ignore[type-arg]
    files = sorted((Path(found["paths"]["provisioning"]) / kind).glob("*.yaml"))
    read = [yaml.safe_load(file.read_text()) for file in files]
    assert all(one["apiVersion"] == 1 for one in read)
    return [expanded(one) for each in read for one in each[key]]


def boards(providers: list) -> list:  # type: ignore[type-arg]
    folders = [Path(one["options"]["path"]) for one in providers if one["type"] == "file"]
    return [json.loads(file.read_text()) for one in folders for file in one.glob("*.json")]


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        if self.path == "/api/health":
            return self.send({"database": "ok"})
        if not self.may_look(server.found):  # type: ignore[attr-defined]
            return self.send({"message": "Unauthorized"}, 401)
        if self.path.startswith("/api/search"):
            return self.send([{"uid": one["uid"]} for one in server.boards])  # type: ignore[attr-defined]
        uid, _, rest = self.path.removeprefix(PROXY).partition("/")
        source = next(one for one in server.sources if one["uid"] == uid)  # type: ignore[attr-defined]
        return self.send(json.load(urlopen(**asked(source, rest))))

    def may_look(self, found: dict) -> bool:  # type: ignore[type-arg]
        security, told = found["security"], self.headers.get("Authorization", "")
        if found["auth.anonymous"]["enabled"] == "true":
            return bool(security["disable_initial_admin_creation"] == "true")
        user = f"{security['admin_user']}:{security['admin_password']}"
        return bool(told == f"Basic {base64.b64encode(user.encode()).decode()}")

    def send(self, answer: object, status: int = 200) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())


def asked(source: dict, path: str) -> dict:  # type: ignore[type-arg]
    request = Request(f"{source['url']}/{path}")
    secret, context = source["secureJsonData"], None
    if source.get("basicAuth"):
        user = f"{source['basicAuthUser']}:{secret['basicAuthPassword']}"
        request.add_header("Authorization", f"Basic {base64.b64encode(user.encode()).decode()}")
    if source["jsonData"].get("tlsAuthWithCACert"):
        context = ssl.create_default_context(cadata=secret["tlsCACert"])
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.check_hostname = False  # Go asks for serverName, urllib for the address
        assert source["jsonData"]["serverName"]
    return {"url": request, "context": context}


if __name__ == "__main__":
    main()
