"""Checks of the runtime: packages, what they ask of each other, libraries, compilers, what workers
would inherit."""

import re
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from dsr1.env.checks.judging import (
    CheckFunction,
    Requirements,
    UnknownFact,
    Verdict,
    known,
    known_or,
    on_gpus,
    passed,
    skipped,
)
from dsr1.hosts.protocol.fact import Facts

KEY_PACKAGES = (
    "vllm",
    "torch",
    "ai-dynamo",
    "ai-dynamo-runtime",
    "nvidia-nccl-cu12",
    "nvidia-nccl-cu13",
    "deep_ep",
)
PYTHON = SpecifierSet(">=3.10,<3.15")
DEEPEP_V2_NCCL = (2, 30, 4)
DEEPEP_CUDA = (12, 3)
RDMA_LIBRARIES = ("libibverbs", "libmlx5", "librdmacm")
SUSPECT = ("LD_PRELOAD", "CUDA_VISIBLE_DEVICES")
LABELS = ("NCCL_VERSION",)  # by which images of CUDA say what is in them; nothing reads it
DEEPEP, DEEPEP_V2 = "deep_ep", "deepep_v2"


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def packages(facts: Facts, needs: Requirements) -> Verdict:
    installed = known(facts, "software")
    missing = [name for name in needs.packages if name not in installed]
    seen = ", ".join(f"{name} {installed[name]}" for name in needs.packages if name in installed)
    fix = (
        f"Install {', '.join(missing)} into the runtime's Python, or name another one in the"
        " recipe's runtime."
    )
    return passed(
        not missing,
        "FAIL",
        f"{', '.join(missing)}: not there" if missing else seen or "none needed",
        ", ".join(needs.packages) or "nothing",
        fix,
    )


def pins(facts: Facts, needs: Requirements) -> Verdict:
    """All of the plan's pairs, as the distributions' own metadata has them."""
    if not needs.pins:
        return skipped("nothing that asks for a version")
    installed, wishes = known(facts, "software"), known(facts, "software.wishes")
    wanted = {pair: asked(wishes[pair[0]], pair[1]) for pair in needs.pins if wishes.get(pair[0])}
    if len(wanted) < len(needs.pins):
        raise UnknownFact(
            "no metadata of"
            f" {', '.join(sorted({name for name, _ in needs.pins} - {n for n, _ in wanted}))}"
        )
    bad = [
        pair
        for pair, specifiers in wanted.items()
        if not _meets(installed.get(pair[1]), specifiers)
    ]
    seen = ", ".join(f"{name} {installed.get(name, 'is not there')}" for _, name in needs.pins)
    text = "; ".join(
        f"{of} asks for {name} {', '.join(wanted[of, name]) or 'of any version'}"
        for of, name in wanted
    )
    return passed(
        not bad, "FAIL", seen, text, "Install the version that is asked for, or another runtime."
    )


def asked(wishes: dict[str, Any], dependency: str) -> list[str]:
    """What the distribution asks of the dependency: always, and under the extra of that name; else
    under any extra."""
    mine = [
        Requirement(line)
        for line in wishes["requires"]
        if _name_of(line) == canonicalize_name(dependency)
    ]
    own = [
        extra
        for extra in wishes["extras"]
        if canonicalize_name(extra) == canonicalize_name(dependency)
    ]
    found = [one for one in mine if _applies(one, own)] or [
        one for one in mine if _applies(one, wishes["extras"])
    ]
    return sorted({str(one.specifier) for one in found if one.specifier})


def _name_of(line: str) -> str:
    """Of a requirement; most of a distribution's are for others, and reading them whole takes
    long."""
    return canonicalize_name(re.match(r"[\w.-]*", line)[0])  # type: ignore[index]


def _applies(one: Requirement, extras: list[str]) -> bool:
    return one.marker is None or any(
        one.marker.evaluate({"extra": extra}) for extra in ["", *extras]
    )


def _meets(version: str | None, specifiers: list[str]) -> bool:
    return version is not None and all(
        SpecifierSet(one).contains(version, prereleases=True) for one in specifiers
    )


def deepep(facts: Facts, needs: Requirements) -> Verdict:
    backends = [backend for backend in needs.backends if backend.startswith("deepep")]
    if not backends:
        return skipped("no DeepEP in the plan")
    there = DEEPEP in known(facts, "software.modules")
    if there and DEEPEP_V2 in backends:
        nccl = known(facts, "software.nccl")
        fix = "Install nvidia-nccl-cu13 2.30.4 or later with --no-deps: torch pins an older one."
        return passed(
            numbers(nccl) >= DEEPEP_V2_NCCL, "FAIL", f"NCCL {nccl}", "NCCL 2.30.4 or later", fix
        )
    fix = (
        "Build DeepEP into the runtime (vLLM's tools/ep_kernels), or choose all2all_backend"
        " allgather_reducescatter."
    )
    return passed(
        there,
        "FAIL",
        DEEPEP if there else f"no module {DEEPEP}",
        f"{', '.join(backends)}: its module",
        fix,
    )


def nixl(facts: Facts, needs: Requirements) -> Verdict:
    """Both builds at once: whose UCX is loaded is a matter of luck."""
    installed = known(facts, "software")
    found = [name for name in ("nixl", "nixl-cu12", "nixl-cu13") if name in installed]
    builds = [name for name in found if name != "nixl"]
    if not found and not needs.transfers_kv:
        return skipped("no KV cache is transferred")
    verdict = "FAIL" if needs.transfers_kv and not found else "WARN"
    fix = (
        "Install one of nixl[cu12] and nixl[cu13], that of the runtime's CUDA, and remove the"
        " other."
    )
    return passed(
        bool(found) and len(builds) < 2,
        verdict,
        ", ".join(found) or "not there",
        "NIXL, in one build",
        fix,
    )


def libraries(facts: Facts, needs: Requirements) -> Verdict:
    """RDMA's where DeepEP leaves the host."""
    asked_for = known(facts, "software.libraries")
    wanted = [one for one in asked_for if needs.ibgda or not one["name"].startswith(RDMA_LIBRARIES)]
    if not wanted:
        raise UnknownFact("no library was tried")
    broken = [one["problem"] for one in wanted if one["problem"]]
    seen = "; ".join(broken) or ", ".join(one["name"] for one in wanted)
    fix = (
        "libcuda and libnvidia-ml come with the driver, libibverbs, libmlx5 and librdmacm with"
        " rdma-core."
    )
    return passed(not broken, "FAIL", seen, "libraries that load", fix)


def compilers(facts: Facts, needs: Requirements) -> Verdict:
    """DeepGEMM, FlashInfer and torch.compile build their kernels at the first start."""
    tools = known(facts, "software.tools")
    missing = [name for name in ("nvcc", "g++", "ninja") if not tools[name]]
    version = known_or(facts, "software.nvcc", "")
    old = bool(version) and numbers(version) < DEEPEP_CUDA
    seen = f"no {', '.join(missing)}" if missing else f"nvcc {version or tools['nvcc']}, g++, ninja"
    fix = (
        "Install the CUDA toolkit (or set CUDA_HOME), g++ and ninja; or bring the JIT caches of an"
        " equal host."
    )
    return passed(not missing and not old, "WARN", seen, "nvcc 12.3 or later, g++, ninja", fix)


def python(facts: Facts, needs: Requirements) -> Verdict:
    told = known(facts, "software.python")
    good = PYTHON.contains(told["version"].rstrip("+"), prereleases=True)
    seen = f"{told['version']} ({told['path']})"
    return passed(
        good, "FAIL", seen, f"Python {PYTHON}", "Name a runtime of such a Python in the recipe."
    )


def package_environment(facts: Facts, needs: Requirements) -> Verdict:
    """What a login without terminal sets: workers would inherit it. Proxies are net.proxy's."""
    found = {name: value for name, value in known(facts, "environment").items() if name in SUSPECT}
    found |= {
        name: value
        for name, value in known_or(facts, "environment.stacks", {}).items()
        if name not in LABELS
    }
    seen = ", ".join(f"{name}={value}" for name, value in found.items())
    fix = "Unset it in the profile that a login without terminal reads, or set it in the recipe."
    return passed(
        not found,
        "WARN",
        seen or "clean",
        "no LD_PRELOAD, CUDA_VISIBLE_DEVICES, VLLM_*, NCCL_*, ...",
        fix,
    )


def key_versions(facts: Facts) -> dict[str, str]:
    nccl = known_or(facts, "software.nccl", "")
    return _named(facts, True) | ({"NCCL at run time": nccl} if nccl else {})


def other_versions(facts: Facts) -> dict[str, str]:
    return {**_named(facts, False), "Python": known(facts, "software.python")["version"]}


def _named(facts: Facts, key: bool) -> dict[str, str]:
    return {
        name: version
        for name, version in known(facts, "software").items()
        if (name in KEY_PACKAGES) == key
    }


JUDGES: dict[str, CheckFunction] = {
    "sw.packages": packages,
    "sw.pins": pins,
    "sw.deepep": on_gpus(deepep),
    "sw.nixl": nixl,
    "sw.cuda_libs": on_gpus(libraries),
    "sw.jit": on_gpus(compilers),
    "sw.python": python,
    "sw.env_hygiene": package_environment,
}
