"""Checks of the system, network, software and disks, each on a healthy host of which one thing was
changed."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.env.hgx import (
    DISK,
    ETH0,
    GIB,
    GPU,
    HEALTHY,
    LOW_LATENCY,
    NEEDS,
    make_facts,
    two_hosts,
)

from dsr1.env.checks.all import run_checks
from dsr1.env.checks.host.network import ports_free
from dsr1.env.checks.host.pins import specifiers_for
from dsr1.env.checks.requirements import HostRequirements, Requirements
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.facts.fact import Fact, FactValue

SOFTWARE: Any = HEALTHY["software"]
OTHERS = ("sys.", "net.", "sw.", "disk.", "cfg.")


def finding(check: str, needs: Requirements = NEEDS, /, **changes: FactValue) -> Finding:
    (found,) = run_checks({"a": make_facts(**changes)}, needs, (check,))
    return found


def test_a_healthy_pair_passes() -> None:
    found = run_checks(two_hosts(), NEEDS)
    wanted = {
        "sys.slurm": "SKIP",
        "disk.download": "SKIP",
        "net.etcd": "SKIP",
    }
    assert {
        f.check: f.verdict for f in found if f.verdict != "PASS" and f.check.startswith(OTHERS)
    } == wanted


@pytest.mark.parametrize(
    ("check", "changes", "verdict", "said"),
    [
        ("sys.memlock", {"limit_memlock": 65536}, "FAIL", "65536 bytes"),
        (
            "sys.memlock",
            {"limit_memlock": 65536, "limit_none_on_locks": True},
            "PASS",
            "CAP_IPC_LOCK overrides",
        ),
        ("sys.memlock", {"limit_memlock": 65536, "ib_devices": []}, "SKIP", "no RDMA"),
        ("sys.nofile", {"limit_nofile": 20000}, "WARN", "at most 20000"),
        ("sys.nofile", {"limit_nofile": 1024}, "FAIL", "at most 1024"),
        ("sys.nproc", {"limit_nproc": 4096}, "WARN", "ulimit -u 4096"),
        ("sys.nproc", {"cgroup_pids": 9000}, "WARN", "cgroup pids.max 9000"),
        ("sys.core", {"limit_core": -1}, "PASS", "dumps"),
        ("sys.shm", {"memory_shm_free": 8 * GIB}, "WARN", "8.0 GiB free"),
        ("sys.shm", {"memory_shm_free": GIB // 2}, "FAIL", "0.5 GiB free"),
        (
            "sys.shm",
            {"memory_shm_stale": {"files": 3, "bytes": GIB}},
            "WARN",
            "3 files of 1.0 GiB that no",
        ),
        ("sys.ram", {"memory_available": 200 * GIB}, "WARN", "200 GiB"),
        ("sys.ram", {"cgroup_memory": 32 * GIB}, "FAIL", "32 GiB"),
        ("sys.swap", {"memory_swap": GIB}, "PASS", "1.0 GiB of swap"),
        ("sys.huge_pages", {"memory_huge_pages": 1024 * GIB}, "WARN", "1024 GiB set aside"),
        ("sys.numa_balancing", {"kernel_numa_balancing": 1}, "WARN", "1"),
        ("sys.cpu", {"cgroup_cpus": 16.0}, "WARN", "16 usable of 192"),
        ("sys.cpu", {"cpu_usable": 32}, "WARN", "32 usable of 192"),
        ("sys.governor", {"cpu_governor": "powersave"}, "WARN", "powersave"),
        ("sys.governor", {"cpu_governor": None}, "SKIP", "sets no frequencies"),
        (
            "sys.iommu",
            {"kernel_iommu": ["DMA-FQ"], "kernel_command_line": "quiet"},
            "WARN",
            "DMA-FQ (no option)",
        ),
        (
            "sys.iommu",
            {"kernel_iommu": ["DMA-FQ"], "cpu_virtual": True},
            "SKIP",
            "a virtual machine",
        ),
        (
            "sys.acs",
            {"pci_acs": ["0000:15:01.0"]},
            "WARN",
            "ACS is on at PCI bridges 0000:15:01.0",
        ),
        ("sys.acs", {"pci_acs": None}, "UNKNOWN", ""),
        ("sys.clock", {"clock_offset": 0.2}, "WARN", "0.20 s off"),
        ("sys.clock_source", {"clock_synchronized": False}, "WARN", "an unsynchronized clock"),
        ("sys.glibc", {"os_libc": "glibc 2.17"}, "FAIL", "glibc 2.17"),
        ("sys.glibc", {"os_libc": "musl"}, "UNKNOWN", "musl"),
        (
            "sys.modules",
            {"kernel_modules": ["nvidia"], "gpu_cuda": None},
            "FAIL",
            "nvidia_uvm not loaded",
        ),
        (
            "sys.modules",
            {"kernel_modules": ["nvidia"]},
            "PASS",
            "nvidia_uvm not loaded until CUDA was started",
        ),
        ("sys.uptime", {"kernel_uptime_s": 60.0}, "PASS", "may still be starting"),
        (
            "sys.slurm",
            {"environment_slurm": {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "1"}},
            "FAIL",
            "has 1 nodes",
        ),
        (
            "net.route",
            {"net_control": {"address": "127.0.0.1", "interface": "lo"}},
            "FAIL",
            "on lo",
        ),
        (
            "net.route",
            {"net_control": {"address": "172.17.0.1", "interface": "docker0"}},
            "FAIL",
            "docker0",
        ),
        (
            "net.ports_free",
            {"net_listening": {"8000": "pid 7 (nginx)"}},
            "FAIL",
            "8000 is held by pid 7 (nginx)",
        ),
        ("net.ephemeral", {"net_ephemeral": [15000, 60999]}, "WARN", "20000, 20001 in 15000-60999"),
        (
            "net.ephemeral",
            {"net_ephemeral": [15000, 60999], "net_reserved": [[20000, 20001]]},
            "PASS",
            "none in 15000-60999",
        ),
        ("net.ports_privileged", {"net_unprivileged": 10000}, "FAIL", "8000"),
        ("net.proxy", {"environment": {"HTTPS_PROXY": "http://p:1"}}, "WARN", "no_proxy is empty"),
        (
            "net.proxy",
            {"environment": {"http_proxy": "http://p:1", "no_proxy": "x, 10.0.0.1"}},
            "PASS",
            "10.0.0.1",
        ),
        ("sw.packages", {"software": {}}, "FAIL", "ai-dynamo, vllm: not installed"),
        ("sw.pins", {"software": SOFTWARE | {"vllm": "0.33.0"}}, "FAIL", "vllm 0.33.0"),
        ("sw.pins", {"software": SOFTWARE | {"vllm": "0.31.0+cpu"}}, "PASS", "vllm 0.31.0+cpu"),
        (
            "sw.pins",
            {"software_wishes": {"ai-dynamo": None}},
            "UNKNOWN",
            "no metadata of ai-dynamo",
        ),
        ("sw.dynamo", {"software": SOFTWARE | {"ai-dynamo": "1.6.0"}}, "PASS", "Dynamo 1.6.0"),
        ("sw.dynamo", {"software": SOFTWARE | {"ai-dynamo": "1.5.1"}}, "WARN", "did not list"),
        (
            "sw.dynamo",
            {"software": SOFTWARE | {"ai-dynamo": "1.4.2"}},
            "WARN",
            "planes are in clear",
        ),
        ("sw.dynamo", {"software": SOFTWARE | {"ai-dynamo": "1.2.1"}}, "WARN", "Dynamo 1.2.1"),
        ("sw.dynamo", {"software": SOFTWARE | {"ai-dynamo": "1.7.0"}}, "WARN", "Dynamo 1.7.0"),
        ("sw.dynamo", {"software": {}}, "WARN", "Dynamo not installed"),
        ("sw.deepep", {"software_modules": []}, "FAIL", "no module deep_ep"),
        (
            "sw.nixl",
            {"software": SOFTWARE | {"nixl-cu12": "1.5.1"}},
            "WARN",
            "nixl, nixl-cu12, nixl-cu13",
        ),
        (
            "sw.cuda_libs",
            {
                "software_libraries": [
                    {"name": "libibverbs.so.1", "problem": "libibverbs.so.1: cannot open"}
                ]
            },
            "FAIL",
            "libibverbs.so.1: cannot open",
        ),
        (
            "sw.jit",
            {"software_tools": {"nvcc": None, "g++": "/g", "ninja": None}},
            "WARN",
            "no nvcc, ninja",
        ),
        ("sw.jit", {"software_nvcc": "11.8"}, "WARN", "nvcc 11.8"),
        (
            "sw.python",
            {"software_python": {"version": "3.9.1", "path": "/p"}},
            "FAIL",
            "3.9.1 (/p)",
        ),
        ("sw.env_hygiene", {"environment": {"LD_PRELOAD": "/x.so"}}, "WARN", "LD_PRELOAD=/x.so"),
        (
            "sw.env_hygiene",
            {"environment_stacks": {"NCCL_DEBUG": "INFO"}},
            "WARN",
            "NCCL_DEBUG=INFO",
        ),
        ("sw.env_hygiene", {"environment_stacks": {"NCCL_VERSION": "2.28.3-1"}}, "PASS", "none"),
        (
            "disk.cache",
            {"disks": {"/var/tmp": {**DISK, "free": 20 * GIB}, "/tmp": DISK}},
            "WARN",
            "20 GiB free on xfs",
        ),
        (
            "disk.cache",
            {"disks": {"/var/tmp": {**DISK, "free": 3 * GIB}, "/tmp": DISK}},
            "WARN",
            "3 GiB free on xfs",
        ),
        (
            "disk.cache",
            {"disks": {"/var/tmp": {**DISK, "free": GIB}, "/tmp": DISK}},
            "FAIL",
            "1 GiB free on xfs",
        ),
        (
            "disk.cache",
            {"disks": {"/var/tmp": {**DISK, "exec": False}, "/tmp": DISK}},
            "FAIL",
            "noexec",
        ),
        (
            "disk.cache",
            {"disks": {"/var/tmp": {**DISK, "writable": False}, "/tmp": DISK}},
            "FAIL",
            "can't be written",
        ),
        (
            "disk.cache",
            {"disks": {"/var/tmp": {**DISK, "inodes_free": 5}, "/tmp": DISK}},
            "WARN",
            "5 inodes left",
        ),
        (
            "disk.cache",
            {"disks": {"/var/tmp": {**DISK, "type": "nfs4"}, "/tmp": DISK}},
            "WARN",
            "is on nfs4",
        ),
        (
            "disk.cache",
            {"disks": {"/var/tmp": {"problem": "did not answer in 3 s"}, "/tmp": DISK}},
            "UNKNOWN",
            "answer",
        ),
    ],
)
def test_one_thing_amiss(
    check: str, changes: dict[str, FactValue], verdict: str, said: str
) -> None:
    found = finding(check, NEEDS, **changes)
    assert found.verdict == verdict, found
    assert said in found.seen
    assert bool(found.fix) == (verdict in ("FAIL", "WARN", "UNKNOWN"))


def test_ports_that_meet_are_named() -> None:
    needs = replace(NEEDS, by_host={"a": HostRequirements(8, (20000, 20001, 20001))})
    found = finding("net.port_overlap", needs)
    assert (found.verdict, found.seen) == ("FAIL", "20001 (2 times)")


@pytest.mark.parametrize(
    ("told", "verdict", "said"),
    [
        (("", ""), "PASS", "http://e1:2379, http://e2:2379"),
        (("refused", ""), "WARN", "http://e1:2379: refused"),
        (("refused", "says 503"), "FAIL", "http://e2:2379: says 503"),
    ],
)
def test_an_etcd_of_the_users_own(told: tuple[str, str], verdict: str, said: str) -> None:
    urls = ("http://e1:2379", "http://e2:2379")
    found = finding(
        "net.etcd", replace(NEEDS, etcd=urls), net_etcd=dict(zip(urls, told, strict=True))
    )
    assert (found.verdict, said in found.seen) == (verdict, True), found
    assert finding("net.etcd").verdict == "SKIP"
    assert finding("net.etcd", replace(NEEDS, etcd=urls)).verdict == "UNKNOWN"


def test_deepep_v2_asks_for_its_own_nccl() -> None:
    needs = replace(NEEDS, engines=(replace(LOW_LATENCY, backend="deepep_v2"),))
    assert finding("sw.deepep", needs).verdict == "PASS"
    assert "NCCL 2.28.9" in finding("sw.deepep", needs, software_nccl="2.28.9").seen


def test_prefill_apart_from_decode_needs_nixl() -> None:
    needs = replace(NEEDS, engines=(replace(LOW_LATENCY, role="decode"),))
    assert finding("sw.nixl", needs, software={}).verdict == "FAIL"
    assert finding("sw.nixl", software={}).verdict == "SKIP"


@pytest.mark.parametrize(
    ("check", "changes", "verdict", "said"),
    [
        (
            "gpu.same_driver",
            {"nvidia_driver": {"version": "570.1", "open": True}},
            "FAIL",
            "driver 570.1, and other",
        ),
        (
            "sw.versions",
            {"software": SOFTWARE | {"torch": "2.12.0"}},
            "FAIL",
            "torch 2.12.0, and other",
        ),
        (
            "sw.versions_other",
            {"software": SOFTWARE | {"numpy": "2.0"}},
            "WARN",
            "numpy 2.0, and other",
        ),
        ("sys.kernel", {"kernel_release": "5.15"}, "WARN", "kernel 5.15"),
        ("net.mtu", {"net_interfaces": {"eth0": {**ETH0, "mtu": 1500}}}, "WARN", "MTU 1500"),
        (
            "net.speed",
            {"net_interfaces": {"eth0": {**ETH0, "speed_mb": 100}}},
            "WARN",
            "speed 100 Mb/s",
        ),
        (
            "net.speed",
            {"net_interfaces": {"eth0": {**ETH0, "speed_mb": -1}}},
            "WARN",
            "speed unknown, and other",
        ),
        (
            "net.unique",
            {"net_control": {"address": "10.0.0.1", "interface": "eth0"}},
            "FAIL",
            "10.0.0.1",
        ),
        (
            "net.resolve",
            {"net_resolved": {"a": ["10.0.0.2"], "b": ["10.0.0.2"]}},
            "FAIL",
            "a is 10.0.0.2, elsewhere 10.0.0.1",
        ),
        (
            "net.resolve",
            {"net_resolved": {"a": ["10.9.9.9"], "b": ["10.0.0.2"]}},
            "WARN",
            "a is 10.9.9.9, elsewhere",
        ),
        (
            "net.resolve",
            {"net_resolved": {"a": ["10.0.0.1"], "b": ["192.168.0.2"]}},
            "PASS",
            "all names mean the same",
        ),
        (
            "net.resolve",
            {"net_resolved": {"a": ["10.0.0.1"], "b": ["127.0.1.1"]}},
            "WARN",
            "its own name is 127.0.1.1",
        ),
        (
            "net.resolve",
            {"net_resolved": {"a": "Name or service not known", "b": ["10.0.0.2"]}},
            "PASS",
            "",
        ),
        ("net.resolve", {"net_resolved": None}, "UNKNOWN", "names were not resolved"),
    ],
)
def test_hosts_that_differ(
    check: str, changes: dict[str, FactValue], verdict: str, said: str
) -> None:
    found = {f.host: f for f in run_checks(two_hosts(**changes), NEEDS, (check,))}
    assert found["b"].verdict == verdict, found
    assert said in found["b"].seen


def test_the_one_that_differs_from_most_is_named() -> None:
    site = two_hosts() | {"c": make_facts(software=SOFTWARE | {"torch": "2.12.0"})}
    found = {f.host: f for f in run_checks(site, NEEDS, ("sw.versions",))}
    assert {host: f.verdict for host, f in found.items()} == {"a": "PASS", "b": "PASS", "c": "FAIL"}
    assert found["c"].seen == "torch 2.12.0, 2.13.0 on most"


def test_gpus_are_compared_among_the_hosts_of_an_engine() -> None:
    """Prefill may have other GPUs than decode."""
    h200: list[FactValue] = [GPU | {"name": "NVIDIA H200", "memory": 140 * GIB}] * 8
    site = {"a": make_facts(), "b": make_facts(gpu_devices=h200), "c": make_facts(gpu_devices=h200)}
    for parts, odd in (
        (("p", "p", "p"), "a"),
        (("p", "d", "d"), ""),
        (("p", "pd", "d"), "a"),
        (("", "", ""), "a"),
    ):
        own = {
            host: HostRequirements(8, engines=tuple(mine))
            for host, mine in zip("abc", parts, strict=True)
        }
        needs = replace(NEEDS, hosts=3, by_host=own)
        found = run_checks(site, needs, ("gpu.same",))
        assert "".join(f.host for f in found if f.verdict == "FAIL") == odd


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"redundant_experts": 30},
            "286 experts (30 redundant) can't be divided evenly among 16 ranks",
        ),
        ({"tokens": 512}, "NVSHMEM_QP_DEPTH 1024 is less than 2 * (512 tokens + 1)"),
        ({"queue_depth": 256}, "NVSHMEM_QP_DEPTH 256"),
    ],
)
def test_numbers_that_do_not_agree(changes: dict[str, Any], said: str) -> None:
    found = finding("cfg.plan", replace(NEEDS, engines=(replace(LOW_LATENCY, **changes),)))
    assert (found.verdict, said in found.seen) == ("FAIL", True), found


def test_slices_of_experts_need_not_be_dealt_evenly() -> None:
    shares = (replace(LOW_LATENCY, expert_ranks=24, expert_parallel=False),)
    assert finding("cfg.plan", replace(NEEDS, engines=shares)).verdict == "PASS"


def test_experts_that_the_kernels_do_not_know() -> None:
    config: Any = HEALTHY["model.config"]
    assert (
        "hidden_size 6000" in finding("cfg.plan", model_config=config | {"hidden_size": 6000}).seen
    )
    assert (
        "12 experts a token"
        in finding("cfg.plan", model_config=config | {"num_experts_per_tok": 12}).seen
    )


def test_what_a_distribution_asks() -> None:
    lines: list[FactValue] = [
        'vLLM[x]==0.31; extra == "vllm"',
        'vllm==0.30; extra == "other"',
        "numpy",
    ]
    wishes = {"requires": lines, "extras": ["vllm", "other"]}
    assert specifiers_for(wishes, "v_l-lm".replace("_", "").replace("-", "")) == ["==0.31"]
    assert specifiers_for(wishes, "numpy") == []
    assert specifiers_for({"requires": ['x>1; extra == "other"'], "extras": ["other"]}, "X") == [
        ">1"
    ]


def test_a_plan_without_gpus_needs_little() -> None:
    found = {
        f.check: f.verdict
        for f in run_checks({"a": {n: Fact(None, "s", "p") for n in HEALTHY}}, Requirements(0, 1))
    }
    assert {
        found[check]
        for check in ("sys.ram", "sys.cpu", "sys.modules", "sw.jit", "sw.cuda_libs", "cfg.plan")
    } == {"SKIP"}


@pytest.mark.parametrize(
    ("taken", "said"),
    [
        ({20003}, "--set ports.base=21000, where all are free here"),
        ({20003, 21001, 22010}, "--set ports.base=23000, where all are free here"),
        ({8000}, "or other ports"),
    ],
)
def test_a_free_base_is_offered(taken: set[int], said: str) -> None:
    facts = {"net.listening": Fact({str(port): "uid 0" for port in taken}, "t")}
    requirements = Requirements(8, 1, ports=(8000, 20001, 20003, 20010), ports_base=20000)
    verdict = ports_free(facts, requirements)
    assert said in verdict.fix


def test_no_base_is_offered_where_none_is_free() -> None:
    facts = {"net.listening": Fact({str(port): "uid 0" for port in range(20000, 32000)}, "t")}
    assert (
        "ports.base"
        not in ports_free(facts, Requirements(8, 1, ports=(20001,), ports_base=20000)).fix
    )
