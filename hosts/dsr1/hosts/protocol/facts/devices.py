"""What an agent reads of its host's GPUs and RDMA ports, as text of the form of /metrics: the field
`power_w` of GPU 0 is the line `dsr1_gpu_power_w{gpu="0"} 412.5`."""

from dsr1.hosts.dataclass import dataclass

DEVICES, PATH = "devices", "/devices"
"""A process of this name is in no plan: the agent itself answers."""
BALANCE = "dsr1_eplb_balancedness"  # of experts' loads: the mean by the most, of 1
GPU, RDMA, DISK = "dsr1_gpu_", "dsr1_rdma_", "dsr1_disk_free_bytes"
LINK_ERRORS = f"{GPU}nvlink_errors"


@dataclass(frozen=True, slots=True)
class GpuGauges:
    """Of one GPU, by NVML. None: NVML doesn't tell it. `throttle`: NVML's bits of clock event
    reasons. Counters are those since the driver was loaded; `nvlink_` ones are in KiB."""

    memory_used_bytes: float | None = None
    memory_total_bytes: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    temperature_c: float | None = None
    sm_clock_mhz: float | None = None
    throttle: float | None = None
    busy_percent: float | None = None
    ecc_corrected: float | None = None
    ecc_uncorrected: float | None = None
    pcie_replays: float | None = None
    nvlink_sent_kib: float | None = None
    nvlink_received_kib: float | None = None
    nvlink_errors: float | None = None


@dataclass(frozen=True, slots=True)
class RdmaCounters:
    """Of one port of an RDMA adapter, by sysfs. `errors`: all kinds that are counted there."""

    sent_bytes: float | None = None
    received_bytes: float | None = None
    errors: float | None = None
