"""The choice of adapters, rule by rule, and distances on PCI."""

from dataclasses import replace

import pytest

from dsr1.env.distance import Distance, distance
from dsr1.env.fabric import FabricFacts, parse_fabric, parse_pci
from dsr1.env.gids import automatic, forced_index, routable
from dsr1.env.hca import natural
from dsr1.env.hcas import HcaChoice, Selection, choose_hcas
from dsr1.env.rdma import RdmaUses, rdma_variables, shared_prefix
from dsr1.hosts.protocol.facts.adapters import Adapter, Gid, PciLink, PciPlace, Port, to_value
from dsr1.hosts.protocol.facts.fact import Fact

UP = Port(1, "ACTIVE", "LinkUp", "InfiniBand", 400.0)


def place(text: str, numa: int | None = 0) -> PciPlace:
    path = tuple(text.split())
    return PciPlace(path[-1], path, numa)


def adapter(
    name: str, where: PciPlace, port: Port = UP, driver: str = "mlx5_core", is_vf: bool = False
) -> Adapter:
    return Adapter(
        name, where, PciLink(), driver, "MT4129", "28", is_vf, "uverbs0", (f"net-{name}",), (port,)
    )


def fabric(*adapters: Adapter, gpus: tuple[PciPlace, ...] = (), busy: str = "") -> FabricFacts:
    return FabricFacts(adapters, gpus, {}, frozenset({busy} - {""}))


def chosen(seen: FabricFacts, *wanted: str) -> list[str]:
    return [hca.adapter.name for hca in choose_hcas(seen, wanted).hcas]


GPU = place("r s up d1 gpu")


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (place("r s up d2 nic"), Distance.PIX),
        (place("r s up d2 up2 d3 nic"), Distance.PXB),
        (place("r s2 nic"), Distance.PHB),
        (place("q s nic", 0), Distance.NODE),
        (place("q s nic", 1), Distance.SYS),
        (place("q s nic", -1), Distance.SYS),
        (PciPlace("nic", (), None), Distance.SYS),
    ],
)
def test_distances(other: PciPlace, expected: Distance) -> None:
    assert (distance(GPU, other), distance(other, GPU)) == (expected, expected)


def test_unknown_numa_nodes_are_not_the_same() -> None:
    assert distance(place("a x", -1), place("b y", -1)) == Distance.SYS


def test_names_count_as_people_do() -> None:
    assert sorted(["mlx5_10", "mlx5_2", "ibp220s0", "ibp24s0"], key=natural) == [
        "ibp24s0",
        "ibp220s0",
        "mlx5_2",
        "mlx5_10",
    ]


def test_what_is_passed_over_and_why() -> None:
    here = place("r s")
    seen = fabric(
        adapter("mlx5_0", here),
        adapter("mlx5_1", here, replace(UP, rate_gb=100.0)),
        adapter("mlx5_2", here, replace(UP, state="DOWN")),
        adapter("mlx5_3", here, is_vf=True),
        adapter("bnxt_0", here, driver="bnxt_en"),
        adapter("rdmap1", here, driver="efa"),
        adapter("mlx5_4", here, replace(UP, rate_gb=None)),
        adapter("mlx5_5", here),
        busy="net-mlx5_5",
    )
    choice = choose_hcas(seen)
    assert [hca.name for hca in choice.hcas] == ["mlx5_0:1"]
    reasons = {hca.adapter.name: reason for hca, reason in choice.passed_over}
    assert {name: words.split(",")[0] for name, words in reasons.items()} == {
        "mlx5_1": "slower",
        "mlx5_2": "not up",
        "mlx5_3": "a virtual function; its physical one is here",
        "bnxt_0": "not driven by mlx5_core",
        "rdmap1": "EFA",
        "mlx5_4": "its rate is not known",
        "mlx5_5": "carries the control network or the default route",
    }


def test_the_only_adapter_may_carry_the_control_network_too() -> None:
    assert chosen(fabric(adapter("mlx5_0", place("r s")), busy="net-mlx5_0")) == ["mlx5_0"]


def test_the_control_networks_adapter_stays_where_it_is_a_gpus_own() -> None:
    gpus = (place("r s up d1 g0"), place("q s up d1 g1"))
    own, other = adapter("mlx5_0", place("r s up d2 n")), adapter("mlx5_1", place("q s up d2 n"))
    far = adapter("mlx5_2", place("t s n"))
    assert chosen(fabric(own, other, far, gpus=gpus, busy="net-mlx5_0")) == ["mlx5_0", "mlx5_1"]
    assert chosen(fabric(own, other, far, gpus=gpus[1:], busy="net-mlx5_0")) == ["mlx5_1"]
    twin = adapter("mlx5_3", place("r s up d3 n"))
    assert chosen(fabric(own, twin, other, gpus=gpus, busy="net-mlx5_0")) == ["mlx5_3", "mlx5_1"]


FOUR = tuple(place(f"r{n} s up d1 g{n}") for n in range(4))
ETHERNET = replace(UP, link_layer="Ethernet")
SLOW, SLOW_ETHERNET = replace(UP, rate_gb=200.0), replace(ETHERNET, rate_gb=200.0)


def own(port: Port, first: int = 0) -> list[Adapter]:
    """An adapter for each GPU, behind its own switch."""
    return [adapter(f"own_{first + n}", place(f"r{n} s up d{n + 2} n{n}"), port) for n in range(4)]


@pytest.mark.parametrize(
    ("compute", "others"),
    [
        (SLOW, {"cpu": ("q s n", UP)}),
        (SLOW, {"cpu1": ("q s n", UP), "cpu2": ("q s n2", UP)}),
        (SLOW_ETHERNET, {"cpu1": ("q s n", UP), "cpu2": ("r0 s2 n2", UP)}),
        (SLOW, {"cpu1": ("q s n", ETHERNET), "cpu2": ("q s n2", ETHERNET)}),
        (SLOW_ETHERNET, {"switch": ("r0 s up d9 n9", UP)}),
        (replace(UP, rate_gb=100.0), {f"s{n}": (f"r{n} s up e n", UP) for n in range(2)}),
        (UP, {"slow": ("r0 s up d9 n9", replace(ETHERNET, rate_gb=25.0))}),
    ],
)
def test_what_is_near_goes_before_what_is_fast(
    compute: Port, others: dict[str, tuple[str, Port]]
) -> None:
    """Storage and management, faster, of the other link layer, on the CPU or beside a GPU."""
    more = [adapter(name, place(where, 1), port) for name, (where, port) in others.items()]
    assert chosen(fabric(*more, *own(compute), gpus=FOUR)) == [f"own_{n}" for n in range(4)]


def test_a_storage_adapter_for_every_switch_is_no_gpus_own() -> None:
    """Two GPUs and two adapters of theirs behind each of two switches, and a faster one."""
    gpus = tuple(place(f"r{n % 2} s up d{n} g{n}") for n in range(4))
    compute = [adapter(f"own_{n}", place(f"r{n % 2} s up e{n} n"), SLOW) for n in range(4)]
    storage = [adapter(f"storage_{n}", place(f"r{n} s up f n"), UP) for n in range(2)]
    assert sorted(chosen(fabric(*storage, *compute, gpus=gpus))) == [f"own_{n}" for n in range(4)]


def test_a_slow_port_beside_a_gpu_does_not_displace_what_is_faster_and_more() -> None:
    beside = adapter("beside", place("r0 s up d9 n"), replace(ETHERNET, rate_gb=25.0))
    far = [adapter(f"far_{n}", place(f"q{n} s n")) for n in range(4)]
    assert chosen(fabric(beside, *far, gpus=FOUR)) == [f"far_{n}" for n in range(4)]


def test_where_pci_says_nothing_all_bandwidth_counts_and_the_control_network_yields() -> None:
    gpus = tuple(PciPlace(f"g{n}") for n in range(4))
    compute = [adapter(f"own_{n}", PciPlace(f"n{n}"), SLOW) for n in range(4)]
    control, storage = (
        adapter("control", PciPlace("c")),
        adapter("storage", PciPlace("s"), ETHERNET),
    )
    wanted = [f"own_{n}" for n in range(4)]
    assert chosen(fabric(control, storage, *compute, gpus=gpus, busy="net-control")) == wanted
    two = [adapter("control", PciPlace("c")), adapter("own_0", PciPlace("n"), SLOW)]
    assert chosen(fabric(*two, gpus=gpus, busy="net-control")) == ["control"]


def test_reasons_tell_speed_from_link_layer() -> None:
    more = [adapter(f"cpu{n}", place("q s n"), port) for n, port in enumerate((UP, ETHERNET))]
    choice = choose_hcas(fabric(*more, *own(SLOW), gpus=FOUR))
    assert choice.reasons == (
        "cpu0:1: faster, but fewer GPUs have one of these near;"
        " cpu1:1: of another link layer than the chosen ones"
    )
    assert not Selection(fabric(*more, *own(SLOW), gpus=FOUR), choice).lagging


def test_other_hardware_where_there_is_no_connectx() -> None:
    assert chosen(fabric(adapter("bnxt_0", place("r s"), driver="bnxt_en"))) == ["bnxt_0"]


def test_link_layers_are_never_mixed_and_more_ports_win() -> None:
    ethernet = replace(UP, link_layer="Ethernet")
    one, two, three = (
        adapter(f"mlx5_{n}", place("r s"), port) for n, port in enumerate((UP, ethernet, ethernet))
    )
    assert chosen(fabric(one, two, three)) == ["mlx5_1", "mlx5_2"]
    assert chosen(fabric(one, two)) == ["mlx5_0"]


def test_two_gpus_behind_one_switch_share_its_adapter() -> None:
    gpus = (place("r s up d1 g0"), place("r s up d2 g1"))
    seen = fabric(
        adapter("mlx5_0", place("r s up d3 n")), adapter("mlx5_1", place("q s up d n")), gpus=gpus
    )
    assert chosen(seen) == ["mlx5_0"]


def test_gpus_without_a_place_take_turns() -> None:
    gpus = tuple(PciPlace(f"g{n}") for n in range(4))
    choice = choose_hcas(
        fabric(*(adapter(f"mlx5_{n}", PciPlace(f"n{n}")) for n in range(2)), gpus=gpus)
    )
    assert [near.hca.adapter.name for near in choice.near] == [
        "mlx5_0",
        "mlx5_1",
        "mlx5_0",
        "mlx5_1",
    ]


def test_two_ports_of_one_adapter() -> None:
    both = replace(adapter("mlx5_0", place("r s")), ports=(UP, replace(UP, number=2)))
    assert [hca.name for hca in choose_hcas(fabric(both)).hcas] == ["mlx5_0:1", "mlx5_0:2"]
    assert [hca.name for hca in choose_hcas(fabric(both), ("mlx5_0:2",)).hcas] == ["mlx5_0:2"]


def test_addresses_of_nvml_and_sysfs() -> None:
    assert parse_pci("00000000:1B:00.0") == "0000:1b:00.0"
    assert parse_pci("00010000:E0:06.0") == "10000:e0:06.0"
    with pytest.raises(ValueError, match="not a PCI address"):
        parse_pci("1b:00.0;id")


def test_gpus_are_in_nvmls_order() -> None:
    places = [to_value(place(f"r {pci}")) for pci in ("0000:1b:00.0", "0000:2b:00.0")]
    facts = {
        "ib.devices": Fact([], ""),
        "pci.gpus": Fact(places, ""),
        "gpu.devices": Fact(
            [{"pci": "00000000:2B:00.0"}, {"pci": "00000000:1B:00.0"}, {"pci": "00000000:9B:00.0"}],
            "",
        ),
    }
    seen = parse_fabric(facts)
    assert seen is not None
    assert [(gpu.pci, bool(gpu.path)) for gpu in seen.gpus] == [
        ("0000:2b:00.0", True),
        ("0000:1b:00.0", True),
        ("0000:9b:00.0", False),
    ]


MAPPED = "0000:0000:0000:0000:0000:ffff:"
V4, V6 = f"{MAPPED}0a00:0001", "2001:0db8:0000:0000:0000:0000:0000:0001"
LOCAL, LOCAL_4 = "fe80:0000:0000:0000:0000:0000:0000:0001", f"{MAPPED}a9fe:0101"


def gids(*told: tuple[int, str, str]) -> tuple[Gid, ...]:
    return tuple(Gid(index, gid, kind, "eth0") for index, gid, kind in told)


@pytest.mark.parametrize(
    ("table", "index", "routed"),
    [
        (
            gids(
                (0, LOCAL, "IB/RoCE v1"),
                (1, LOCAL, "RoCE v2"),
                (2, V4, "IB/RoCE v1"),
                (3, V4, "RoCE v2"),
            ),
            3,
            [3],
        ),
        (gids((0, LOCAL, "RoCE v2"), (1, LOCAL_4, "RoCE v2"), (2, V4, "RoCE v2")), 1, [2]),
        (gids((0, LOCAL, "RoCE v2"), (5, V6, "RoCE v2")), 0, [5]),
        ((), 0, []),
    ],
)
def test_entries_of_the_gid_table(table: tuple[Gid, ...], index: int, routed: list[int]) -> None:
    assert (automatic(table), [gid.index for gid in routable(table)]) == (index, routed)


def ports(*tables: tuple[Gid, ...]) -> HcaChoice:
    return choose_hcas(
        fabric(
            *(
                adapter(f"mlx5_{n}", place("r s"), replace(UP, link_layer="Ethernet", gids=table))
                for n, table in enumerate(tables)
            )
        )
    )


def test_an_index_is_forced_only_if_one_fits_all() -> None:
    good, odd = gids((3, V4, "RoCE v2")), gids((1, LOCAL_4, "RoCE v2"), (3, V4, "RoCE v2"))
    other = gids((1, LOCAL_4, "RoCE v2"), (5, V4, "RoCE v2"))
    assert forced_index(ports(good, good).hcas) is None
    assert forced_index(ports(good, odd).hcas) == 3
    assert forced_index(ports(odd, other).hcas) is None


@pytest.mark.parametrize(
    ("names", "prefix"),
    [
        (("ibp24s0", "ibp220s0"), "ibp"),
        (("rocep1",), "rocep"),
        (("mlx5_0", "ibp0"), ""),
        (("a1b1", "a1b2"), "a1b"),
    ],
)
def test_the_prefix_that_names_share(names: tuple[str, ...], prefix: str) -> None:
    assert shared_prefix(names) == prefix


def test_adapters_that_vllm_could_not_tell_apart_are_listed_not_mapped() -> None:
    gpus = (place("r s g0"), place("r s g1"))
    twins = fabric(adapter("mlx5_0", place("r s n")), adapter("mlx5_1", place("r s n")), gpus=gpus)
    found = {
        v.name: v.value
        for v in rdma_variables(
            choose_hcas(twins), RdmaUses(deepep=False, nixl=True, devices=(0, 1))
        )
    }
    assert found["UCX_NET_DEVICES"] == "mlx5_0:1,mlx5_1:1"


def test_a_gpu_that_nobody_knows_is_not_mapped() -> None:
    seen = choose_hcas(fabric(adapter("mlx5_0", place("r s n")), gpus=(place("r s g0"),)))
    found = {
        v.name: v.value
        for v in rdma_variables(seen, RdmaUses(deepep=False, nixl=True, devices=(0, 1)))
    }
    assert found["UCX_NET_DEVICES"] == "mlx5_0:1"


def test_no_adapter_gives_no_variable() -> None:
    assert (
        rdma_variables(choose_hcas(fabric()), RdmaUses(deepep=True, nixl=True, devices=(0,))) == ()
    )


PAIR = (place("r s up d0 0000:10:00.0"), place("r s up d1 0000:11:00.0"))
BOTH = [adapter(f"mlx5_{n}", place(f"r s up e{n} 0000:2{n}:00.0"), ETHERNET) for n in range(2)]


@pytest.mark.parametrize(
    ("deepep", "nixl", "selected"),
    [
        (True, True, "NVSHMEM_HCA_LIST:1,UCX_NET_DEVICES:1"),
        (True, False, "NVSHMEM_HCA_LIST:1"),
        (False, True, "UCX_NET_DEVICES:1"),
        (False, False, None),
    ],
)
def test_two_gpus_behind_a_switch_are_dealt_its_two_adapters(
    deepep: bool, nixl: bool, selected: str | None
) -> None:
    uses = RdmaUses(deepep, nixl, devices=(0, 1))
    found = {v.name: v.value for v in rdma_variables(choose_hcas(fabric(*BOTH, gpus=PAIR)), uses)}
    assert found.get("VLLM_NIC_SELECTION_VARS") == selected
    assert {"NVSHMEM_HCA_LIST", "UCX_NET_DEVICES"}.isdisjoint(found)
    if selected:
        pairs = "0000:10:00.0=0000:20:00.0,0000:11:00.0=0000:21:00.0"
        assert found["VLLM_GPU_NIC_PCIE_MAPPING"] == pairs


def test_a_process_of_one_worker_is_told_its_adapter() -> None:
    uses = RdmaUses(True, True, devices=(1,), one_worker=True)
    found = {v.name: v.value for v in rdma_variables(choose_hcas(fabric(*BOTH, gpus=PAIR)), uses)}
    assert found["NVSHMEM_HCA_LIST"] == found["UCX_NET_DEVICES"] == "mlx5_1:1"
