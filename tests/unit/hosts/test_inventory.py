"""Host lists: what people of the field write, and what is refused."""

from pathlib import Path

import pytest

from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory import parse_hosts


@pytest.mark.parametrize(
    ("option", "names"),
    [
        ("a,b", ["a", "b"]),
        ("b,a", ["b", "a"]),
        ("node[08-10,20]", ["node08", "node09", "node10", "node20"]),
        ("10.0.0.1,10.0.0.2", ["10.0.0.1", "10.0.0.2"]),
    ],
)
def test_lists(option: str, names: list[str]) -> None:
    assert [access.name for access in parse_hosts(option)] == names


def test_user_in_front() -> None:
    assert parse_hosts("me@a")[0].user == "me"


def test_file_of_names(tmp_path: Path) -> None:
    file = tmp_path / "hosts.txt"
    file.write_text("# ours\nnode[1-2]\n\nnode9  # spare\n")
    assert [access.name for access in parse_hosts(f"@{file}")] == ["node1", "node2", "node9"]


def test_inventory(tmp_path: Path) -> None:
    file = tmp_path / "hosts.yaml"
    file.write_text("defaults: {user: me, labels: {rack: a}}\nhosts:\n  n[1-2]: {port: 2222}\n  n3: {user: you}\n")
    found = parse_hosts(f"@{file}")
    assert [(a.name, a.user, a.port) for a in found] == [("n1", "me", 2222), ("n2", "me", 2222), ("n3", "you", None)]
    assert found[0].labels == ("rack=a",)


@pytest.mark.parametrize(
    ("option", "wanted"),
    [
        ("a,a", "a named more than once"),
        ("node[1-", "is no list of hosts"),
        ("", "names no host"),
        ("a b", "not a host's name"),
        ("-oProxyCommand=id", "not a host's name|no list of hosts"),
        ("$(id)", "not a host's name|no list of hosts"),
        ("x;id", "not a host's name|no list of hosts"),
        ("..", "not a host's name"),
        ("@/nowhere/hosts", "can't be read"),
    ],
)
def test_what_is_no_host_list(option: str, wanted: str) -> None:
    with pytest.raises(InputError, match=wanted):
        parse_hosts(option)


def test_unknown_inventory_key_is_named(tmp_path: Path) -> None:
    file = tmp_path / "hosts.yaml"
    file.write_text("hosts:\n  a: {prot: 22}\n")
    with pytest.raises(InputError, match=r"hosts\.a\.prot"):
        parse_hosts(f"@{file}")
