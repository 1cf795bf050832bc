"""GPUs by NVML, where NVML is sick or absent, and what the kernel shows without it."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dsr1.hosts.agent.facts.gpu.devices import describe_process, gpu_readers, parse_gpu
from dsr1.hosts.agent.facts.gpu.nvml import (
    GPU,
    count_errors,
    describe_gpu,
    describe_system,
    measure_growth,
)
from dsr1.hosts.agent.facts.reading.children import begin_in_child
from dsr1.hosts.protocol.facts.fact import Fact, FactValue, observe

# Python 3.12 warns of a fork in a process of several threads; pytest-xdist's have some, the agent's
# has one.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


class NVMLError(Exception):
    """As pynvml's."""

    value = 0


def facts(
    tmp_path: Path, nvml: Callable[[], Iterator[FactValue]], timeout_s: float = 10
) -> dict[str, Fact]:
    return observe(gpu_readers(tmp_path, nvml, timeout_s))


def hang() -> Iterator[FactValue]:
    time.sleep(60)
    yield None


def die() -> Iterator[FactValue]:
    os.kill(os.getpid(), signal.SIGSEGV)
    yield None


def refuse() -> Iterator[FactValue]:
    raise NVMLError("Driver Not Loaded")
    yield None


def talk_too_much() -> Iterator[FactValue]:
    while True:
        yield "x" * 2**20


@pytest.mark.parametrize(
    ("nvml", "problem"),
    [
        (hang, "did not answer in 0.2 s"),
        (die, "ended with -11"),
        (refuse, "Driver Not Loaded"),
        (lambda: iter(()), "its child printed nothing"),
    ],
)
def test_a_sick_nvml_is_a_fact_without_value(
    tmp_path: Path, nvml: Callable[[], Iterator[FactValue]], problem: str
) -> None:
    found = facts(tmp_path, nvml, 0.2 if nvml is hang else 10)
    for name in ("gpu.devices", "gpu.system", "gpu.processes"):
        assert found[name].value is None
        assert problem in found[name].problem


def test_what_was_told_before_it_hung_is_kept(tmp_path: Path) -> None:
    def half() -> Iterator[FactValue]:
        yield {"count": 2, "driver": "580", "problems": {}}
        yield {"name": "H100", "processes": []}
        time.sleep(60)

    found = facts(tmp_path, half, 0.5)
    gpus: Any = found["gpu.devices"].value
    assert [gpu["name"] for gpu in gpus] == ["H100", None]
    assert gpus[1]["problems"]["ecc"] == "did not answer in 0.5 s"
    assert found["gpu.system"].value == {"driver": "580", "problems": {}}


def test_a_child_that_never_stops_talking_is_stopped() -> None:
    result = begin_in_child(talk_too_much, 10)()
    assert (len(result.values) < 9, result.problem) == (True, "printed more than 8 MiB")


def fake(**calls: Callable[..., object]) -> Any:
    return SimpleNamespace(
        NVMLError=NVMLError, nvmlDeviceGetHandleByIndex=lambda index: index, **calls
    )


def test_what_one_gpu_does_not_support_is_none_with_its_reason() -> None:
    def refuse(_: object) -> None:
        raise NVMLError("Not Supported")

    told: Any = describe_gpu(fake(nvmlDeviceGetName=lambda _: b"H100", nvmlDeviceGetUUID=refuse), 0)
    assert (told["name"], told["uuid"], told["problems"]["uuid"]) == ("H100", None, "Not Supported")
    assert {name for name in GPU if told[name] is None} == {*GPU} - {"name"}
    assert "nvmlDeviceGetMigMode" in told["problems"]["mig"]


def test_a_gpu_that_fell_off_the_bus_takes_only_itself() -> None:
    def handle(index: int) -> int:
        if index == 1:
            raise NVMLError("GPU is lost")
        return index

    nvml = fake(nvmlDeviceGetP2PStatus=lambda a, b, kind: 0)
    nvml.nvmlDeviceGetHandleByIndex = handle
    told: Any = describe_gpu(nvml, 1)
    assert {told["problems"][name] for name in GPU} == {"GPU is lost"}
    system: Any = describe_system(nvml, 2)
    assert (system["nvlink"], system["problems"]["nvlink"]) == (None, "GPU is lost")


def test_links_and_pairs() -> None:
    nvml = fake(
        nvmlDeviceGetP2PStatus=lambda a, b, kind: 0,
        nvmlDeviceGetNvLinkState=lambda gpu, link: link != 3,
        nvmlDeviceGetNvLinkErrorCounter=lambda gpu, link, kind: link + kind,
        nvmlDeviceGetFieldValues=lambda gpu, fields: [
            SimpleNamespace(
                nvmlReturn=0, value=SimpleNamespace(uiVal=26562 if fields[0] != 230 else 0)
            )
        ],
    )
    told: Any = describe_gpu(nvml, 0)
    assert (len(told["links"]), told["links"][3]) == (18, {"active": False})
    assert told["links"][2]["speed"] == 26562
    assert told["links"][2]["errors"] == {"replay": 2, "recovery": 3, "crc_flit": 4, "crc_data": 5}
    system: Any = describe_system(nvml, 2)
    assert (system["nvlink"], told["recovery_action"]) == ([[None, 0], [0, None]], 0)


class InvalidArgument(NVMLError):
    value = 2


def test_a_gpu_with_fewer_links_has_those_that_it_has() -> None:
    def state(gpu: int, link: int) -> bool:
        if link >= gpu:
            raise InvalidArgument("Invalid Argument")
        return False

    assert describe_gpu(fake(nvmlDeviceGetNvLinkState=state), 8)["links"] == [{"active": False}] * 8
    none = describe_gpu(fake(nvmlDeviceGetNvLinkState=state), 0)
    assert (none["links"], none["problems"]["links"]) == (None, "Invalid Argument")  # type: ignore[index, call-overload]


def test_who_uses_a_gpu() -> None:
    own: Any = describe_process(os.getpid())
    assert (own["pid"], own["alive"], "python" in own["command"]) == (os.getpid(), True, True)
    gone: Any = describe_process(2**22 - 1)
    assert gone["alive"] is False


def test_no_driver_is_no_list_of_gpus(tmp_path: Path) -> None:
    assert facts(tmp_path, refuse)["gpu.kernel"].value is None


def test_a_gpu_as_the_kernel_shows_it() -> None:
    text = (
        "Model: \t\t NVIDIA H100\nGPU UUID: \t GPU-1\nBus Location: \t 0000:00:06.0\nDevice Minor:"
        " \t 0\n"
    )
    assert parse_gpu(text) == {
        "name": "NVIDIA H100",
        "uuid": "GPU-1",
        "pci": "0000:00:06.0",
        "minor": 0,
        "vbios": None,
    }
    with pytest.raises(ValueError, match="no GPU"):
        parse_gpu("nonsense")


def test_counters_that_still_grow() -> None:
    """The second look finds more on one GPU; where all is at zero there is none."""
    looks = iter([5, 0, 7, 0])
    nvml = fake(nvmlDeviceGetPcieReplayCounter=lambda _: next(looks))
    before = [count_errors(describe_gpu(nvml, index)) for index in range(2)]
    assert measure_growth(nvml, before, 0) == [
        {"pcie_replays": 2, "links": 0},
        {"pcie_replays": 0, "links": 0},
    ]
    assert next(looks, None) is None
    assert measure_growth(nvml, [{"pcie_replays": 0, "links": 0}], 60) == [
        {"pcie_replays": 0, "links": 0}
    ]


def test_what_grew_is_told_of_its_gpu(tmp_path: Path) -> None:
    lines: list[FactValue] = [
        {"count": 2},
        {"name": "a"},
        {"name": "b"},
        [{"links": 0}, {"links": 4}],
    ]
    assert facts(tmp_path, lambda: iter(lines))["gpu.devices"].value == [
        {"name": "a", "grown": {"links": 0}},
        {"name": "b", "grown": {"links": 4}},
    ]


def test_without_nvidia_ml_py_the_copy_that_vllm_carries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """vLLM itself is not imported: that takes seconds."""
    carried = tmp_path / "vllm" / "third_party"
    carried.mkdir(parents=True)
    (tmp_path / "vllm" / "__init__.py").write_text("raise AssertionError('imported')")
    (carried / "pynvml.py").write_text(
        "NVMLError = OSError\ndef nvmlInit(): raise NVMLError('carried')"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "carried" in observe(gpu_readers(tmp_path))["gpu.devices"].problem
