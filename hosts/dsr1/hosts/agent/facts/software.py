"""Facts of the runtime: packages, what they ask of each other, libraries that can be loaded,
compilers."""

import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from dsr1.hosts.agent.facts.reading.children import begin_command, begin_in_child, begin_value
from dsr1.hosts.agent.facts.system import parse_version
from dsr1.hosts.protocol.facts.fact import FactValue, Reader

PACKAGES = (
    "vllm",
    "torch",
    "ai-dynamo",
    "ai-dynamo-runtime",
    "nvidia-nccl-cu12",
    "nvidia-nccl-cu13",
    "nvidia-nvshmem-cu12",
    "nvidia-nvshmem-cu13",
    "nvidia-cuda-nvcc",
    "nvidia-cuda-nvcc-cu12",
    "nvidia-ml-py",
    "deep_ep",
    "deep_gemm",
    "flashinfer-python",
    "flashinfer-jit-cache",
    "flashinfer-cubin",
    "cuda-tile",
    "nvidia-cutlass-dsl",
    "nixl",
    "nixl-cu12",
    "nixl-cu13",
    "lmcache",
    "kvbm",
    "triton",
    "transformers",
    "numpy",
)
MODULES = ("deep_ep", "deep_gemm", "nixl", "pplx_kernels")
LIBRARIES = (
    "libcuda.so.1",
    "libnvidia-ml.so.1",
    "libibverbs.so.1",
    "libmlx5.so.1",
    "librdmacm.so.1",
)
TOOLS = ("nvcc", "g++", "ninja")
LOAD_S = 10.0


def software_readers(pins: Sequence[str]) -> Iterator[Reader]:
    yield "software", "the runtime's packages", lambda: dict(_versions(PACKAGES))
    yield "software.wishes", "the packages' metadata", lambda: _by_name(_wishes, pins)
    yield "software.modules", "the runtime's import path", lambda: [*filter(_is_there, MODULES)]
    yield "software.python", sys.executable, _python
    tools = "$CUDA_HOME/bin, the runtime's bin, $PATH"
    yield "software.tools", tools, lambda: _by_name(find_tool, TOOLS)


def library_readers() -> list[Reader]:
    """They begin here: a library that is loaded runs code of its own."""
    libraries, compiler = begin_in_child(load_libraries, LOAD_S), find_tool("nvcc")
    readers: list[Reader] = [
        ("software.libraries", "dlopen", lambda: libraries().all()),
        ("software.nccl", "ncclGetVersion", begin_value(nccl_version, LOAD_S)),
    ]
    if compiler:
        version = begin_command((compiler, "--version"))
        readers.append(("software.nvcc", compiler, lambda: parse_nvcc(version())))
    return readers


def _by_name(read: Callable[[str], FactValue], names: Iterable[str]) -> FactValue:
    return {name: read(name) for name in names}


def _python() -> FactValue:
    return {"version": sys.version.split()[0], "path": sys.executable}


def _versions(names: Sequence[str]) -> Iterator[tuple[str, FactValue]]:
    """Of those that are there."""
    for name in names:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue


def _wishes(name: str) -> FactValue:
    """What the distribution asks of others, as PEP 508 lines, and its extras; None: it is not
    there."""
    try:
        extras = importlib.metadata.metadata(name).get_all("Provides-Extra") or []
        return {"requires": [*(importlib.metadata.requires(name) or [])], "extras": list(extras)}
    except importlib.metadata.PackageNotFoundError:
        return None


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def find_tool(name: str) -> str | None:
    """As JIT compilers search it: CUDA's home, the environment's own, then the path."""
    homes = (
        os.environ.get("CUDA_HOME", "/usr/local/cuda"),
        str(Path(sys.executable).parent.parent),
    )
    return shutil.which(
        name, path=os.pathsep.join([*(f"{home}/bin" for home in homes), os.environ.get("PATH", "")])
    )


def parse_nvcc(text: str) -> str:
    """`nvcc --version`: ... `Cuda compilation tools, release 13.0, V13.0.88`."""
    return parse_version(text.partition("release ")[2])


def load_libraries() -> Iterator[FactValue]:
    """Each that can't be loaded, as a line."""
    from ctypes import CDLL

    for name in LIBRARIES:
        try:
            CDLL(name)
            yield {"name": name, "problem": ""}
        except OSError as error:
            yield {"name": name, "problem": str(error)}


def nccl_version() -> str:
    """Of the library that torch would load: its own package's first."""
    from ctypes import CDLL, byref, c_int

    version = c_int(0)
    CDLL(_nccl_file()).ncclGetVersion(byref(version))
    return parse_nccl(version.value)


def _nccl_file() -> str:
    """The packages nvidia-nccl-cu12 and -cu13 put it below nvidia/nccl."""
    for folder in sys.path:
        file = Path(folder or ".") / "nvidia/nccl/lib/libnccl.so.2"
        if file.is_file():
            return str(file)
    return "libnccl.so.2"


def parse_nccl(code: int) -> str:
    """NCCL_VERSION of nccl.h: 23004 is 2.30.4, and before 2.9 it was 2804."""
    if code >= 10000:
        return f"{code // 10000}.{code // 100 % 100}.{code % 100}"
    return f"{code // 1000}.{code // 100 % 10}.{code % 100}"
