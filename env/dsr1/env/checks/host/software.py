"""Checks of the runtime: packages, libraries, compilers, and what workers would inherit."""

from packaging.specifiers import SpecifierSet

from dsr1.env.checks.host.pins import pins
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
from dsr1.env.checks.requirements import Requirements
from dsr1.env.versions import version_numbers
from dsr1.hosts.protocol.facts.fact import Facts

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
TOOLS = ("nvcc", "g++", "ninja")
SUSPECT = ("LD_PRELOAD", "CUDA_VISIBLE_DEVICES")
LABELS = ("NCCL_VERSION",)  # by which images of CUDA say what is in them; nothing reads it
DYNAMO, DYNAMO_KNOWN = "ai-dynamo", SpecifierSet(">=1.3,<1.7")
DYNAMO_TLS, DYNAMO_ACROSS = SpecifierSet(">=1.5"), SpecifierSet(">=1.6")
DEEPEP, DEEPEP_V2 = "deep_ep", "deepep_v2"


def packages(facts: Facts, requirements: Requirements) -> Verdict:
    installed, wanted = known(facts, "software"), requirements.packages
    missing = ", ".join(name for name in wanted if name not in installed)
    found = ", ".join(f"{name} {installed[name]}" for name in wanted if name in installed)
    fix = (
        f"Install {missing} into the runtime's Python, or name another one in the recipe's runtime."
    )
    return pass_if(
        not missing,
        "FAIL",
        f"{missing}: not installed" if missing else found or "none needed",
        ", ".join(wanted) or "nothing",
        fix,
    )


def dynamo(facts: Facts, requirements: Requirements) -> Verdict:
    """By what its versions lack: see the launcher's dynamo_versions."""
    if DYNAMO not in requirements.packages:
        return skipped("the plan has no Dynamo")
    version = known(facts, "software").get(DYNAMO, "")
    if not DYNAMO_KNOWN.contains(version or "0", prereleases=True):
        seen, wanted = f"Dynamo {version or 'not installed'}", "Dynamo 1.3 to 1.6"
        return pass_if(False, "WARN", seen, wanted, "Install ai-dynamo 1.6.1 with its vLLM.")
    if requirements.hosts == 1 or DYNAMO_ACROSS.contains(version, prereleases=True):
        return Verdict("PASS", f"Dynamo {version}", "Dynamo 1.3 to 1.6")
    in_clear = not DYNAMO_TLS.contains(version, prereleases=True)
    lacks = "the frontend of two hosts did not list the model"
    seen = f"Dynamo {version}: {lacks}" + (", and its planes are in clear" if in_clear else "")
    fix = "Install ai-dynamo 1.6.1 with its vLLM."
    return pass_if(False, "WARN", seen, "Dynamo 1.6 on several hosts", fix)


def deepep(facts: Facts, requirements: Requirements) -> Verdict:
    backends = [backend for backend in requirements.backends if backend.startswith("deepep")]
    if not backends:
        return skipped("the plan has no DeepEP")
    found = DEEPEP in known(facts, "software.modules")
    if found and DEEPEP_V2 in backends:
        return _nccl_for_deepep(facts)
    seen = f"module {DEEPEP}" if found else f"no module {DEEPEP}"
    fix = (
        "Build DeepEP into the runtime (vLLM's tools/ep_kernels), or choose all2all_backend"
        " allgather_reducescatter."
    )
    return pass_if(found, "FAIL", seen, f"module {DEEPEP}, for {', '.join(backends)}", fix)


def _nccl_for_deepep(facts: Facts) -> Verdict:
    nccl = known(facts, "software.nccl")
    good = version_numbers(nccl) >= DEEPEP_V2_NCCL
    fix = "Install nvidia-nccl-cu13 2.30.4 or later with --no-deps: torch pins an older one."
    return pass_if(good, "FAIL", f"NCCL {nccl}", "NCCL 2.30.4 or later, for deepep_v2", fix)


def nixl(facts: Facts, requirements: Requirements) -> Verdict:
    """Both builds at once: whose UCX is loaded is a matter of luck."""
    installed = known(facts, "software")
    builds = [name for name in ("nixl-cu12", "nixl-cu13") if name in installed]
    found = ["nixl", *builds] if "nixl" in installed else builds
    if not found and not requirements.transfers_kv:
        return skipped("the plan transfers no KV cache")
    fix = (
        "Install one of nixl[cu12] and nixl[cu13], the one for the runtime's CUDA, and remove the"
        " other."
    )
    return pass_if(
        bool(found) and len(builds) < 2,
        "WARN" if found else "FAIL",
        ", ".join(found) or "not installed",
        "NIXL, in one build",
        fix,
    )


def libraries(facts: Facts, requirements: Requirements) -> Verdict:
    """RDMA's where DeepEP leaves the host."""
    tried = known(facts, "software.libraries")
    wanted = [
        library
        for library in tried
        if requirements.ibgda or not library["name"].startswith(RDMA_LIBRARIES)
    ]
    if not wanted:
        raise UnknownFact("no library was tried")
    broken = [library["problem"] for library in wanted if library["problem"]]
    seen = "; ".join(broken) or ", ".join(library["name"] for library in wanted)
    fix = (
        "libcuda and libnvidia-ml come with the driver, libibverbs, libmlx5 and librdmacm with"
        " rdma-core."
    )
    return pass_if(not broken, "FAIL", seen, "libraries that can be loaded", fix)


def compilers(facts: Facts, requirements: Requirements) -> Verdict:
    """DeepGEMM, FlashInfer and torch.compile build their kernels at the first start."""
    tools, version = known(facts, "software.tools"), known_or(facts, "software.nvcc", "")
    missing = [name for name in TOOLS if not tools[name]]
    is_old = bool(version) and version_numbers(version) < DEEPEP_CUDA
    seen = f"nvcc {version or tools['nvcc']}, g++, ninja"
    if missing:
        seen = f"no {', '.join(missing)}"
    fix = (
        "Install the CUDA toolkit (or set CUDA_HOME), g++ and ninja; or copy the JIT caches of an"
        " equal host (dsr1 cache)."
    )
    good = not missing and not is_old
    return pass_if(good, "WARN", seen, "nvcc 12.3 or later, g++, ninja", fix)


def python(facts: Facts, requirements: Requirements) -> Verdict:
    found = known(facts, "software.python")
    good = PYTHON.contains(found["version"].rstrip("+"), prereleases=True)
    seen = f"{found['version']} ({found['path']})"
    fix = "Name a runtime with such a Python in the recipe."
    return pass_if(good, "FAIL", seen, f"Python {PYTHON}", fix)


def inherited_variables(facts: Facts, requirements: Requirements) -> Verdict:
    """What a login without a terminal sets: workers would inherit it. Proxies are net.proxy's."""
    environment = known(facts, "environment")
    stacks = known_or(facts, "environment.stacks", {})
    found = [f"{name}={environment[name]}" for name in SUSPECT if name in environment]
    found += [f"{name}={value}" for name, value in stacks.items() if name not in LABELS]
    fix = "Unset it in the profile that a login without a terminal reads, or set it in the recipe."
    return pass_if(
        not found,
        "WARN",
        ", ".join(found) or "none",
        "no LD_PRELOAD, CUDA_VISIBLE_DEVICES, VLLM_*, NCCL_*, ... from the login's profile",
        fix,
    )


def key_versions(facts: Facts) -> dict[str, str]:
    installed, nccl = known(facts, "software"), known_or(facts, "software.nccl", "")
    versions = {name: installed[name] for name in installed if name in KEY_PACKAGES}
    return versions | ({"NCCL at run time": nccl} if nccl else {})


def other_versions(facts: Facts) -> dict[str, str]:
    installed = known(facts, "software")
    versions = {name: installed[name] for name in installed if name not in KEY_PACKAGES}
    return {**versions, "Python": known(facts, "software.python")["version"]}


CHECKS: dict[str, CheckFunction] = {
    "sw.packages": packages,
    "sw.pins": pins,
    "sw.dynamo": dynamo,
    "sw.deepep": for_gpus(deepep),
    "sw.nixl": nixl,
    "sw.cuda_libs": for_gpus(libraries),
    "sw.jit": for_gpus(compilers),
    "sw.python": python,
    "sw.env_hygiene": inherited_variables,
}
