"""The parsers of facts, on captures as data files (tests/data/facts), and on whatever a file can
turn out to hold."""

import importlib
import json
import random
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from dsr1.hosts.agent.facts.fabric.network import etcd_problem
from dsr1.hosts.agent.facts.gpu.xids import find_xids, time_of_line, time_of_record
from dsr1.hosts.agent.facts.software import parse_nccl
from dsr1.hosts.protocol.facts.fact import UNREADABLE

DATA = Path(__file__).parents[4] / "data" / "facts"
UPTIME_S = 200.0
COMPOSED: dict[str, Callable[[str], Any]] = {
    "kernel_log.xids_of_kmsg": partial(find_xids, when=time_of_record, uptime_s=UPTIME_S),
    "kernel_log.xids_of_journal": partial(find_xids, when=time_of_line, uptime_s=UPTIME_S),
}
NAMES = sorted(file.stem for file in DATA.glob("*.yaml"))


def parser(name: str) -> Callable[[str], Any]:
    module, _, function = name.rpartition(".")
    found: Callable[[str], Any] = COMPOSED.get(name) or getattr(
        importlib.import_module(f"dsr1.hosts.agent.facts.{module}"), function
    )
    return found


def cases() -> Iterator[Any]:
    for name in NAMES:
        for case in yaml.safe_load((DATA / f"{name}.yaml").read_text()):
            yield pytest.param(name, case, id=f"{name}: {case['from']}")


@pytest.mark.parametrize(("name", "case"), list(cases()))
def test_a_parser_on_what_was_captured(name: str, case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(UNREADABLE, match=case["error"]):
            parser(name)(case["text"])
    else:
        assert json.loads(json.dumps(parser(name)(case["text"]))) == case["expected"]


def mangled(text: str, chance: random.Random) -> Iterator[str]:
    """Cut short, repeated, with lines and words lost, and with what no such file holds."""
    yield from (
        "",
        "\n",
        " ",
        "\0",
        "\udcff",
        ": : :\n",
        "=\n",
        "-",
        "9" * 5000,
        "a\n" * 10_000,
        "\t" * 10_000,
        "é []",
    )
    yield text * 1000
    for _ in range(60):
        place = chance.randrange(len(text) + 1)
        junk = chance.choice(
            ("", "\0", "\udcff", ":", "\n", "-1", "1e999", "\ud800", "[", '"', ",", "9" * 4400)
        )
        yield text[:place]
        yield text[:place] + junk + text[place + chance.randrange(4) :]
        lines = text.splitlines(keepends=True)
        chance.shuffle(lines)
        yield "".join(lines[: chance.randrange(len(lines) + 1)])


@pytest.mark.parametrize("name", NAMES)
def test_a_parser_on_anything(name: str) -> None:
    """A value that JSON carries, or an error that makes it a fact without one; never anything
    else."""
    chance = random.Random(name)
    for case in yaml.safe_load((DATA / f"{name}.yaml").read_text()):
        for text in mangled(case["text"], chance):
            try:
                json.dumps(parser(name)(text))
            except UNREADABLE:
                continue


@pytest.mark.parametrize(
    ("code", "version"), [(23004, "2.30.4"), (21903, "2.19.3"), (2804, "2.8.4")]
)
def test_nccl_says_its_version_as_a_number(code: int, version: str) -> None:
    assert parse_nccl(code) == version


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b'HTTP/1.0 200 OK\r\n\r\n{"health":"true","reason":""}', ""),
        (b'HTTP/1.0 503 Service Unavailable\r\n\r\n{"health":"false"}', 'says {"health":"false"}'),
        (b"\xff\xfe", "says \ufffd\ufffd"),
        (b"", "says nothing"),
    ],
)
def test_an_etcd_is_asked_for_its_health(answer: bytes, problem: str) -> None:
    def serve(server: socket.socket) -> None:
        line, _ = server.accept()
        with line:
            line.recv(100)
            line.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        assert etcd_problem(f"http://{place}") == problem
        assert etcd_problem(f"https://{place}") == ""
    assert "refused" in etcd_problem(place)


@pytest.mark.parametrize(
    "url", ["http://none.invalid", "http://[", "", "http://h:port", "http://h:99999"]
)
def test_what_is_no_etcd_is_a_problem(url: str) -> None:
    assert etcd_problem(url)
