"""GPUs and RDMA ports while they serve: what is read, and that nobody waits for a sick driver."""

import os
import selectors
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.waiting import HANGS_S

from dsr1.hosts.agent.devices import gauges
from dsr1.hosts.agent.devices.gauges import gpu_lines, link_lines, port_lines
from dsr1.hosts.agent.devices.own_files import own_lines
from dsr1.hosts.agent.devices.reader import DevicesReader, print_lines
from dsr1.hosts.agent.process.timers import Timers
from dsr1.hosts.protocol.http import HttpGet, HttpGot

ASKED = HttpGet("devices", 0, "/devices", timeout_s=30.0, number=7)


class NVMLError(Exception):
    """As pynvml's."""


def refuse(*_: object) -> None:
    raise NVMLError("Not Supported")


def fake_nvml(**calls: Callable[..., Any]) -> Any:
    memory = SimpleNamespace(total=80.0, used=64.0)
    throughput = SimpleNamespace(nvmlReturn=0, value=SimpleNamespace(ullVal=512))
    known: dict[str, Any] = {
        "NVMLError": NVMLError,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetMemoryInfo": lambda _: memory,
        "nvmlDeviceGetPowerUsage": lambda _: 412_500,
        "nvmlDeviceGetCurrentClocksEventReasons": lambda _: 4,
        "nvmlDeviceGetFieldValues": lambda _, fields: [throughput],
        "nvmlDeviceGetNvLinkState": lambda _, link: link < 2,
        "nvmlDeviceGetNvLinkErrorCounter": lambda _, link, code: code,
    }
    return SimpleNamespace(**known | calls)


def test_a_gpu_tells_what_its_nvml_can() -> None:
    lines = list(gpu_lines(fake_nvml(nvmlDeviceGetTemperature=refuse), 3))
    assert 'dsr1_gpu_memory_used_bytes{gpu="3"} 64.0' in lines
    assert 'dsr1_gpu_power_w{gpu="3"} 412.5' in lines
    assert 'dsr1_gpu_throttle{gpu="3"} 4' in lines
    assert 'dsr1_gpu_nvlink_sent_kib{gpu="3"} 512' in lines
    (errors,) = link_lines(fake_nvml(), 3)
    assert errors == 'dsr1_gpu_nvlink_errors{gpu="3"} 12'  # two links, 0 + 1 + 2 + 3 each
    assert not [line for line in lines if "temperature" in line]


def test_a_gpu_that_fell_off_the_bus_tells_nothing() -> None:
    assert list(gpu_lines(fake_nvml(nvmlDeviceGetHandleByIndex=refuse), 0)) == []
    assert list(link_lines(fake_nvml(nvmlDeviceGetHandleByIndex=refuse), 0)) == []


@pytest.mark.parametrize("with_links", [False, True])
def test_the_counters_of_links_come_last_and_only_where_they_are_wanted(
    with_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """72 calls a GPU, each of which takes the driver's time: what is slow costs nothing else."""
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    monkeypatch.setattr(gauges, "open_nvml", lambda: fake_nvml(nvmlDeviceGetCount=lambda: 2))
    names = [line.split()[0] for line in gauges.device_lines(tmp_path, with_links)]
    errors = [f'dsr1_gpu_nvlink_errors{{gpu="{gpu}"}}' for gpu in range(2)]
    assert [name for name in names if "nvlink_errors" in name] == (errors if with_links else [])
    assert names[-1] == (errors[-1] if with_links else 'dsr1_gpu_nvlink_received_kib{gpu="1"}')


def port(root: Path, **counters: int) -> None:
    folder = root / "sys/class/infiniband/mlx5_0/ports/1/counters"
    folder.mkdir(parents=True)
    for name, count in counters.items():
        (folder / name).write_text(f"{count}\n")


def test_a_port_tells_bytes_and_errors(tmp_path: Path) -> None:
    port(tmp_path, port_xmit_data=1024, symbol_error=2, link_downed=1)
    assert list(port_lines(tmp_path / "sys/class/infiniband")) == [
        'dsr1_rdma_sent_bytes{device="mlx5_0",port="1"} 4096',
        'dsr1_rdma_errors{device="mlx5_0",port="1"} 3',
    ]


class Loop:
    """An agent's, as far as it matters here."""

    def __init__(self, root: Path, work: Callable[[Path, bool], None] = print_lines) -> None:
        self.selector, self.timers, self.now = selectors.DefaultSelector(), Timers(), 0.0
        self.devices = DevicesReader(self.selector, self.timers, root, root, work, lambda: self.now)
        self.told: list[HttpGot] = []

    def until(self, count: int) -> list[HttpGot]:
        until = time.monotonic() + HANGS_S
        while len(self.told) < count and time.monotonic() < until:
            for key, _ in self.selector.select(0.1):
                key.data()
            self.timers.run_due()
        return self.told


def test_the_loop_never_waits_and_all_who_ask_are_told(tmp_path: Path) -> None:
    port(tmp_path, port_rcv_data=1)
    loop = Loop(tmp_path)
    for _ in range(2):
        loop.devices.begin(ASKED, loop.told.append)
    assert loop.told == []
    counted = 'dsr1_rdma_received_bytes{device="mlx5_0",port="1"} 4'
    for got in loop.until(2):
        assert (got.number, got.status) == (7, 200)
        assert got.body.endswith("\n")
        first, disk = got.body.splitlines()
        assert first == counted
        assert disk.startswith("dsr1_disk_free_bytes ")  # another at each look, maybe
    assert len(loop.told) == 2
    loop.devices.begin(ASKED, loop.told.append)
    assert loop.until(3)[2].body.startswith(counted)


def test_errors_of_links_are_read_seldom_and_told_always(tmp_path: Path) -> None:
    """Of the GPUs that are there; a reading that brought none is made up for at once."""
    port(tmp_path)
    rounds = tmp_path / "rounds"
    errors = 'dsr1_gpu_nvlink_errors{gpu="0"} 4\ndsr1_gpu_nvlink_errors{gpu="1"} 5\n'

    def work(root: Path, with_links: bool) -> None:
        number = int(rounds.read_text()) if rounds.exists() else 0
        rounds.write_text(str(number + 1))
        gpus = "01" if number < 3 else "0"
        body = "".join(f'dsr1_gpu_power_w{{gpu="{gpu}"}} {number}\n' for gpu in gpus)
        os.write(1, (body + (errors * with_links if number else "")).encode())

    loop = Loop(tmp_path, work)
    told: list[list[str]] = []
    for now in (0.0, 1.0, 300.0, 300.5, 301.0):
        loop.now = now
        loop.devices.begin(ASKED, loop.told.append)
        lines = loop.until(len(told) + 1)[-1].body.splitlines()
        told.append([line for line in lines if line.startswith("dsr1_gpu")])
    first = ['dsr1_gpu_power_w{gpu="0"} 0', 'dsr1_gpu_power_w{gpu="1"} 0']
    assert told[0] == first
    both = errors.splitlines()
    assert [lines[2:] for lines in told[1:3]] == [both, both]
    assert told[3] == ['dsr1_gpu_power_w{gpu="0"} 3', both[0]]
    assert told[4] == ['dsr1_gpu_power_w{gpu="0"} 4', *both]


def hang(root: Path, with_links: bool) -> None:
    time.sleep(600)


def flood(root: Path, with_links: bool) -> None:
    while True:
        os.write(1, b"x" * (1 << 16))


@pytest.mark.parametrize(
    ("work", "problem", "limit_s"),
    [
        (hang, "nvidia-smi", 0.2),
        (flood, "too much", 60.0),
    ],
)
def test_what_hangs_or_floods_is_ended(
    tmp_path: Path,
    work: Callable[[Path, bool], None],
    problem: str,
    limit_s: float,
) -> None:
    port(tmp_path)
    loop = Loop(tmp_path, work)
    loop.devices.begin(HttpGet("devices", 0, "/devices", timeout_s=limit_s), loop.told.append)
    (got,) = loop.until(1)
    assert (got.status, problem in got.problem) == (0, True)


def test_a_host_without_devices_is_not_asked(tmp_path: Path) -> None:
    loop = Loop(tmp_path)
    loop.devices.begin(ASKED, loop.told.append)
    (got,) = loop.told
    assert (got.number, got.status) == (7, 200)
    assert got.body.startswith("dsr1_disk_free_bytes ")


def test_the_balance_of_experts_is_the_logs_last_word(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    line = "INFO EPLB step: {} for model r1: avg_tokens=80.5, max_tokens=100, balancedness={}, x\n"
    text = line.format(1, "0.9000") + "y" * 70_000 + "\n" + line.format(2, "0.8050")
    (logs / "main-0.log").write_text(text + "EPLB step: 3 of another kind\n")
    (logs / "frontend.log").write_text("balancedness=0.1\n")
    (logs / "gone.log").symlink_to(tmp_path / "nowhere")
    disk, *balance = own_lines(tmp_path)
    assert disk.startswith("dsr1_disk_free_bytes ")
    assert balance == ['dsr1_eplb_balancedness{of="main-0"} 0.8050']
    assert list(own_lines(tmp_path / "nowhere")) == []
