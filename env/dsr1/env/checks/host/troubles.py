"""Whether the communication stack has versions that are known not to go together, and what it is
made of."""

from collections.abc import Iterator

from dsr1.env.checks.judging import (
    CheckFunction,
    UnknownFact,
    Verdict,
    for_gpus,
    known,
    known_or,
    pass_if,
    skipped,
)
from dsr1.env.checks.requirements import EngineShape, Requirements
from dsr1.env.findings import ORDER
from dsr1.env.gids import is_ethernet
from dsr1.env.hcas import Selection
from dsr1.env.ibgda import NVSHMEM_PACKAGES
from dsr1.env.troubles import TROUBLES, Trouble, halves_differ, matches_all
from dsr1.hosts.protocol.facts.fact import Facts

SHOWN = (
    "deep_ep",
    "deep_gemm",
    "nixl",
    "flashinfer-python",
    "flashinfer-cubin",
    "flashinfer-jit-cache",
    "cuda-tile",
    "lmcache",
)
BUILDS = ("nixl-cu12", "nixl-cu13")
"""Of NIXL, where its own package, which takes one of them, isn't there."""


def known_troubles(facts: Facts, requirements: Requirements) -> Verdict:
    versions = stack_versions(facts)
    found = [
        trouble
        for trouble in TROUBLES
        if matches_all(trouble, versions) and concerns(trouble, requirements)
    ]
    wanted = "versions of which no trouble is known (docs/versions.md)"
    if not found:
        parts = (f"{name} {version}" for name, version in versions.items() if name != "vllm")
        return Verdict("PASS", ", ".join(parts) or "none of the packages", wanted)
    worst = min(found, key=lambda trouble: ORDER.index(trouble.verdict))
    seen = "; ".join(f"{_pair(trouble, versions)}: {trouble.what}" for trouble in found)
    return Verdict(worst.verdict, seen, wanted, f"{worst.fix} See {worst.link}")


def _pair(trouble: Trouble, versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {versions.get(name) or 'absent'}" for name in trouble.versions)


def stack_versions(facts: Facts) -> dict[str, str]:
    """By the names of the table: packages, and what is loaded at run time."""
    installed: dict[str, str] = known(facts, "software")
    found = {name: installed[name] for name in ("vllm", *SHOWN) if name in installed}
    if builds := [installed[name] for name in BUILDS if name in installed]:
        found.setdefault("nixl", builds[0])
    if nvshmem := next(_nvshmem(facts), ""):
        found["nvshmem"] = nvshmem
    for name, fact in (("nccl", "software.nccl"), ("ucx", "software.ucx")):
        if version := known_or(facts, fact, ""):
            found[name] = version
    if "deep_ep" not in found and "deep_ep" in known_or(facts, "software.modules", []):
        found["deep_ep"] = "of no package"
    return found


def concerns(trouble: Trouble, requirements: Requirements) -> bool:
    if trouble.kv_transfer and not requirements.transfers_kv:
        return False
    if trouble.several_ranks and not any(map(_has_several_ranks, requirements.engines)):
        return False
    if trouble.roce and not _on_roce(requirements):
        return False
    if not trouble.backends:
        return True
    return any(
        engine.backend in trouble.backends and (engine.hosts > 1 or not trouble.between_hosts)
        for engine in requirements.engines
    )


def _has_several_ranks(engine: EngineShape) -> bool:
    return engine.expert_ranks > engine.tensor_ranks


def _on_roce(requirements: Requirements) -> bool:
    chosen = requirements.selection
    return isinstance(chosen, Selection) and any(map(is_ethernet, chosen.choice.hcas))


def both_halves(facts: Facts, requirements: Requirements) -> Verdict:
    """DeepEP has NVSHMEM's device half within; the host's half is loaded beside it."""
    if not requirements.ibgda:
        return skipped("the plan has no DeepEP through NVSHMEM between hosts")
    built = known(facts, "software.deepep_nvshmem")
    installed = next(_nvshmem(facts), "")
    if not installed:
        raise UnknownFact("no package of NVSHMEM's is installed: the system's version isn't known")
    verdict = halves_differ(built, installed)
    fix = (
        f"Build DeepEP again with NVSHMEM {installed}, or install {built}. See"
        " https://github.com/NVIDIA-NeMo/Automodel/pull/2614"
    )
    seen = f"DeepEP was built with {built}, {installed} is installed"
    return pass_if(not verdict, verdict, seen, "one version of NVSHMEM", fix)


def _nvshmem(facts: Facts) -> Iterator[str]:
    installed: dict[str, str] = known(facts, "software")
    yield from (installed[name] for name in NVSHMEM_PACKAGES if name in installed)


CHECKS: dict[str, CheckFunction] = {
    "sw.troubles": for_gpus(known_troubles),
    "sw.nvshmem": for_gpus(both_halves),
}
