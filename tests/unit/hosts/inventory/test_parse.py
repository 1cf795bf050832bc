"""Host lists: what people of the field write, and what is refused."""

from pathlib import Path

import pytest

from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.names import counted_files
from dsr1.hosts.inventory.parse import parse_hosts


@pytest.mark.parametrize(
    ("option", "names"),
    [
        ("a,b", ["a", "b"]),
        ("b,a", ["b", "a"]),
        ("z[1-2],a", ["z1", "z2", "a"]),
        ("z[3,1-2],a", ["z3", "z1", "z2", "a"]),
        ("r[2,1]n[01-02]", ["r2n01", "r2n02", "r1n01", "r1n02"]),
        ("z[2-3],z[1-2]", ["z2", "z3", "z1"]),
        ("z[1-3]!z2,a", ["z1", "z3", "a"]),
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
    file.write_text(
        "defaults: {user: me, labels: {rack: a}}\nhosts:\n  n[1-2]: {port: 2222}\n  n3: {user:"
        " you}\n"
    )
    found = parse_hosts(f"@{file}")
    assert [(a.name, a.user, a.port) for a in found] == [
        ("n1", "me", 2222),
        ("n2", "me", 2222),
        ("n3", "you", None),
    ]
    assert found[0].labels == ("rack=a",)


def test_a_relative_key_lies_beside_its_inventory(tmp_path: Path) -> None:
    file = tmp_path / "hosts.yaml"
    file.write_text(
        "defaults: {key: keys/ours}\nhosts:\n  a: {}\n  b: {key: ~/.ssh/own}\n  c: {key: /etc/k}\n"
    )
    assert [access.key for access in parse_hosts(f"@{file}")] == [
        str(tmp_path / "keys/ours"),
        "~/.ssh/own",
        "/etc/k",
    ]


@pytest.mark.parametrize(
    ("option", "wanted"),
    [
        ("a,a", "a named more than once"),
        ("node[1-", "is not a list of hosts"),
        ("node[1,b", "is not a list of hosts"),
        ("a,,b", "is not a list of hosts; a comma has no host beside it"),
        ("a,b,", "a comma has no host beside it"),
        (",a", "a comma has no host beside it"),
        ("n[1-2],", "a comma has no host beside it"),
        ("[::1]", "an IPv6 address is for SSH alone"),
        ("[fe80::1]:22,a", "an IPv6 address is for SSH alone"),
        ("NODE1,b,node1", "NODE1, node1 named more than once"),
        ("@", "@: which file"),
        ("", "^--hosts: names no host$"),
        ("a!a", "^--hosts: names no host$"),
        ("*", "not a host's name"),
        ("a,@lab", "groups are not supported"),
        ("@lab:*,a", "can't be read"),
        ("u1@a,u2@b", "several users need an inventory"),
        ("a b", "not a host's name"),
        ("-oProxyCommand=id", "not a host's name|no list of hosts"),
        ("$(id)", "not a host's name|no list of hosts"),
        ("n[1-2-3]", "is not a list of hosts"),
        ("n" + "9" * 5000 + "!a", "is not a list of hosts"),
        ("n[1-3]" + "9" * 40 + "s", "is not a list of hosts: range too large"),
        ("n[1-2/0]", "is not a list of hosts"),
        ("n[٣-٩]", "is not a list of hosts"),
        ("n[1-9]%s", "is not a list of hosts"),
        ("n[" + "9" * 5000 + "]", "is not a list of hosts"),
        ("é", "not a host's name"),
        ("a" * 300, "not a host's name"),
        ("x;id", "not a host's name|no list of hosts"),
        ("..", "not a host's name"),
        ("@/nowhere/hosts", "can't be read"),
        ("10.0.0.300", "'10.0.0.300': is not an IPv4 address"),
        ("10.0.0.256,10.0.0.1", "'10.0.0.256': is not an IPv4 address"),
        ("10.0.1", "not an IPv4 address"),
        ("10.0.0.01", "not an IPv4 address"),
        ("u@10.0.0.999:22", "not an IPv4 address"),
        ("n1:0", "0 is no port"),
        ("n1:99999", "99999 is no port"),
        ("n1:ssh", "not a host's name"),
        ("n1:", "not a host's name"),
        (":22", "not a host's name"),
        ("n1:22:23", "not a host's name"),
        ("n1:22,n1:2222", "n1 named more than once"),
        ("fe80::1", "an IPv6 address is for SSH alone"),
        ("2001:db8::7", "an IPv6 address is for SSH alone"),
        ("ssh://n1", "not a host's name"),
    ],
)
def test_what_is_no_host_list(option: str, wanted: str) -> None:
    with pytest.raises(InputError, match=wanted):
        parse_hosts(option)


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        (
            "h.yaml",
            "hosts:\n  a: {port: 22}\n  a: {port: 23}\n",
            r"h\.yaml:3: key 'a' appears twice",
        ),
        ("h.yaml", "hosts: {'a[1-2]': {}, a2: {}}", r"h\.yaml: a2 named more than once"),
        ("h.txt", "a\na\n", r"h\.txt: a named more than once"),
        ("h.txt", "*\n", "not a host's name"),
        ("h.txt", "", "names no host"),
        ("h.yaml", "hosts: " + "[" * 5000, "nest"),
        ("h.yaml", "hosts: {a: {key: 2026-99-99}}", "not YAML"),
        ("h.yaml", "hosts: {a: &x {}, b: *x}", "aliases .* not allowed"),
        ("h.yaml", "hosts: {a: !!timestamp 1-1-1}", "tags .* not allowed"),
        ("h.yaml", "hosts: {a: {port: " + "1" * 5000 + "}}", "a number of 5000 characters"),
        ("h.yaml", "hosts: [" + "1," * 30000 + "]", "more than 20000 values"),
        ("h.yaml", "hosts:\n" + "".join(f"  {n}[1-4000]: {{}}\n" for n in "ab"), "more than 4096"),
        ("h.txt", "a[1-4000]\nb[1-4000]\n", "more than 4096"),
        ("h.txt", "a" * 2**20 + "\n", "larger than"),
        ("h.txt", "['a']@\n", "names no host"),
        ("h.txt", "&a " * 20000 + "\n", "is not a list of hosts"),
        ("h.txt", "a" + "&a" * 20000 + "\n", "at most 4096"),
        ("h.txt", "n[1-2-3]\n", r"h\.txt:1: .* is not a list of hosts"),
    ],
)
def test_what_is_no_inventory(tmp_path: Path, name: str, text: str, wanted: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(InputError, match=wanted):
        parse_hosts(f"@{file}")


@pytest.mark.parametrize(
    ("option", "wanted"),
    [
        ("user@n1:22", [("n1", "n1", "user", 22)]),
        ("n1:2222,n2", [("n1", "n1", None, 2222), ("n2", "n2", None, None)]),
        ("u@node[1-2]:2222", [("node1", "node1", "u", 2222), ("node2", "node2", "u", 2222)]),
        ("10.0.0.255:22", [("10.0.0.255", "10.0.0.255", None, 22)]),
    ],
)
def test_a_port_is_sshs_and_no_part_of_the_name(
    option: str, wanted: list[tuple[str, str, str | None, int | None]]
) -> None:
    assert [(a.name, a.target, a.user, a.port) for a in parse_hosts(option)] == wanted


def test_ssh_may_use_what_urls_can_not(tmp_path: Path) -> None:
    file = tmp_path / "h.yaml"
    file.write_text("hosts: {a: {address: 'fe80::1', control_address: 10.0.0.1}}")
    (access,) = parse_hosts(f"@{file}")
    assert (access.target, access.control_address) == ("fe80::1", "10.0.0.1")
    file.write_text("hosts: {a: {address: 'fe80::1'}}")
    with pytest.raises(InputError, match="give control_address"):
        parse_hosts(f"@{file}")
    for value in ("fe80::1", "10.0.0.300", "n1:22", "[fe80::1]", "u@n1"):
        file.write_text(f"hosts: {{a: {{control_address: '{value}'}}}}")
        with pytest.raises(InputError, match=r"for SSH alone|not an IPv4|not a host's"):
            parse_hosts(f"@{file}")


def test_spares_are_called_so() -> None:
    with pytest.raises(InputError, match=r"^spares: a named more than once$"):
        parse_hosts("a,a", source="spares")


def test_unknown_inventory_key_is_named(tmp_path: Path) -> None:
    file = tmp_path / "hosts.yaml"
    file.write_text("hosts:\n  a: {prot: 22}\n")
    wanted = (
        r"hosts.yaml:\d+: hosts\.a\.prot: unknown key \(did you mean port\?\); allowed are address"
    )
    with pytest.raises(InputError, match=wanted):
        parse_hosts(f"@{file}")


@pytest.mark.parametrize(
    "text", ["n[1-99999999]", "n[1-9999]r[1-9999]", "a,n[1-5000]", "n[1-99999999]" * 600]
)
def test_a_slip_of_the_finger_names_no_million_hosts(text: str) -> None:
    with pytest.raises(InputError, match="at most 4096"):
        parse_hosts(text)


@pytest.mark.parametrize(
    ("files", "size", "said"),
    [
        (1, 12, "1 file, 0.0 kB"),
        (2, 99_999, "2 files, 100.0 kB"),
        (40, 7_100_000, "40 files, 7.1 MB"),
    ],
)
def test_files_in_few_words(files: int, size: int, said: str) -> None:
    assert counted_files(files, size) == said
