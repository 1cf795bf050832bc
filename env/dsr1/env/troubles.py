"""Versions of the communication stack that don't go together, as people reported it. Data, and who
it concerns. Pure."""

from collections.abc import Mapping
from functools import cache

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from dsr1.hosts.dataclass import dataclass

VersionsOf = Mapping[str, str]
"""By what: a distribution's name; `nvshmem`, `nccl` and `ucx` are what is loaded."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """`versions` are what must all be there for it: PEP 440 specifiers by name, `*` for any and ``
    for absent. `backends`, `roce`, `between_hosts`, `kv_transfer`, `several_ranks` (of one engine,
    data parallel): where it matters at all."""

    id: str
    versions: Mapping[str, str]
    verdict: str
    what: str
    fix: str
    link: str
    backends: tuple[str, ...] = ()
    roce: bool = False
    between_hosts: bool = False
    kv_transfer: bool = False
    several_ranks: bool = False


LEGACY = ("deepep_low_latency", "deepep_high_throughput")
GITHUB = "https://github.com"
TROUBLES: tuple[Trouble, ...] = (
    Trouble(
        "deepep-queues",
        {"nvshmem": ">=3.5.19", "deep_ep": "*"},
        "WARN",
        "the layout of queue pairs changed in NVSHMEM 3.5.19, and DeepEP without its PR 564 (also"
        " its main since v2) waits for ever between hosts: timeout (dispatch CPU)",
        "Build DeepEP with PR 564 or 696 (as vLLM's PR 58159 does for its images), or install"
        " NVSHMEM 3.4.5 and build DeepEP with that.",
        f"{GITHUB}/deepseek-ai/DeepEP/issues/707",
        backends=LEGACY,
        between_hosts=True,
    ),
    Trouble(
        "nvshmem-roce",
        {"nvshmem": "<3.5.19"},
        "WARN",
        "on RoCE NVSHMEM hands the kernel an uninitialised ah_attr, which newer kernels refuse:"
        " Unable to create ah; torch pins such a one (pytorch/pytorch#188304)",
        "If it fails so: NVSHMEM 3.5.19 or later, or one with that fix (llm-d has patches).",
        f"{GITHUB}/NVIDIA/nvshmem/issues/21",
        backends=LEGACY,
        roce=True,
        between_hosts=True,
    ),
    Trouble(
        "flashinfer-cubin",
        {"flashinfer-python": "*", "flashinfer-cubin": "!={flashinfer-python}"},
        "FAIL",
        "FlashInfer refuses cubins of another version when it is imported",
        "Install flashinfer-cubin of flashinfer-python's version.",
        f"{GITHUB}/vllm-project/vllm/issues/49804",
    ),
    Trouble(
        "flashinfer-jit-cache",
        {"flashinfer-python": "*", "flashinfer-jit-cache": "!={flashinfer-python}"},
        "FAIL",
        "FlashInfer refuses compiled modules of another version when it is imported",
        "Install flashinfer-jit-cache of flashinfer-python's version.",
        f"{GITHUB}/flashinfer-ai/flashinfer/issues/4337",
    ),
    Trouble(
        "flashinfer-comm",
        {"flashinfer-python": ">=0.6.10,<0.6.14", "flashinfer-cubin": "*", "cuda-tile": ""},
        "FAIL",
        "flashinfer.comm, which vLLM imports where ranks exchange tokens, imports cuda.tile: until"
        " FlashInfer 0.6.14, which does so when it is used, no engine of several ranks starts",
        "pip install --no-deps cuda-tile==1.4.0",
        f"{GITHUB}/vllm-project/recipes/issues/511",
        several_ranks=True,
    ),
    Trouble(
        "flashinfer-fd-exchange",
        {"flashinfer-python": ">=0.6.16,<0.6.16.post4"},
        "WARN",
        "flashinfer.comm can't be imported by Python 3.10 and 3.11, and vLLM does so where ranks or"
        " GPUs of a rank are several: type 'array.array' is not subscriptable",
        "Install flashinfer-python 0.6.16.post4 or later, and its cubins.",
        f"{GITHUB}/verl-project/verl-omni/issues/505",
    ),
    Trouble(
        "nccl-2.29.2",
        {"nccl": "==2.29.2"},
        "WARN",
        "NCCL 2.29.2 has a regression that hangs; 2.29.3 mends it",
        "Install nvidia-nccl 2.29.3 or later with --no-deps.",
        f"{GITHUB}/pytorch/pytorch/pull/174338",
    ),
    Trouble(
        "nccl-2.19",
        {"nccl": ">=2.19,<2.20"},
        "WARN",
        "NCCL 2.19 takes gigabytes more for CUDA graphs",
        "Install the NCCL that torch asks for.",
        f"{GITHUB}/NVIDIA/nccl/issues/1234",
    ),
    Trouble(
        "nixl-threads",
        {"nixl": "<0.5.1", "vllm": ">=0.11"},
        "FAIL",
        "vLLM gives NIXL an argument that it knows from 0.5.1 on",
        "Install nixl 0.5.1 or later.",
        f"{GITHUB}/vllm-project/vllm/pull/25380",
        kv_transfer=True,
    ),
    Trouble(
        "nixl-0.10.1",
        {"nixl": "==0.10.1"},
        "WARN",
        "UCX 1.20.0 of NIXL 0.10.1's wheel may hang where two engines of a host begin at once",
        "Install another NIXL, of those that vLLM's requirements/kv_connectors.txt allows.",
        f"{GITHUB}/ai-dynamo/nixl/issues/1668",
        kv_transfer=True,
    ),
    Trouble(
        "nixl-1.3.0",
        {"nixl": "==1.3.0"},
        "WARN",
        "NIXL 1.3.0 breaks transfers in vLLM's own tests, which pinned 1.2 therefore",
        "Install nixl 1.2, or later than 1.3.0.",
        f"{GITHUB}/vllm-project/vllm/pull/45843",
        kv_transfer=True,
    ),
    Trouble(
        "nixl-old-ucx",
        {"nixl": "*", "ucx": "<1.19"},
        "WARN",
        "with UCX before 1.19 NIXL serves one GPU a process and meets a bug of gdr_copy's; it is"
        " built for a later one",
        "Let NIXL's wheel load its own UCX (LD_LIBRARY_PATH), or install UCX 1.20 or later.",
        f"{GITHUB}/ai-dynamo/nixl/issues/166",
        kv_transfer=True,
    ),
    Trouble(
        "lmcache-old",
        {"lmcache": "<0.3.9", "vllm": ">=0.15"},
        "FAIL",
        "LMCache before 0.3.9 can be imported, and doesn't speak vLLM's connector API",
        "Install lmcache 0.3.9 or later.",
        f"{GITHUB}/vllm-project/vllm/pull/33440",
        kv_transfer=True,
    ),
    Trouble(
        "lmcache-0.3.8",
        {"lmcache": "==0.3.8", "vllm": "<0.11.1"},
        "FAIL",
        "LMCache 0.3.8 imports vllm.utils.torch_utils, which this vLLM hasn't got",
        "Install lmcache 0.3.9 or later.",
        f"{GITHUB}/LMCache/LMCache/issues/1840",
        kv_transfer=True,
    ),
)
TRANSITION = Version("3.5.19")


def matches_all(trouble: Trouble, versions: VersionsOf) -> bool:
    return all(_is_there(name, spec, versions) for name, spec in trouble.versions.items())


def _is_there(name: str, spec: str, versions: VersionsOf) -> bool:
    found = versions.get(name, "")
    if not spec or not found:
        return not spec and not found
    if spec.startswith("!={"):
        other = versions.get(spec[3:-1], "")
        return bool(other) and _base(found) != _base(other)
    return spec == "*" or _fits(spec, found)


@cache
def _fits(spec: str, found: str) -> bool:
    """Hosts of one kind ask the same again and again."""
    try:
        return SpecifierSet(spec).contains(_base(found), prereleases=True)
    except InvalidVersion:
        return False


@cache
def _base(text: str) -> str:
    """Without what comes behind a plus; as it stands where it is no version."""
    try:
        return Version(text).public
    except InvalidVersion:
        return text


def halves_differ(built: str, installed: str) -> str:
    """The verdict on DeepEP's device half of NVSHMEM and the host half that will be loaded: across
    the change of the queues' layout they can't work; empty: they are the same."""
    if not built or not installed or _base(built) == _base(installed):
        return ""
    try:
        sides = {Version(text) >= TRANSITION for text in (built, installed)}
    except InvalidVersion:
        return "WARN"
    return "FAIL" if len(sides) > 1 else "WARN"
