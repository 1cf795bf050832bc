"""Who may come in: other users, other hosts, hostile words."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.answers import data_of
from tests.built import RUNTIME
from tests.cluster.conftest import Clusters
from tests.cluster.login import MOCKER, Login, assert_clean
from tests.fakes.pki import make_pair
from tests.waiting import HANGS_S

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]
ASK = """
import socket, ssl, sys
plain = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5)
try:
    with ssl._create_unverified_context().wrap_socket(plain) as asked:
        asked.sendall(b"GET /version HTTP/1.0\\r\\n\\r\\n")
        print("answered: " + repr(asked.recv(100)))
except ssl.SSLError as error:
    print("refused without a certificate" if "certificate" in str(error).lower() else error)
"""


def _with_another_key(line: str) -> str:
    return " ".join((*line.split()[:2], "AAAAC3NzaC1lZDI1NTE5AAAAIA")) + "\n"


CERTIFY = """
ssh-keygen -q -t ed25519 -N "" -f /root/ca
ssh-keygen -q -s /root/ca -I node1 -h -n node1 /etc/ssh/host_key.pub
echo HostCertificate /etc/ssh/host_key-cert.pub >> /etc/ssh/sshd_config
"""


def test_an_unknown_host_key_is_refused(login: Login) -> None:
    login.cluster.run("login", ("sh", "-c", ": > ~/.ssh/known_hosts"))
    refused = login.launch("h", "node1,node2", *MOCKER)
    assert refused.returncode == 4
    assert "not found in known_hosts" in refused.stderr
    assert login.launch("h", "node1,node2", *MOCKER, "--accept-new-keys").returncode == 0
    assert login.dsr1("stop", "h").returncode == 0
    keys = login.cluster.run("login", ("cat", "/home/launch/.ssh/known_hosts")).stdout
    assert len(keys.splitlines()) == 2
    login.write(".ssh/known_hosts", "".join(map(_with_another_key, keys.splitlines())))
    changed = login.dsr1("exec", "--hosts", "node1", "--accept-new-keys", "--", "true")
    assert changed.returncode == 4
    assert "its host key has changed" in changed.stdout + changed.stderr


def test_a_host_with_a_certificate_of_a_known_authority_is_let_in(login: Login) -> None:
    """By its certificate alone: its own key is known nowhere."""
    assert login.cluster.run("node1", ("sh", "-c", CERTIFY), user="root").returncode == 0
    login.cluster.stop_sshd("node1")
    login.cluster.start_sshd("node1")
    authority = login.cluster.path("node1", "/root/ca.pub").read_text()
    login.write(".ssh/known_hosts", f"@cert-authority node* {authority}")
    assert login.dsr1("exec", "--hosts", "node1", "--", "true").returncode == 0
    login.write(".ssh/known_hosts", f"@cert-authority other* {authority}")
    refused = login.dsr1("exec", "--hosts", "node1", "--", "true")
    assert "not found in known_hosts" in refused.stdout + refused.stderr


def test_another_users_folder_is_not_trusted(login: Login) -> None:
    """/tmp is everybody's: who is first there could otherwise have his file run as us."""
    folder = "/tmp/dsr1-2000"
    login.cluster.run("node2", ("rm", "-r", folder))
    login.cluster.run("node2", ("mkdir", "-m", "777", folder), user="other")
    refused = login.launch("o", "node1,node2", *MOCKER)
    assert refused.returncode == 4
    assert "not a folder of ours alone" in refused.stderr
    assert_clean(login.cluster, "node1", "node2")


def _frontend_tls(login: Login, folder: Path) -> tuple[str, ...]:
    """Of files in the home of who launches."""
    pair = make_pair(folder)
    for name, file in (("r1.pem", pair.cert), ("r1.key", pair.key)):
        login.write(name, file.read_text())
    home = "/home/launch"
    assert login.cluster.run("login", ("chmod", "600", f"{home}/r1.key")).returncode == 0
    return ("--set", f"frontend.tls={{cert: {home}/r1.pem, key: {home}/r1.key}}")


def test_a_second_user_finds_no_secret(login: Login, tmp_path: Path) -> None:
    """Of the run's own, and of its frontend, which answers over HTTPS alone."""
    tls = _frontend_tls(login, tmp_path)
    launched = login.launch("q", "node1,node2", *MOCKER, *tls)
    assert launched.returncode == 0, launched.stderr
    assert "https://" in login.dsr1("status", "q").stdout
    url = login.dsr1("status", "q").stdout.split("https://")[1].split("/v1")[0]
    ask = ("curl", "-s", "-k", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}")
    for scheme, code in (("http", "000"), ("https", "200")):
        asked = login.cluster.run("node2", (*ask, f"{scheme}://{url}/v1/models"), user="other")
        assert asked.stdout == code
    key = login.read("q", "secrets/tls.key").splitlines()[1]
    other = login.read("q", "secrets/frontend.key").splitlines()[1]
    assert min(len(key), len(other)) > 20
    for box in ("login", "node1", "node2"):
        search = (
            "find / -xdev -type f -newer /proc/1 2>/dev/null | head -5000 | xargs -r grep -l -e"
            ' "$0" -e "$1" 2>/dev/null; true'
        )
        assert (
            login.cluster.run(
                box, ("sh", "-c", search, key, other), user="other", timeout=HANGS_S
            ).stdout
            == ""
        )
        lines = login.cluster.run(
            box, ("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"), user="other"
        ).stdout
        assert key not in lines.replace(f"{key} ", "", 0)
    for file in ("plan.json", "recipe.json", "settings.json", "state.json"):
        assert key not in login.read("q", file)
        assert other not in login.read("q", file)
    assert login.dsr1("stop", "q").returncode == 0
    for box in ("login", "node1", "node2"):
        search = "find /tmp /home/launch -path '*/secrets/*' 2>/dev/null; true"
        assert login.cluster.run(box, ("sh", "-c", search)).stdout == ""


# Dynamo's event plane and vLLM's own control sockets know no address (docs: what stays in clear);
# all else must.
EVERYWHERE_IS_DYNAMOS = ("main-0", "main-1", "frontend")


def _values(plan: dict[str, Any], name: str) -> set[str]:
    processes = (process for host in plan["hosts"] for process in host["processes"])
    return {
        variable["value"]
        for process in processes
        for variable in process["env"]
        if variable["name"] == name
    }


def test_what_listens_is_told_and_closed_to_a_third_host(
    runtime: None, make_cluster: Clusters
) -> None:
    login = Login(make_cluster("node1", "node2", "node3"))
    assert login.launch("third", "node1,node2", *MOCKER).returncode == 0
    told = data_of(login.dsr1("status", "third", "--ports", "--json").stdout)
    doors = [(host, door) for host in told for door in told[host]]
    everywhere = [door for _, door in doors if door["address"] in ("0.0.0.0", "::")]
    assert {door["process"] for door in everywhere} <= set(EVERYWHERE_IS_DYNAMOS)
    assert all(door["everywhere"] for door in everywhere)
    plan = json.loads(login.read("third", "plan.json"))
    metrics = _values(plan, "DYN_SYSTEM_PORT")  # HTTP in clear, for its own host alone
    assert {door["address"] for _, door in doors if str(door["port"]) in metrics} == {"127.0.0.1"}
    tls = [
        d
        for _, d in doors
        if not d["everywhere"] and d["process"] != "frontend" and str(d["port"]) not in metrics
    ]
    assert len(tls) >= 4
    for door in tls:
        said = login.cluster.run(
            "node3",
            (str(RUNTIME / "bin" / "python"), "-c", ASK, door["address"], str(door["port"])),
            user="other",
        )
        assert said.stdout.strip() == "refused without a certificate", (door, said)
    assert login.dsr1("stop", "third").returncode == 0


HOSTILE = (
    "a b",
    "';id >/tmp/pwned;'",
    "$(id >/tmp/pwned)",
    "`id >/tmp/pwned`",
    "x,y",
    '{"a": "b"}',
    "\\n",
    "ü",
)


def test_hostile_values_arrive_as_they_are(login: Login) -> None:
    values = {f"HOSTILE_{number}": value for number, value in enumerate(HOSTILE)}
    launched = login.launch(
        "q", "node1,node2", *MOCKER, "--set", f"runtime.env={json.dumps(values)}"
    )
    assert launched.returncode == 0, launched.stderr
    for box in ("node1", "node2"):
        pid = next(
            pid for pid, line in login.cluster.processes(box, "launch") if "dynamo.mocker" in line
        )
        seen = login.cluster.run(box, ("cat", f"/proc/{pid}/environ")).stdout.split("\0")
        assert {f"{name}={value}" for name, value in values.items()} <= set(seen)
        assert not login.cluster.path(box, "/tmp/pwned").exists()
    assert login.dsr1("stop", "q").returncode == 0


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_paths_are_only_paths(login: Login, value: str) -> None:
    for option in ("--model", "--venv"):
        refused = login.launch("p", "node1,node2", *MOCKER, option, f"/none/{value}")
        assert refused.returncode in (3, 4), refused
        assert f"/none/{value}" in refused.stderr
    assert not login.cluster.path("node1", "/tmp/pwned").exists()


def test_files_of_a_run_are_closed(login: Login) -> None:
    assert login.launch("m", "node1,node2", *MOCKER).returncode == 0
    find = ("sh", "-c", 'find "$0" -user launch -perm /077 ! -type s ! -type l')
    assert login.cluster.run("login", (*find, "/home/launch/.local/state/dsr1/runs/m")).stdout == ""
    for box in ("node1", "node2"):
        assert login.cluster.run(box, (*find, "/tmp")).stdout == ""
        assert login.cluster.run(box, ("ls", "/tmp/dsr1-2000"), user="other").returncode != 0
    assert login.dsr1("stop", "m").returncode == 0
    left = login.cluster.run("node1", ("ls", "/tmp")).stdout.split()
    assert [name for name in left if name.startswith(("dsr1-", "tmp"))] == [
        "dsr1-2000",
        "dsr1-ports-2000",
    ]


def test_an_agents_file_that_is_not_ours_is_not_run(login: Login) -> None:
    """Its owner is checked at every call, not at the first alone."""
    assert login.launch("own", "node1,node2", *MOCKER).returncode == 0
    swap = 'for f in /tmp/dsr1-2000/agent-*; do chown other "$f"; done'
    assert login.cluster.run("node2", ("sh", "-c", swap), user="root").returncode == 0
    assert login.dsr1("stop", "own").returncode == 0
    assert_clean(login.cluster, "node1", "node2")
