"""Who could come in, as far as versions and addresses tell."""

import socket
import threading
from collections.abc import Iterator

import pytest
from tests.unit.env.hgx import HEALTHY, NEEDS, make_facts

from dsr1.env.checks.all import run_checks
from dsr1.hosts.agent.facts.fabric.network import etcd_version
from dsr1.hosts.protocol.facts.fact import FactValue


def verdict(check: str, **changes: FactValue) -> tuple[str, str]:
    found = run_checks({"a": make_facts(**changes)}, NEEDS, [check])
    return found[0].verdict, found[0].seen


@pytest.mark.parametrize(
    ("versions", "seen"),
    [
        ({"vllm": "0.31.0", "ai-dynamo": "1.6.1"}, ""),
        ({"vllm": "0.8.4", "ai-dynamo": "1.6.1"}, "vllm 0.8.4: GHSA-9f8f-2vmf-885j"),
        ({"vllm": "0.8.4.post1"}, "vllm 0.8.4.post1: GHSA-9f8f-2vmf-885j"),
        ({"ai-dynamo": "1.5.0"}, ""),
        ({}, ""),
    ],
)
def test_advisories(versions: dict[str, FactValue], seen: str) -> None:
    told = verdict("sw.advisories", software={**versions})
    assert told[0] == ("WARN" if seen else "PASS")
    assert told[1].startswith(seen)


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({}, "PASS"),
        ({"ib0": ["192.168.0.1"], "docker0": ["172.17.0.1"]}, "PASS"),
        ({"eth1": ["fe80::1"]}, "PASS"),
        ({"eth1": ["192.168.7.1"]}, "WARN"),
        ({"eno1": ["2001:db8::1"]}, "WARN"),
    ],
)
def test_networks_beyond_the_control_network(more: dict[str, FactValue], wanted: str) -> None:
    addresses = HEALTHY["net.addresses"]
    assert isinstance(addresses, dict)
    told = verdict("net.exposed", net_addresses={**addresses, **more})
    assert told[0] == wanted
    assert wanted == "PASS" or next(iter(more)) in told[1]


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        ("3.5.1", "WARN"),
        ("3.5.32", "WARN"),
        ("3.5.33", "PASS"),
        ("3.6.13", "WARN"),
        ("3.6.14", "PASS"),
        ("3.7.0", "WARN"),
        ("3.8.0", "PASS"),
        ("3.4.40", "WARN"),
        ("", "PASS"),
    ],
)
def test_the_sites_own_etcd(version: str, wanted: str) -> None:
    from dataclasses import replace

    url = "http://e:2379"
    facts = make_facts(net_etcd={url: ""}) | make_facts(net_etcd_version={url: version})
    facts |= {"net.etcd": make_facts(net_etcd={url: ""})["net.etcd"]}
    (found,) = run_checks({"a": facts}, replace(NEEDS, etcd=(url,)), ["net.etcd"])
    assert found.verdict == wanted


@pytest.fixture
def etcd() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as door:

        def answer() -> None:
            line, _ = door.accept()
            with line:
                line.recv(100)
                line.sendall(
                    b'HTTP/1.0 200 OK\r\n\r\n{"etcdserver":"3.5.33","etcdcluster":"3.5.0"}'
                )

        threading.Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{door.getsockname()[1]}"


def test_an_etcd_tells_its_version(etcd: str) -> None:
    assert etcd_version(etcd) == "3.5.33"
    assert etcd_version("https://127.0.0.1:1") == ""
