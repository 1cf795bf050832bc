"""The tests' own runtime says in words which CPUs it can't run on, before anything is downloaded or
started."""

import importlib.util
import os
import platform
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

RUNTIME = Path(__file__).parents[1] / "runtime"


@pytest.fixture
def plugin() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "vllm_cpu_ep", RUNTIME / "cpu_ep_plugin" / "vllm_cpu_ep.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_amx_that_the_kernel_refuses_is_said_at_once(plugin: ModuleType) -> None:
    plugin.ask_for_amx(lambda: True)
    with pytest.raises(RuntimeError, match=r"has AMX, but the kernel refuses .* Linux 5\.16"):
        plugin.ask_for_amx(lambda: False)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="its flags are an x86 CPU's")
def test_a_cpu_that_the_wheels_cant_run_on_is_said_before_the_build(tmp_path: Path) -> None:
    old = tmp_path / "cpuinfo"
    old.write_text("flags\t\t: fpu sse4_2 avx f16c\n")
    env = os.environ | {"CPUINFO": str(old)}
    build = ("bash", str(RUNTIME / "build.sh"), str(tmp_path / "runtime"))
    done = subprocess.run(build, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "this CPU lacks avx2 fma" in done.stderr
    assert not (tmp_path / "runtime").exists()
