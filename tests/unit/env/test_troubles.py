"""Known bad versions: each row of the table is found where it is, and only where it matters."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.env.hgx import HEALTHY, LOW_LATENCY, NEEDS, make_facts

from dsr1.env.checks.all import run_checks
from dsr1.env.checks.requirements import EngineShape, Requirements
from dsr1.env.troubles import TROUBLES, halves_differ
from dsr1.hosts.agent.facts.communication import version_in
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.facts.fact import FactValue

PAGE = Path(__file__).parents[3] / "docs/versions.md"
SOFTWARE: Any = HEALTHY["software"]


def judged(check: str, needs: Requirements = NEEDS, **changes: FactValue) -> Finding:
    facts = make_facts(**changes)
    (found,) = run_checks({"a": facts}, needs, [check])
    return found


def test_a_healthy_stack_is_told() -> None:
    found = judged("sw.troubles")
    assert found.verdict == "PASS"
    for part in ("nvshmem 3.4.5", "nccl 2.30.4", "ucx 1.23.0", "nixl 1.5.1"):
        assert part in found.seen


@pytest.mark.parametrize(
    ("packages", "nccl", "verdict", "said"),
    [
        ({"nvidia-nvshmem-cu13": "3.5.19"}, "2.30.4", "WARN", "timeout (dispatch CPU)"),
        (
            {"nvidia-nvshmem-cu13": "3.6.5"},
            "2.30.4",
            "WARN",
            "nvshmem 3.6.5, deep_ep of no package",
        ),
        ({"flashinfer-python": "0.6.14", "flashinfer-cubin": "0.6.13"}, "2.30.4", "FAIL", "cubins"),
        (
            {"flashinfer-python": "0.7.0.post1", "flashinfer-jit-cache": "0.7.0+cu130"},
            "2.30.4",
            "FAIL",
            "compiled modules",
        ),
        *(
            (
                {"flashinfer-python": version, "flashinfer-cubin": version, "vllm": "0.23.0"},
                "2.30.4",
                "FAIL",
                "cuda-tile absent",
            )
            for version in ("0.6.10", "0.6.12", "0.6.13.post1")
        ),
        ({"flashinfer-python": "0.6.16.post3"}, "2.30.4", "WARN", "array.array"),
        ({}, "2.29.2", "WARN", "nccl 2.29.2"),
    ],
)
def test_known_bad_pairs(packages: dict[str, str], nccl: str, verdict: str, said: str) -> None:
    found = judged("sw.troubles", software={**SOFTWARE, **packages}, software_nccl=nccl)
    assert (found.verdict, said in found.seen, "https://" in found.fix) == (verdict, True, True)


@pytest.mark.parametrize(
    "packages",
    [
        {"flashinfer-python": "0.6.14", "flashinfer-cubin": "0.6.14"},
        {"flashinfer-python": "0.7.0.post1", "flashinfer-jit-cache": "0.7.0.post1+cu130"},
        {"flashinfer-python": "0.6.12", "flashinfer-cubin": "0.6.12", "cuda-tile": "1.4.0"},
        {"flashinfer-python": "0.6.9", "flashinfer-cubin": "0.6.9"},
        {"flashinfer-cubin": "0.6.14"},
        {"flashinfer-python": "of tomorrow", "flashinfer-cubin": "of tomorrow"},
        {"nixl": "0.1"},
    ],
)
def test_good_pairs(packages: dict[str, str]) -> None:
    assert judged("sw.troubles", software={**SOFTWARE, **packages}).verdict == "PASS"


def test_only_where_it_matters() -> None:
    new = {**SOFTWARE, "nvidia-nvshmem-cu13": "3.6.5"}
    for shape in (replace(LOW_LATENCY, hosts=1), replace(LOW_LATENCY, backend="deepep_v2")):
        needs = replace(NEEDS, engines=(shape,))
        assert judged("sw.troubles", needs, software=new).verdict == "PASS"
    apart = replace(NEEDS, engines=(replace(LOW_LATENCY, role="decode"),))
    assert judged("sw.troubles", apart, software={**SOFTWARE, "nixl": "0.5.0"}).verdict == "FAIL"


@pytest.mark.parametrize(
    ("packages", "ucx", "verdict", "said"),
    [
        ({"nixl": "0.10.1"}, "1.20.0", "WARN", "may hang"),
        ({"nixl": "", "nixl-cu13": "0.10.1"}, "1.20.0", "WARN", "nixl 0.10.1"),
        ({"nixl": "1.3.0"}, "1.23.0", "WARN", "nixl 1.3.0"),
        ({}, "1.18.1", "WARN", "ucx 1.18.1"),
        ({"lmcache": "0.3.7", "vllm": "0.15.0"}, "1.23.0", "FAIL", "connector API"),
        ({"lmcache": "0.3.8", "vllm": "0.11.0"}, "1.23.0", "FAIL", "torch_utils"),
        ({"lmcache": "0.3.8", "vllm": "0.12.0"}, "1.23.0", "PASS", "lmcache 0.3.8"),
        ({"lmcache": "0.4.1"}, "1.19.0", "PASS", "ucx 1.19.0"),
    ],
)
def test_what_hands_caches_over(
    packages: dict[str, str], ucx: str, verdict: str, said: str
) -> None:
    """Without that none of it matters."""
    software = {name: at for name, at in {**SOFTWARE, **packages}.items() if at}
    apart = replace(NEEDS, engines=(replace(LOW_LATENCY, role="decode"),))
    found = judged("sw.troubles", apart, software=software, software_ucx=ucx)
    assert (found.verdict, said in found.seen) == (verdict, True)
    assert judged("sw.troubles", software=software, software_ucx=ucx).verdict == "PASS"


@pytest.mark.parametrize(
    ("built", "installed", "verdict"),
    [
        ("3.4.5", "3.4.5", ""),
        ("3.4.5", "3.4.5+cu13", ""),
        ("3.3.9", "3.4.5", "WARN"),
        ("3.4.5", "3.6.5", "FAIL"),
        ("3.6.5", "3.4.5", "FAIL"),
        ("odd", "3.4.5", "WARN"),
        ("", "3.4.5", ""),
    ],
)
def test_halves_of_nvshmem(built: str, installed: str, verdict: str) -> None:
    assert halves_differ(built, installed) == verdict


def test_what_deepep_was_built_with() -> None:
    assert judged("sw.nvshmem").verdict == "PASS"
    found = judged("sw.nvshmem", software_deepep_nvshmem="3.3.9")
    assert (found.verdict, "built with 3.3.9, 3.4.5 is installed" in found.seen) == ("WARN", True)
    assert judged("sw.nvshmem", software_deepep_nvshmem=None).verdict == "UNKNOWN"
    assert judged("sw.nvshmem", software={"vllm": "0.31.0"}).verdict == "UNKNOWN"
    alone = replace(NEEDS, engines=(EngineShape("main", 8),))
    assert judged("sw.nvshmem", alone).verdict == "SKIP"


def test_the_version_within_a_library(tmp_path: Path) -> None:
    file = tmp_path / "deep_ep_cpp.so"
    file.write_bytes(b"\x7fELF" + bytes(5000) + b"NVSHMEM v3.4.5\0" + bytes(100))
    assert version_in(file) == "3.4.5"
    file.write_bytes(b"\x7fELF NVSHMEM_QP_DEPTH")
    assert version_in(file) == ""
    file.write_bytes(b"")
    assert version_in(file) == ""


def test_the_page_has_every_row() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|.*\((https://[^)]+)\) \|$", PAGE.read_text(), re.MULTILINE)
    assert rows == [(trouble.id, trouble.link) for trouble in TROUBLES]
