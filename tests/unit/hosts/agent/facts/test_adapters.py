"""Adapters, PCI and interfaces as sysfs has them, also where it lies, is cut short, or refuses."""

from pathlib import Path

import pytest
from tests.fake_sysfs import build, load_platform, make_device, observed

from dsr1.hosts.agent.facts.fabric.adapters import growth_readers, parse_state, read_adapters
from dsr1.hosts.agent.facts.fabric.interfaces import (
    parse_default,
    parse_default_6,
    read_default,
    read_netdevs,
)
from dsr1.hosts.agent.facts.fabric.pci import chain, read_place
from dsr1.hosts.agent.facts.fabric.switches import parse_switch_guid, switch_readers
from dsr1.hosts.agent.facts.reading.sysfs import parse_leading, parse_whole, read_text
from dsr1.hosts.protocol.facts.fact import observe


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("16", 16),
        ("-1", -1),
        ("0x1A", 26),
        ("", None),
        ("x", None),
        ("1 2", None),
        ("9" * 5000, None),
        ("1.5", None),
    ],
)
def test_whole_numbers(text: str, value: int | None) -> None:
    assert parse_whole(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("400 Gb/sec (4X NDR)", 400.0),
        ("2.5 GT/s PCIe", 2.5),
        ("Unknown", None),
        ("", None),
        ("nan Gb/sec", None),
        ("-400 Gb/sec", None),
        ("1e999", None),
    ],
)
def test_numbers_with_a_unit(text: str, value: float | None) -> None:
    assert parse_leading(text) == value


@pytest.mark.parametrize(
    ("text", "state"), [("4: ACTIVE", "ACTIVE"), ("5: LinkUp", "LinkUp"), ("4", ""), ("", "")]
)
def test_states(text: str, state: str) -> None:
    assert parse_state(text) == state


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (
            "/sys/devices/pci0000:15/0000:15:01.0/0000:1b:00.0",
            ("pci0000:15", "0000:15:01.0", "0000:1b:00.0"),
        ),
        (
            "/sys/devices/LNXSYSTM:00/VMBUS:00/4711/pci0101:00/0101:00:00.0",
            ("pci0101:00", "0101:00:00.0"),
        ),
        ("/sys/devices/pci10000:e0/10000:e0:06.0", ("pci10000:e0", "10000:e0:06.0")),
        ("/sys/devices/virtual/rxe0", ()),
        ("/", ()),
    ],
)
def test_the_way_from_the_root_complex(path: str, found: tuple[str, ...]) -> None:
    assert chain(Path(path).parts) == found


def test_one_adapter_in_full(tmp_path: Path) -> None:
    build(tmp_path, load_platform("oci-h200"))
    adapter = read_adapters(tmp_path)[0]
    (port,) = adapter.ports
    assert (adapter.name, adapter.driver, adapter.verbs, adapter.netdevs) == (
        "mlx5_0",
        "mlx5_core",
        "uverbs0",
        ("rdma0",),
    )
    assert (adapter.place.pci, adapter.place.numa, adapter.link.width, adapter.is_vf) == (
        "0000:15:00.0",
        0,
        16,
        False,
    )
    assert (port.rate_gb, port.lid, port.state) == (400.0, 0, "ACTIVE")
    assert [(gid.index, gid.kind, gid.netdev) for gid in port.gids][-1] == (3, "RoCE v2", "rdma0")
    assert dict(port.counters) == {"link_downed": 0, "link_error_recovery": 0}


def test_a_virtual_function_and_an_adapter_without_pci(tmp_path: Path) -> None:
    """A container that was given virtual functions alone doesn't see the physical one."""
    functions = {
        f"mlx5_{n}": {"at": f"0 10 10:0{n}.0", "vf": physical}
        for n, physical in ((7, "mlx5_1"), (8, "mlx5_9"))
    }
    build(tmp_path, {"adapters": {**functions, "mlx5_9": {"at": "0 10 10:09.0"}}})
    (tmp_path / "sys/class/infiniband/rxe0/ports/1").mkdir(parents=True)
    alone, beside, _, rxe = read_adapters(tmp_path)
    assert (alone.is_vf, beside.is_vf) == (False, True)
    assert (rxe.place.pci, rxe.driver, rxe.ports[0].rate_gb) == ("", "", None)


def test_links_that_lead_nowhere_or_in_circles(tmp_path: Path) -> None:
    device = tmp_path / "sys/class/infiniband/mlx5_0"
    device.mkdir(parents=True)
    (device / "device").symlink_to(device / "device")
    (device / "ports").symlink_to(tmp_path / "gone")
    (adapter,) = read_adapters(tmp_path)
    assert (adapter.place.path, adapter.ports) == ((), ())


def test_names_of_any_bytes_can_be_told(tmp_path: Path) -> None:
    for name in (b"\xff\xfe", b"a b", b"x,y"):
        (tmp_path / "sys/class/infiniband").mkdir(parents=True, exist_ok=True)
        Path(tmp_path.as_posix(), "sys/class/infiniband").joinpath(
            name.decode(errors="surrogateescape")
        ).mkdir()
    assert {adapter.name.encode().decode() for adapter in read_adapters(tmp_path)} == {
        "a b",
        "x,y",
        "\ufffd\ufffd",
    }


def test_without_any_sysfs(tmp_path: Path) -> None:
    facts = observed(tmp_path)
    assert (facts["ib.devices"].value, facts["net.interfaces"].value) == ([], {})
    assert "No such file" in facts["pci.gpus"].problem
    assert facts["net.default"].value == ""


def test_counters_are_looked_at_twice(tmp_path: Path) -> None:
    build(tmp_path, load_platform("oci-h200"))
    assert growth_readers(tmp_path, 0) == []
    readers = growth_readers(tmp_path, 0.01)
    port = tmp_path / "sys/class/infiniband/mlx5_0/ports/1/counters"
    (port / "link_downed").write_text("3\n")
    (port / "link_error_recovery").unlink()
    told = observe(readers)["ib.growth"].value
    assert isinstance(told, dict)
    assert isinstance(told["ports"], dict)
    assert told["ports"]["mlx5_0:1"] == {"link_downed": 3}
    assert isinstance(told["seconds"], float)
    assert told["seconds"] >= 0.01


def test_a_file_that_never_ends_is_read_for_a_page(tmp_path: Path) -> None:
    (tmp_path / "endless").symlink_to("/dev/zero")
    assert len(read_text(tmp_path / "endless")) == 4096


def test_numa_of_a_place(tmp_path: Path) -> None:
    assert read_place(make_device(tmp_path, "-1 15 15:01.0", {})).numa == -1


def test_interfaces_and_what_they_stand_on(tmp_path: Path) -> None:
    build(
        tmp_path,
        {"interfaces": {"bond0": {"lowers": ["eth1", "eth2"]}, "eth1": {"files": {"speed": -1}}}},
    )
    (tmp_path / "sys/class/net/bonding_masters").write_text("bond0\n")
    bond, eth1 = read_netdevs(tmp_path / "sys/class/net")
    assert (bond.lowers, bond.mtu, eth1.speed_mb) == (("eth1", "eth2"), 9000, -1)


HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
TO_ANYWHERE = "{}\t00000000\t0100000A\t{}\t0\t0\t{}\t00000000\t0\t0\t0\n"


def test_the_default_route_of_the_lowest_metric_that_is_up() -> None:
    near = "eth9\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    rows = (("slow", "0003", 200), ("eth0", "0003", 100), ("down", "0002", 1))
    assert parse_default(HEAD + near + "".join(TO_ANYWHERE.format(*row) for row in rows)) == "eth0"
    assert parse_default(HEAD + near) == ""


def test_the_default_route_of_ipv6_alone(tmp_path: Path) -> None:
    nothing = "0" * 32
    row = f"{nothing} 00 {nothing} 00 fd{'0' * 30} {{}} 00000001 00000000 00000003 {{}}\n"
    text = (
        row.format("ffffffff", "lo")
        + row.format("00000400", "eth0")
        + row.format("00000800", "eth1")
    )
    assert parse_default_6(text) == "eth0"
    (tmp_path / "route").write_text(HEAD)
    (tmp_path / "ipv6_route").write_text(text)
    assert read_default(tmp_path) == "eth0"


@pytest.mark.parametrize("garbage", [b"\xff", b"x\n\xff\n", b"a b\nc d\n", b"9" * 5000])
def test_routes_of_garbage_are_a_fact_without_value(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / "proc/net").mkdir(parents=True)
    (tmp_path / "proc/net/route").write_bytes(garbage)
    fact = observed(tmp_path)["net.default"]
    assert fact.value in (None, "")


NODE = """# Node info: DR path slid 65535; dlid 65535; 0,1
BaseVers:........................1
NodeType:........................Switch
NumPorts:........................65
SystemGuid:......................0xfc6a1c0300acbb00
Guid:............................0xfc6a1c0300acbb02
"""


def test_the_switch_behind_a_port() -> None:
    assert parse_switch_guid(NODE) == "0xfc6a1c0300acbb00"
    for other in (NODE.replace("Switch", "Channel Adapter"), NODE.replace("0xfc", "zz"), ""):
        with pytest.raises(ValueError, match="no switch"):
            parse_switch_guid(other)


def test_without_a_way_to_ask_them_they_are_not_known(tmp_path: Path) -> None:
    ((name, _, read),) = switch_readers(tmp_path)
    assert (name, read()) == ("ib.switches", {})
